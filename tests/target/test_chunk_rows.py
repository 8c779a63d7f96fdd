"""The rows of a chunk in both forms: the same rows, cut the same way into what one table file may hold."""

from __future__ import annotations

import resource
import tracemalloc
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from restore.errors import DiskFullError
from restore.kernel.choice import PURE
from restore.ledger.hashes import APTOS
from restore.ledger.state import StateItem, hash_keys
from restore.proof.columns import Nodes, prepare_tree
from restore.proof.items import StateItems, read_items
from restore.target import chunk_rows, steps, store
from restore.target.chunk_rows import ColumnRows, node_groups, value_groups
from restore.target.mark import SIDE_FOLDER
from restore.target.schema import STATE_VALUES, TREE_NODES, KeyValue, Table, shard_of, state_value_key
from restore.target.staged import RowGroup, StagedChunk, StagedTable, merged
from restore.target.store import TABLE_ROWS, TABLES_FOLDER, RocksStore
from tests.kernel.chunks import framed_items, made_items
from tests.kernels import NATIVE, needs_native, using

VERSION = 300
COUNT = 3000

Rows = dict[Table, list[KeyValue]]


@pytest.fixture
def opened(database: Path) -> Iterator[RocksStore]:
    opened = RocksStore.open(database)
    yield opened
    opened.close()


def chunk(items: Iterable[StateItem]) -> tuple[StateItems, Nodes]:
    """Items and nodes in the form of the moment."""
    read = read_items(APTOS, framed_items(items))
    return read, prepare_tree(APTOS, VERSION, read).nodes


def pairs_of(group: RowGroup) -> list[KeyValue]:
    return group if isinstance(group, list) else group.pairs()


def groups_of(items: StateItems, nodes: Nodes) -> list[tuple[Table, list[RowGroup]]]:
    return [*value_groups(VERSION, items), *node_groups(VERSION, nodes)]


def rows_of(groups: Iterable[tuple[Table, list[RowGroup]]]) -> Rows:
    """All rows by table, sorted."""
    rows: Rows = defaultdict(list)
    for table, parts in groups:
        for part in parts:
            rows[table] += pairs_of(part)
    return {table: sorted(pairs) for table, pairs in rows.items()}


def tables_folder(opened: RocksStore) -> Path:
    return opened.root / SIDE_FOLDER / TABLES_FOLDER


@needs_native
@pytest.mark.parametrize("count", [1, 2, 17, COUNT])
def test_both_forms_have_the_same_rows(count: int) -> None:
    found = []
    for form in (PURE, NATIVE):
        with using(form):
            found.append(rows_of(groups_of(*chunk(made_items(count)))))
    assert found[0] == found[1]


def test_each_row_is_in_its_shard_and_each_group_ascends(kernel: str) -> None:
    items, nodes = chunk(made_items(COUNT))
    for table, groups in groups_of(items, nodes):
        for group in groups:
            pairs = pairs_of(group)
            assert len(pairs) == len(group) > 0
            assert isinstance(group, ColumnRows) == (kernel == NATIVE)
            assert all(left < right for (left, _), (right, _) in pairwise(pairs))
            if table in STATE_VALUES:
                assert {shard_of(key) for key, _ in pairs} == {STATE_VALUES.index(table)}
            else:
                assert {key[9] >> 4 for key, _ in pairs} == {TREE_NODES.index(table)}


def test_groups_of_one_table_do_not_overlap(kernel: str) -> None:
    ranges: dict[Table, list[tuple[bytes, bytes]]] = defaultdict(list)
    for table, groups in groups_of(*chunk(made_items(COUNT))):
        for group in groups:
            pairs = pairs_of(group)
            ranges[table].append((pairs[0][0], pairs[-1][0]))
    for spans in ranges.values():
        assert all(left[1] < right[0] for left, right in pairwise(sorted(spans)))


