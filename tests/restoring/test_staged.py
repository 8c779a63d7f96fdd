"""Table files are written before their chunk is proven: none is left, and nothing unproven is kept."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from restore import snapshot, transactions
from restore.errors import DataError, InterruptedRunError, RestoreError
from restore.ledger.hashes import APTOS
from restore.ledger.state import hash_keys, split_state_record
from restore.proof.builder import NodeRow
from restore.proof.edge import TreeLeaf
from restore.proof.snapshot import SnapshotProver
from restore.report.events import Durable, Event, Report, silent
from restore.run import Run
from restore.sample.spec import SampleBackup
from restore.target import store
from restore.target.mark import SIDE_FOLDER
from restore.target.schema import STATE_VALUES, TREE_NODES, KeyValue, Table, split_state_value_key
from restore.target.staged import StagedTable
from restore.target.store import TABLES_FOLDER, RocksStore
from restore.wire.records import cut_records
from tests.restoring.commands import FEW_ROWS, request_of, restore_request, restore_sample
from tests.restoring.damage import Damaged, flip

DAMAGED = 3
"""The chunk that is damaged: those before it are proven and kept."""


@pytest.fixture(autouse=True)
def through_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks go through table files, as large ones do."""
    monkeypatch.setattr(store, "TABLE_ROWS", FEW_ROWS)


@pytest.fixture
def staged_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """All table files that were written."""
    files: list[Path] = []
    stage = RocksStore.stage

    def seen(self: RocksStore, *arguments: object, overlapping: bool = False) -> StagedTable:
        staged = stage(self, *arguments, overlapping=overlapping)  # type: ignore[arg-type]
        files.extend(staged.files)
        return staged

    monkeypatch.setattr(RocksStore, "stage", seen)
    yield files
    assert files


@pytest.fixture(scope="module")
def whole(sample: SampleBackup, tmp_path_factory: pytest.TempPathFactory) -> dict[Table, set[KeyValue]]:
    """The rows of the snapshot in a finished database."""
    target = tmp_path_factory.mktemp("whole") / "db"
    restore_sample(sample, target, target_version=sample.snapshots[-1].version)
    return snapshot_rows(target)


@pytest.fixture
def damaged(sample: SampleBackup, tmp_path: Path) -> Damaged:
    root = tmp_path / "backup"
    shutil.copytree(sample.root, root)
    return Damaged(root, sample.snapshots[-1].version)


def snapshot_rows(target: Path) -> dict[Table, set[KeyValue]]:
    opened = RocksStore.open(target, read_only=True)
    try:
        return {table: set(opened.scan(table)) for table in (*STATE_VALUES, *TREE_NODES)}
    finally:
        opened.close()


def key_hashes(damaged: Damaged, chunks: slice) -> set[bytes]:
    """Those of the items of some chunks."""
    found: set[bytes] = set()
    for chunk in damaged.chunks[chunks]:
        records = cut_records(damaged.path(chunk["blobs"]).read_bytes())
        found.update(hash_keys(APTOS, [split_state_record(record).key for record in records]))
    return found


def left_over(target: Path) -> list[Path]:
    return list((target / SIDE_FOLDER / TABLES_FOLDER).iterdir())


def assert_nothing_unproven(
    target: Path, whole: dict[Table, set[KeyValue]], *, items: set[bytes] | None = None
) -> None:
    """All rows are those of the whole snapshot; of values, those of `items` alone and all of them."""
    found = snapshot_rows(target)
    assert all(rows <= whole[table] for table, rows in found.items())
    if items is not None:
        kept = {split_state_value_key(key)[0] for table in STATE_VALUES for key, _ in found[table]}
        assert kept == items


def restore(sample: SampleBackup, root: Path, target: Path, report: Report = silent) -> None:
    version = sample.snapshots[-1].version
    restore_request(request_of(root, sample.genesis_waypoint, target, target_version=version), report)


def flip_a_value(damaged: Damaged) -> None:
    damaged.edit_records(
        damaged.chunks[DAMAGED]["blobs"], lambda records: [flip(records[0], -1), *records[1:]]
    )


def flip_a_sibling(damaged: Damaged) -> None:
    damaged.edit(damaged.chunks[DAMAGED]["proof"], lambda data: flip(data, -1))


def swap_two_items(damaged: Damaged) -> None:
    damaged.edit_records(
        damaged.chunks[DAMAGED]["blobs"],
        lambda records: [records[0], records[2], records[1], *records[3:]],
    )


def cut_a_file(damaged: Damaged) -> None:
    damaged.edit(damaged.chunks[DAMAGED]["blobs"], lambda data: data[:-1])


def remove_a_proof(damaged: Damaged) -> None:
    damaged.path(damaged.chunks[DAMAGED]["proof"]).unlink()


@pytest.mark.parametrize("damage", [flip_a_value, flip_a_sibling])
def test_a_proof_that_fails_keeps_the_chunks_before_it_alone(
    kernel: str,
    sample: SampleBackup,
    damaged: Damaged,
    target: Path,
    whole: dict[Table, set[KeyValue]],
    staged_files: list[Path],
    damage: Callable[[Damaged], None],
) -> None:
    proven = key_hashes(damaged, slice(DAMAGED))
    damage(damaged)
    with pytest.raises(DataError):
        restore(sample, damaged.root, target)
    assert left_over(target) == []
    assert_nothing_unproven(target, whole, items=proven)


