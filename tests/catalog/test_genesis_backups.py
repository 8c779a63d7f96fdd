"""Whole backups of real networks' first version, made again file by file, byte for byte."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from restore.catalog.entries import IdentityEntry, encode_entry
from restore.catalog.manifests import (
    EpochEndingManifest,
    StateSnapshotManifest,
    TransactionManifest,
    encode_manifest,
    parse_epoch_ending_manifest,
    parse_state_snapshot_manifest,
    parse_transaction_manifest,
)
from restore.catalog.parsing import parse_entries
from restore.catalog.writer import BackupWriter, EpochEnding, StateRecord
from restore.ledger.hashes import APTOS, SPARSE_PLACEHOLDER
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.state import hash_keys, split_state_record
from restore.ledger.transaction import ChunkFormat
from restore.ledger.waypoint import Waypoint
from restore.ledger.write_set import parse_write_set
from restore.storage.local import LocalFs
from restore.wire.bcs import Reader
from restore.wire.layouts import skipper
from restore.wire.records import cut_records
from tests.ledger.real import shared_vectors

TESTNET_FILES = """\
epoch_ending_0-.0000/0-.chunk 501 e50a550332a87c5f0fe84fff076b005acd199449331473ce3489893b08174857
epoch_ending_0-.0000/epoch_ending.manifest 206 \
06158e0aac6287be15c4b48b87b862e641ef8d757c0f29947c9f5af897d6688e
metadata/epoch_ending_0-0.meta 146 03cb685f6224d473f64f55c9f265101294382d0e5cd6f24d28802f1af9b51a4f
transaction_0-.0000/0-.chunk 558890 f84a30d5edc282ecd63d2de8467f906fa5bfb6a025384bd5801fbe659b5bb06b
transaction_0-.0000/0-0.proof 499 2fec5768b921ed5e973d0d57481d2359aaef7bceb07009a05d77532be3f9eb2d
transaction_0-.0000/transaction.manifest 170 f401cd8ff89b4682725748a6b45154c99afad7ea00e78c5ce35c0ff2f2000c90
metadata/transaction_0-0.meta 113 de13aa07304dc727bf9a45838268f500db4a476e3af247e23a957cb765a5e765
state_epoch_0_ver_0.0000/0-.chunk 274318 cd2aa6d9fc3336fa7597415f120b5117eb187e738fb2dface196fb26d1cc9af8
state_epoch_0_ver_0.0000/0-127.proof 65 50b9353dcc990d2e48c213617ec462e02985b958d74cb4fc2955b6cc921f7f11
state_epoch_0_ver_0.0000/state.proof 638 54c1ec5ea85cdd740d0c22553c819da7476a5d079c024a7e2527b6750de52c02
state_epoch_0_ver_0.0000/state.manifest 439 4b3351b82e01e01623e799aa3900ebc805dce9804d2660db8c15cd7e07e51f14
metadata/state_snapshot_ver_0.meta 101 de0d9fd1dd27c40078c3fdeaca0e241e40633fd4ece92625d9373e2736671a60
"""
"""Path, bytes and SHA-256 of every file (spec/backup-format.md section 14)."""

V1_CHUNK = "354e98c107496edb45eb5248d525b01acfc7bd6b73e3b781677243ad3f32fd54"
"""SHA-256 of the transaction chunk, 558891 bytes, where it is of format V1."""

MAINNET_CHUNK_BYTES = 120_000
"""Of the state chunks of the mainnet backup: every chunk but the one of a single large item is below."""


@dataclass(frozen=True)
class Genesis:
    """What a backup of version 0 is made of."""

    transaction: bytes
    info: bytes
    events: bytes
    write_set: bytes
    signed: bytes
    state_root: bytes

    def transaction_record(self, chunk_format: ChunkFormat) -> bytes:
        auxiliary_info = b"\x00" if chunk_format == "V1" else b""
        return self.transaction + auxiliary_info + self.info + self.events + self.write_set

    def state_records(self) -> list[StateRecord]:
        items = [change.key + (change.value or b"") for change in parse_write_set(self.write_set)]
        return sorted(map(state_record, items), key=lambda record: record.key_hash)


@pytest.fixture
def genesis(shared: Path) -> Genesis:
    known = shared_vectors(shared, "genesis/testnet.json")
    packed = (shared / "data/vectors/genesis-blobs/testnet.genesis.blob.gz").read_bytes()
    blob = gzip.decompress(packed)
    reader = Reader(blob, 2)  # GenesisTransaction, Direct
    write_set = reader.verbatim(skipper("WriteSet"))
    return Genesis(
        transaction=blob,
        info=bytes.fromhex(known["transaction_info_bcs"]),
        events=reader.fixed(reader.end - reader.offset),
        write_set=write_set,
        signed=bytes.fromhex(known["ledger_info_with_signatures_bcs"]),
        state_root=bytes.fromhex(known["state_root"]),
    )


def state_record(record: bytes) -> StateRecord:
    (key_hash,) = hash_keys(APTOS, [split_state_record(record).key])
    return StateRecord(record, key_hash)


def epoch_ending(record: bytes) -> EpochEnding:
    return EpochEnding(record, Waypoint.of(SignedLedgerInfo.parse(record).info, APTOS))


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def write_genesis(genesis: Genesis, root: Path, *, chunk_format: ChunkFormat | None) -> None:
    writer = BackupWriter(LocalFs(root), suffix=lambda: "0000")

    async def prove_all_items(_last_key: bytes) -> bytes:
        return b"\x02" + SPARSE_PLACEHOLDER * 2

    async def prove_the_first_transaction(first: int, last: int) -> bytes:
        assert (first, last) == (0, 0)
        return b"\x00\x00" + genesis.signed

    await writer.write_epoch_endings([epoch_ending(genesis.signed)], first_epoch=0)
    await writer.write_transactions(
        [genesis.transaction_record(chunk_format or "V0")],
        first_version=0,
        prove=prove_the_first_transaction,
        chunk_format=chunk_format,
    )
    await writer.write_state_snapshot(
        genesis.state_records(),
        epoch=0,
        version=0,
        root_hash=genesis.state_root,
        state_proof=b"\x00" + genesis.info + genesis.signed,
        prove=prove_all_items,
    )


async def test_the_testnet_backup_has_its_known_files(genesis: Genesis, tmp_path: Path) -> None:
    await write_genesis(genesis, tmp_path, chunk_format=None)
    written = {
        f"{name} {len(data)} {hashlib.sha256(data).hexdigest()}" for name, data in files_of(tmp_path).items()
    }
    assert written == set(TESTNET_FILES.splitlines())


async def test_a_declared_format_changes_the_manifest_alone(genesis: Genesis, tmp_path: Path) -> None:
    await write_genesis(genesis, tmp_path / "silent", chunk_format=None)
    await write_genesis(genesis, tmp_path / "v0", chunk_format="V0")
    silent, declared = files_of(tmp_path / "silent"), files_of(tmp_path / "v0")
    manifest = "transaction_0-.0000/transaction.manifest"
    assert declared.pop(manifest) == silent.pop(manifest).replace(b'.proof"}', b'.proof","format":"V0"}')
    assert declared == silent


async def test_the_newer_format_has_its_known_chunk(genesis: Genesis, tmp_path: Path) -> None:
    await write_genesis(genesis, tmp_path, chunk_format="V1")
    files = files_of(tmp_path)
    chunk = files["transaction_0-.0000/0-.chunk"]
    assert (len(chunk), hashlib.sha256(chunk).hexdigest()) == (558_891, V1_CHUNK)
    assert files["transaction_0-.0000/transaction.manifest"].endswith(b'"format":"V1"}]}')


async def test_the_mainnet_backup_is_cut_and_named_as_it_was(shared: Path, tmp_path: Path) -> None:
    """From its records and proofs alone: chunks, names, manifests and metadata are the writer's."""
    known = files_of(shared / "data/mainnet-genesis-backup")
    epochs, snapshot, transactions = (
        "epoch_ending_0-.7891",
        "state_epoch_0_ver_0.128f",
        "transaction_0-.1d67",
    )
    suffixes = iter(folder.rpartition(".")[2] for folder in (epochs, snapshot, transactions))
    storage = LocalFs(tmp_path)
    writer = BackupWriter(storage, max_chunk_size=MAINNET_CHUNK_BYTES, suffix=lambda: next(suffixes))
    manifest = parse_state_snapshot_manifest(known[f"{snapshot}/state.manifest"], file="state.manifest")
    proofs = {bytes(chunk.last_key): known[chunk.proof] for chunk in manifest.chunks}

    def records_of(folder: str, *chunks: int) -> Iterator[bytes]:
        for chunk in chunks:
            yield from cut_records(known[f"{folder}/{chunk}-.chunk"])

    async def prove_items(last_key: bytes) -> bytes:
        return proofs.pop(last_key)

    async def prove_transactions(first: int, last: int) -> bytes:
        return known[f"{transactions}/{first}-{last}.proof"]

    (identity,) = parse_entries(known["metadata/identity.meta"], file="identity.meta")
    assert isinstance(identity, IdentityEntry)
    await writer.save_metadata(identity)
    endings = map(epoch_ending, records_of(epochs, 0))
    await writer.write_epoch_endings(endings, first_epoch=0)
    written = await writer.write_state_snapshot(
        map(state_record, records_of(snapshot, *(chunk.first_idx for chunk in manifest.chunks))),
        epoch=0,
        version=0,
        root_hash=manifest.root_hash,
        state_proof=known[manifest.proof],
        prove=prove_items,
    )
    await writer.write_transactions(records_of(transactions, 0), first_version=0, prove=prove_transactions)
    assert not proofs
    assert written.chunks == len(manifest.chunks) == 7
    assert files_of(tmp_path) == known


def test_manifests_and_metadata_of_real_backups_encode_as_they_were(shared: Path) -> None:
    raw = shared / "data/vectors/real-ledger-infos/openlibra-v7-raw"
    real = [*files_of(shared / "data/mainnet-genesis-backup").items()]
    real += [(name, gzip.decompress(data)) for name, data in files_of(raw).items()]
    parsers: dict[str, Callable[..., EpochEndingManifest | StateSnapshotManifest | TransactionManifest]] = {
        "epoch_ending.manifest": parse_epoch_ending_manifest,
        "state.manifest": parse_state_snapshot_manifest,
        "transaction.manifest": parse_transaction_manifest,
    }
    seen = []
    for name, data in real:
        parse = parsers.get(Path(name).name)
        if parse is not None:
            assert encode_manifest(parse(data, file=name)) == data
            seen.append("manifest")
        elif name.startswith("metadata/"):
            lines = [encode_entry(entry) for entry in parse_entries(data, file=name)]
            assert "".join(f"{line}\n" for line in lines).encode() == data
            seen.append("metadata")
    assert sorted(seen) == ["manifest"] * 8 + ["metadata"] * 10
