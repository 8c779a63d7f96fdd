"""The backups that measurements read: they verify, and are as large as their specs say."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from benchmarks.histories import HistorySpec, history
from benchmarks.samples import keep
from benchmarks.snapshots.items import SIZES, Items
from benchmarks.snapshots.spec import SnapshotSpec
from restore.catalog.mirror import load_view
from restore.errors import UsageError
from restore.ledger.hashes import APTOS
from restore.ledger.state import hash_keys, split_state_record, value_size
from restore.ledger.waypoint import Waypoint
from restore.proof.trust import TrustPolicy
from restore.report.events import silent
from restore.report.result import Result
from restore.storage.gzipped import Gzipped
from restore.storage.local import LocalFs
from restore.verify import VerifyRequest, verify
from tests.restoring.commands import LIMITS

ITEMS = 70_000
"""More buckets than the fewest."""


def verified(root: Path, waypoint: str) -> Result:
    request = VerifyRequest(
        storage=Gzipped(LocalFs(root), packs=False),
        start_version=0,
        end_version=None,
        state_snapshot_before_version=None,
        trust=TrustPolicy((Waypoint.parse(waypoint),)),
        limits=LIMITS,
    )
    return asyncio.run(verify(request, silent))


def test_a_snapshot_of_many_items_verifies_and_its_chunks_have_the_size_asked_for(tmp_path: Path) -> None:
    # In a process of its own, as it makes the chunks in processes.
    command = [sys.executable, "-m", "benchmarks.snapshots", "--items", str(ITEMS), "--chunk-mib", "1"]
    finished = subprocess.run(
        [*command, "--folder", str(tmp_path)], stdout=subprocess.PIPE, text=True, check=True
    )
    backup, waypoint = finished.stdout.splitlines()[-2:]
    result = verified(Path(backup), waypoint)
    assert (result.state_items, result.snapshot_version, result.transactions) == (ITEMS, 0, 1)
    chunks = list(Path(backup).glob("state_*/*.chunk"))
    assert len(chunks) == pytest.approx(ITEMS * 313 / (1 << 20), abs=1)


def test_values_have_the_lengths_that_are_documented() -> None:
    items = Items(1)
    keys = [items.key(index) for index in range(2000)]
    made = [items.item(index, key_hash) for index, key_hash in enumerate(hash_keys(APTOS, keys))]
    sizes = [value_size(item.value) for item in made]
    assert median(SIZES) == 150
    assert 140 < median(sizes) < 160
    assert (min(sizes), max(SIZES)) == (32, 2048)
    assert [split_state_record(item.key + item.value) for item in made] == made


def test_a_snapshot_of_too_few_items_is_refused() -> None:
    with pytest.raises(UsageError, match="so few items"):
        SnapshotSpec(100).check()


def test_a_history_verifies_with_all_its_signatures(tmp_path: Path) -> None:
    backup, waypoint = history(HistorySpec(epochs=5, validators=7), tmp_path)
    view = asyncio.run(load_view(LocalFs(backup), concurrency=4))
    assert [entry.bounds for entry in view.epoch_endings] == [(0, 5)]
    assert verified(backup, waypoint).epochs == 6


def test_a_backup_is_made_once_and_again_where_it_was_not_finished(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(root: Path) -> str:
        root.mkdir()
        made.append(root)
        if len(made) == 1:
            raise RuntimeError("stopped in the middle")
        return "1:00"

    with pytest.raises(RuntimeError):
        keep("spec", tmp_path, make)
    assert keep("spec", tmp_path, make) == keep("spec", tmp_path, make) == (made[0], "1:00")
    assert len(made) == 2
    assert keep("other spec", tmp_path, make)[0] != made[0]
