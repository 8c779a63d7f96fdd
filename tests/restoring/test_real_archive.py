"""The controllers on a real archive: Open Libra v7, whose hashes begin with another text (`DIEM::`)."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from restore.catalog.writer import BackupWriter, EpochEnding
from restore.errors import DataError, MissingFileError
from restore.flow.stop import run
from restore.ledger.hashes import APTOS, Domain
from restore.ledger.waypoint import Waypoint
from restore.proof.trust import TrustPolicy
from restore.report.events import silent
from restore.storage.local import LocalFs
from restore.verify import VerifyRequest, verify
from tests.restoring.commands import LIMITS

DIEM = Domain("DIEM::")
EPOCHS = 194
SNAPSHOT_VERSION = 38180075
"""The one state snapshot of which manifest and proofs are at hand; its chunk is not."""


@pytest.fixture(scope="module")
def archive(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Waypoint]:
    """A local folder of the archive's files, unpacked, and of its whole chain of epoch endings."""
    vectors = shared / "data" / "vectors" / "real-ledger-infos"
    root = tmp_path_factory.mktemp("archive")
    for path in (vectors / "openlibra-v7-raw").rglob("*"):
        if path.is_file():
            copy = root / path.relative_to(vectors / "openlibra-v7-raw")
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(gzip.decompress(path.read_bytes()))
    lines = gzip.decompress((vectors / "openlibra-v7-epochs-0-193.jsonl.gz").read_bytes()).splitlines()
    endings = [
        EpochEnding(bytes.fromhex(line["bcs"]), Waypoint.parse(line["manifest_waypoint"]))
        for line in map(json.loads, lines[1:])
    ]
    writer = BackupWriter(LocalFs(root), max_chunk_size=20_000, suffix=lambda: "0000")
    asyncio.run(writer.write_epoch_endings(endings, first_epoch=0))
    return root, endings[0].waypoint


def request_of(root: Path, waypoint: Waypoint, *, snapshot_before: int) -> VerifyRequest:
    return VerifyRequest(
        storage=LocalFs(root),
        start_version=None,
        end_version=None,
        state_snapshot_before_version=snapshot_before,
        trust=TrustPolicy((waypoint,)),
        limits=LIMITS,
        domain=DIEM,
    )


def test_all_signed_epochs_of_a_real_network_verify(archive: tuple[Path, Waypoint]) -> None:
    """Its own three epoch-ending backups overlap with the whole chain, and agree."""
    root, genesis = archive
    result = run(lambda: verify(request_of(root, genesis, snapshot_before=0), silent))
    assert (result.epochs, result.trust) == (EPOCHS, "waypoint")


def test_another_prefix_text_is_another_network(archive: tuple[Path, Waypoint]) -> None:
    root, genesis = archive
    request = replace(request_of(root, genesis, snapshot_before=0), domain=APTOS)
    with pytest.raises(DataError):
        run(lambda: verify(request, silent))


def test_a_real_snapshot_s_root_is_proven_before_its_chunks_are_missed(
    archive: tuple[Path, Waypoint],
) -> None:
    root, genesis = archive
    request = request_of(root, genesis, snapshot_before=SNAPSHOT_VERSION + 1)
    with pytest.raises(MissingFileError) as caught:
        run(lambda: verify(request, silent))
    assert str(caught.value.file).endswith("0-.chunk")
    assert caught.value.version == SNAPSHOT_VERSION