def test_what_is_large_is_cut_into_steps_of_a_bounded_size(
    kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, nodes = chunk(made_items(COUNT))
    whole = rows_of(groups_of(items, nodes))
    limit = 20_000
    monkeypatch.setattr(steps, "STEP_BYTES", limit)
    monkeypatch.setattr(chunk_rows, "STEP_BYTES", limit)
    cut = groups_of(items, nodes)
    assert rows_of(cut) == whole
    assert len(cut) > 3 * len(whole)
    for _, groups in cut:
        pairs = [pair for group in groups for pair in pairs_of(group)]
        assert len(pairs) == 1 or sum(len(value) for _, value in pairs) <= 2 * limit
    # Some item alone is larger than a step.
    assert any(len(item.value) > limit for item in made_items(COUNT))


def test_many_rows_wait_in_files_and_few_in_memory(kernel: str, opened: RocksStore) -> None:
    items, nodes = chunk(items_of_shard(3, TABLE_ROWS + 5, 4, TABLE_ROWS - 1))
    staged = {table: opened.stage(table, groups) for table, groups in value_groups(VERSION, items)}
    assert (len(staged[STATE_VALUES[3]].rows), len(staged[STATE_VALUES[3]].files)) == (0, 1)
    assert (len(staged[STATE_VALUES[4]].rows), len(staged[STATE_VALUES[4]].files)) == (TABLE_ROWS - 1, 0)
    tree = {table: opened.stage(table, groups) for table, groups in node_groups(VERSION, nodes)}
    files = [file for one in (*staged.values(), *tree.values()) for file in one.files]
    assert sorted(tables_folder(opened).iterdir()) == sorted(files)
    # Nothing of it is in the database before it is moved in.
    for table in (*STATE_VALUES, *TREE_NODES):
        assert opened.last(table) is None


def items_of_shard(*wanted: int) -> list[StateItem]:
    """So many items with key hashes in such shards, in order: shard, number, shard, number."""
    left = dict(zip(wanted[::2], wanted[1::2], strict=True))
    found = []
    number = 0
    while any(left.values()):
        key = b"\x02\x08" + number.to_bytes(8, "big")
        (key_hash,) = hash_keys(APTOS, [key])
        if left.get(shard_of(key_hash)):
            left[shard_of(key_hash)] -= 1
            found.append((key_hash, StateItem(key, b"\x00\x02v" + bytes([number % 251]))))
        number += 1
    return [item for _, item in sorted(found)]


@pytest.mark.parametrize("table_rows", [1, 50, TABLE_ROWS])
def test_what_is_moved_in_is_there(
    kernel: str, opened: RocksStore, table_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "TABLE_ROWS", table_rows)
    items, nodes = chunk(made_items(COUNT))
    with using(PURE):
        expected = rows_of(groups_of(*chunk(made_items(COUNT))))
    groups = groups_of(items, nodes)
    staged = [opened.stage(table, parts) for table, parts in groups]
    if table_rows == 1:
        assert sum(len(one.files) for one in staged) == sum(len(parts) for _, parts in groups)
    for one in staged:
        opened.move_in(one)
    assert list(tables_folder(opened).iterdir()) == []
    for table in (*STATE_VALUES, *TREE_NODES):
        assert list(opened.scan(table)) == expected.get(table, [])
    for index, item in enumerate(made_items(COUNT)):
        key_hash = items.key_hash(index)
        value = opened.get(STATE_VALUES[shard_of(key_hash)], state_value_key(key_hash, VERSION))
        assert value == b"\x01" + item.value


def test_what_is_staged_outlasts_the_file_that_it_came_from(kernel: str, opened: RocksStore) -> None:
    records = framed_items(made_items(COUNT))
    data = bytearray(records.data)
    items = read_items(APTOS, type(records)(data, COUNT))
    expected = rows_of(value_groups(VERSION, items))
    staged = [opened.stage(table, groups) for table, groups in value_groups(VERSION, items)]
    data[:] = bytes(len(data))
    for one in staged:
        opened.move_in(one)
    for table in STATE_VALUES:
        assert list(opened.scan(table)) == expected[table]


def test_what_was_not_moved_in_is_dropped_at_the_end(
    kernel: str, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "TABLE_ROWS", 1)
    opened = RocksStore.open(database)
    staged = [opened.stage(table, groups) for table, groups in groups_of(*chunk(made_items(COUNT)))]
    opened.move_in(staged[0])
    assert len(list(tables_folder(opened).iterdir())) == sum(len(one.files) for one in staged[1:])
    opened.close()
    assert list(tables_folder(opened).iterdir()) == []
    with_rows = RocksStore.open(database)
    filled = [table for table in (*STATE_VALUES, *TREE_NODES) if with_rows.last(table) is not None]
    with_rows.close()
    assert filled == [staged[0].table]


def test_a_full_disk_is_told_as_one_and_leaves_no_table_file(
    kernel: str, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "TABLE_ROWS", 1)
    items, _ = chunk(made_items(COUNT))
    opened = RocksStore.open(database)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DiskFullError) as caught:
            opened.stage(*next(value_groups(VERSION, items)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(database) in str(caught.value.file)
    opened.close()
    assert list(tables_folder(opened).iterdir()) == []


def test_few_rows_that_are_large_count_for_what_they_take(opened: RocksStore) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        items = [(number.to_bytes(32), bytes(100_000)) for number in range(100)]
        staged = opened.stage(STATE_VALUES[0], [items])
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert staged.files == ()
    assert StagedChunk((staged,)).memory_bytes == pytest.approx(after - before, rel=0.01)


def test_rows_beside_those_of_a_namesake_go_in_one_batch() -> None:
    one, two, three = STATE_VALUES[:3]
    row = [(b"key", b"value")]
    files = (Path("1.sst"),)
    found = merged(
        [StagedTable(one, row, ()), StagedTable(two, [], files), StagedTable(one, [], ())],
        [StagedTable(two, row, ()), StagedTable(three, row, ()), StagedTable(one, row, files)],
    )
    assert found == [
        StagedTable(one, row * 2, files),
        StagedTable(two, row, files),
        StagedTable(one, [], ()),
        StagedTable(three, row, ()),
    ]