@pytest.mark.parametrize("damage", [swap_two_items, cut_a_file, remove_a_proof])
def test_a_chunk_that_cannot_be_read_leaves_no_table_file_and_nothing_unproven(
    sample: SampleBackup,
    damaged: Damaged,
    target: Path,
    whole: dict[Table, set[KeyValue]],
    staged_files: list[Path],
    damage: Callable[[Damaged], None],
) -> None:
    damage(damaged)
    with pytest.raises(DataError):
        restore(sample, damaged.root, target)
    assert left_over(target) == []
    assert_nothing_unproven(target, whole)


@pytest.mark.parametrize("step", ["snapshot values", "snapshot nodes", "mark", "events"])
def test_an_interrupt_leaves_no_table_file_and_nothing_unproven(
    kernel: str,
    sample: SampleBackup,
    target: Path,
    whole: dict[Table, set[KeyValue]],
    staged_files: list[Path],
    step: str,
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, Durable) and event.step == step and staged_files:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRunError):
        restore(sample, sample.root, target, interrupt)
    assert left_over(target) == []
    assert_nothing_unproven(target, whole)
    restore(sample, sample.root, target)
    assert snapshot_rows(target) == whole


@pytest.mark.parametrize("table_rows", [FEW_ROWS, 10**6])
@pytest.mark.parametrize("keeps_data", [True, False])
def test_what_waits_for_its_turn_in_memory_is_paid_for(
    kernel: str,
    sample: SampleBackup,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    table_rows: int,
    keeps_data: bool,
) -> None:
    monkeypatch.setattr(store, "TABLE_ROWS", table_rows)
    join, waiting = snapshot._join, []

    def seen(prover: SnapshotProver, chunk: Any, root: bytes) -> object:
        tables = (*chunk.staged.values, *chunk.staged.nodes)
        rows = sum(len(key) + len(value) for table in tables for key, value in table.rows)
        edge = sum(len(entry.state_key) + 64 for entry in chunk.edge if isinstance(entry, TreeLeaf))
        waiting.append(rows + edge)
        assert rows + edge < chunk.hold.memory.held
        return join(prover, chunk, root)

    monkeypatch.setattr(snapshot, "_join", seen)
    restore_sample(sample, target if keeps_data else None)
    assert len(waiting) > 5
    if keeps_data and table_rows > FEW_ROWS:
        assert sum(waiting) > sample.snapshots[-1].usage.bytes


@pytest.mark.parametrize("table_rows", [FEW_ROWS, 10**6])
@pytest.mark.parametrize("mode", ["saved", "replayed", "dry"])
def test_transactions_that_wait_for_their_turn_are_paid_for(
    kernel: str,
    sample: SampleBackup,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    table_rows: int,
    mode: str,
) -> None:
    monkeypatch.setattr(store, "TABLE_ROWS", table_rows)
    monkeypatch.setattr(store, "OVERLAPPING_TABLE_ROWS", table_rows)
    append, waiting, replayed = transactions._append, [], []

    async def seen(run: Run, chunk: Any, position: transactions.TransactionPosition) -> object:
        tables = [table for step in chunk.staged for table in step.tables]
        rows = sum(len(key) + len(value) for table in tables for key, value in table.rows)
        write_sets = sum(len(each) for step in chunk.staged for each in step.write_sets or ())
        waiting.append(rows + write_sets + len(chunk.leaves))
        assert waiting[-1] <= chunk.hold.memory.held
        replayed.append(write_sets > 0)
        return await append(run, chunk, position)

    monkeypatch.setattr(transactions, "_append", seen)
    version = sample.snapshots[-1].version if mode == "saved" else None
    restore_sample(sample, None if mode == "dry" else target, target_version=version)
    assert waiting
    assert any(replayed) == (mode == "replayed")


def test_an_instance_that_takes_no_files_leaves_none(
    sample: SampleBackup,
    target: Path,
    whole: dict[Table, set[KeyValue]],
    staged_files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    move_in = RocksStore.move_in

    def torn(self: RocksStore, *tables: StagedTable) -> None:
        for staged in tables:
            for file in staged.files:
                file.write_bytes(file.read_bytes()[:-60])
        move_in(self, *tables)

    with monkeypatch.context() as patch:
        patch.setattr(RocksStore, "move_in", torn)
        with pytest.raises(RestoreError):
            restore(sample, sample.root, target)
    gc.collect()  # the frames of the error hold the instance, and so its lock
    assert left_over(target) == []
    assert_nothing_unproven(target, whole)
    restore(sample, sample.root, target)
    assert snapshot_rows(target) == whole


def test_nothing_is_left_when_all_is_done(
    kernel: str,
    sample: SampleBackup,
    target: Path,
    whole: dict[Table, set[KeyValue]],
    staged_files: list[Path],
) -> None:
    restore(sample, sample.root, target)
    assert left_over(target) == []
    assert snapshot_rows(target) == whole
    assert not any(file.exists() for file in staged_files)


def test_rows_that_wait_in_memory_are_paid_for(
    kernel: str, sample: SampleBackup, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    join, waiting = snapshot._join, list[tuple[int, int]]()

    def watched(prover: SnapshotProver, chunk: snapshot._Chunk, root: bytes) -> list[NodeRow]:
        waiting.append((chunk.staged.memory_bytes, chunk.hold.memory.held))
        return join(prover, chunk, root)

    monkeypatch.setattr(snapshot, "_join", watched)
    restore(sample, sample.root, target)
    assert [one for one in waiting if one[0] > one[1]] == []
    assert any(taken for taken, _ in waiting)
