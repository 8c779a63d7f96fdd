"""The whole backup, read and checked file by file by the code that checks real ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from restore.catalog.loading import (
    load_epoch_ending_manifest,
    load_state_snapshot_manifest,
    load_transaction_manifest,
)
from restore.catalog.mirror import load_view
from restore.catalog.view import MetadataView
from restore.crypto.digest import sha3_256
from restore.errors import UsageError
from restore.ledger.hashes import APTOS
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.state import Usage, hash_keys, hash_values, item_usage, split_state_record
from restore.ledger.transaction import ChunkFormat, parse_transaction_record
from restore.ledger.waypoint import Waypoint
from restore.proof.files import parse_range_proof, parse_state_proof, parse_transaction_proof
from restore.proof.frontier import Frontier
from restore.proof.transactions import check_transactions
from restore.proof.trust import TrustedHistory, TrustPolicy
from restore.sample.backup import write_sample
from restore.sample.spec import SampleBackup, SampleSpec
from restore.storage.base import Storage
from restore.storage.local import LocalFs
from restore.wire.records import cut_records

SPEC = SampleSpec(state_items=600)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleBackup:
    return asyncio.run(write_sample(SPEC, tmp_path_factory.mktemp("sample") / "backup"))


@pytest.fixture
def storage(sample: SampleBackup) -> Storage:
    return LocalFs(sample.root)


@pytest.fixture(scope="module")
def view(sample: SampleBackup) -> MetadataView:
    return asyncio.run(load_view(LocalFs(sample.root), concurrency=4))


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_the_same_spec_makes_the_same_bytes(sample: SampleBackup, tmp_path: Path) -> None:
    again = await write_sample(SPEC, tmp_path / "folder" / "backup")
    assert files_of(again.root) == files_of(sample.root)
    assert replace(again, root=sample.root) == sample
    assert names_in(tmp_path / "folder") == ["backup"]


async def test_another_seed_makes_another_chain(sample: SampleBackup, tmp_path: Path) -> None:
    other = await write_sample(replace(SPEC, seed=2), tmp_path / "backup")
    assert other.genesis_waypoint != sample.genesis_waypoint
    assert not set(other.state_roots.values()) & set(sample.state_roots.values())


async def test_the_backup_is_continuous(sample: SampleBackup, view: MetadataView) -> None:
    epochs, transactions = view.cover_epochs(), view.cover_transactions(0, sample.last_version)
    assert epochs.gap is None
    assert transactions.gap is None
    assert epochs.entries[-1].last_version == sample.epoch_ends[-1] < sample.last_version
    assert transactions.entries[-1].last_version == sample.last_version == SPEC.transactions - 1
    assert [entry.version for entry in view.state_snapshots] == [
        sample.epoch_ends[epoch] for epoch in SPEC.snapshot_epochs
    ]
    assert SPEC.epochs - max(SPEC.snapshot_epochs) == SPEC.tail_epochs


async def test_epoch_endings_form_a_trusted_history(
    sample: SampleBackup, view: MetadataView, storage: Storage
) -> None:
    history = trusted(sample)
    several = 0
    for entry in view.epoch_endings:
        manifest = await load_epoch_ending_manifest(storage, entry.manifest)
        several += len(manifest.chunks) > 1
        for chunk in manifest.chunks:
            for record in cut_records((sample.root / chunk.ledger_infos).read_bytes()):
                signed = SignedLedgerInfo.parse(record)
                assert str(Waypoint.of(signed.info, APTOS)) == str(sample.waypoints[signed.info.epoch])
                assert sample.accumulator_roots[signed.info.version] == signed.info.executed_state_id
                history.extend(signed)
    assert history.epochs == SPEC.epochs + 1 == len(sample.waypoints)
    assert several


async def test_snapshots_are_proven_chunk_by_chunk(
    sample: SampleBackup, view: MetadataView, storage: Storage
) -> None:
    for entry, snapshot in zip(view.state_snapshots, sample.snapshots, strict=True):
        manifest = await load_state_snapshot_manifest(storage, entry.manifest)
        assert (manifest.version, manifest.epoch) == (snapshot.version, snapshot.epoch)
        assert manifest.root_hash == snapshot.root_hash == sample.state_roots[snapshot.version]
        assert snapshot.manifest == entry.manifest
        assert len(manifest.chunks) == snapshot.chunks > 1
        proven = parse_state_proof((sample.root / manifest.proof).read_bytes())
        assert proven.info.state_checkpoint_hash == manifest.root_hash
        proven.proof.verify(
            APTOS.transaction_accumulator,
            hash_of_info(proven.info.raw),
            manifest.version,
            root=proven.signed.info.executed_state_id,
        )
        assert proven.signed.info.version == snapshot.version
        frontier, usage = Frontier(APTOS), Usage()
        for chunk in manifest.chunks:
            records = cut_records((sample.root / chunk.blobs).read_bytes())
            items = [split_state_record(record) for record in records]
            keys = hash_keys(APTOS, [item.key for item in items])
            assert (keys[0], keys[-1]) == (chunk.first_key, chunk.last_key)
            assert len(keys) == chunk.last_idx - chunk.first_idx + 1
            frontier.add(zip(keys, hash_values(APTOS, [item.value for item in items]), strict=True))
            siblings = parse_range_proof((sample.root / chunk.proof).read_bytes())
            frontier.prove(siblings, root=snapshot.root_hash)
            usage += item_usage(items)
        assert frontier.root() == snapshot.root_hash
        assert usage == snapshot.usage == sample.usages[snapshot.version]


async def test_transactions_are_proven_chunk_by_chunk(
    sample: SampleBackup, view: MetadataView, storage: Storage
) -> None:
    history = trusted(sample)
    for entry in view.epoch_endings:
        for file in (await load_epoch_ending_manifest(storage, entry.manifest)).chunks:
            for record in cut_records((sample.root / file.ledger_infos).read_bytes()):
                history.extend(SignedLedgerInfo.parse(record))
    in_epoch = set()
    for backup in view.transactions:
        manifest = await load_transaction_manifest(storage, backup.manifest)
        for chunk in manifest.chunks:
            chunk_format: ChunkFormat = "V1" if chunk.format == "V1" else "V0"
            records = [
                parse_transaction_record(record, chunk_format)
                for record in cut_records((sample.root / chunk.transactions).read_bytes())
            ]
            assert len(records) == chunk.last_version - chunk.first_version + 1
            hashes = check_transactions(APTOS, records, first_version=chunk.first_version)
            proof = parse_transaction_proof((sample.root / chunk.proof).read_bytes())
            history.verify(proof.signed)
            assert proof.signed.info.version >= chunk.last_version
            in_epoch.add(proof.signed.info.next_epoch_state is None)
            proof.range.verify(
                APTOS.transaction_accumulator,
                b"".join(hashes),
                chunk.first_version,
                root=proof.signed.info.executed_state_id,
            )
    assert in_epoch == {True, False}


def test_both_chunk_formats_are_named_and_the_oldest_is_not(sample: SampleBackup) -> None:
    formats = []
    for path in sorted(sample.root.glob("transaction_*/transaction.manifest")):
        chunks = json.loads(path.read_bytes())["chunks"]
        formats.append({chunk.get("format") for chunk in chunks})
        assert len(chunks) > 1 or path.parent.name.startswith("transaction_0-")
    assert all(len(of_one) == 1 for of_one in formats)
    assert set().union(*formats) == {None, "V0", "V1"}


def test_metadata_is_compacted_in_part(sample: SampleBackup) -> None:
    listed = {path.name for path in (sample.root / "metadata").iterdir()}
    retired = {path.name for path in (sample.root / "metadata_backup").iterdir()}
    lines: dict[str, list[str]] = {}
    for path in (sample.root / "metadata").iterdir():
        for line in path.read_text().splitlines():
            lines.setdefault(line, []).append(path.name)
    assert "identity.meta" in listed
    assert any(name.startswith("compaction_timestamps_") for name in listed)
    for kind in ("epoch_ending", "state_snapshot", "transaction"):
        assert any(name.startswith(f"{kind}_compacted_") for name in listed)
        assert any(name.startswith(kind) and "compacted" not in name for name in listed)
        assert any(name.startswith(kind) for name in retired)
    assert any(len(files) == 2 for files in lines.values())
    for path in (sample.root / "metadata_backup").iterdir():
        assert all(line in lines for line in path.read_text().splitlines())


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda folder: (folder / "file").write_bytes(b""), id="not-empty"),
        pytest.param(lambda folder: (folder / "metadata").mkdir(), id="a-backup"),
    ],
)
async def test_a_folder_in_use_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path)
    with pytest.raises(UsageError, match="not empty"):
        await write_sample(SPEC, tmp_path)


async def test_an_impossible_spec_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        await write_sample(replace(SPEC, epochs=0), tmp_path / "backup")
    assert names_in(tmp_path) == []


def trusted(sample: SampleBackup) -> TrustedHistory:
    return TrustedHistory(TrustPolicy((sample.genesis_waypoint,)), APTOS, keep_from=0)


def hash_of_info(raw: bytes) -> bytes:
    return sha3_256(APTOS.transaction_info + raw)
