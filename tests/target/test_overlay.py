"""Trees with changes on top, against the naive tree of what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore.errors import DamagedTargetError
from restore.ledger.hashes import APTOS, SPARSE_PLACEHOLDER
from restore.proof.builder import NodeRow
from restore.proof.edge import TreeLeaf
from restore.proof.jellyfish import node_key
from restore.target.overlay import Change, StateTree
from restore.target.rows import node_rows
from restore.target.schema import MERKLE_METADATA, TREE_NODES, TREE_ROOTS
from restore.target.store import RocksStore
from tests.proof.naive import FAR, FORKED, LEAVES, NEAR, NaiveTree, leaf_of, sha3


@contextmanager
def opened(folder: Path) -> Iterator[RocksStore]:
    store = RocksStore.open(folder)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def tree_of(store: RocksStore, version: int, leaves: list[TreeLeaf]) -> Iterator[StateTree]:
    """The tree of `leaves`, stored at `version`, with nothing on top."""
    rows = NaiveTree(version, leaves).rows()
    store.write(MERKLE_METADATA, {TREE_ROOTS: [(node_key(version, ""), rows.pop(""))]})
    for shard, table in enumerate(TREE_NODES):
        nodes = [NodeRow(path, node) for path, node in rows.items() if path.startswith(f"{shard:x}")]
        groups = node_rows(version, nodes)
        store.write(table.instance, {table: [row for group in groups for row in group]})
    scratch = store.scratch()
    scratch.open()
    try:
        yield StateTree(store, scratch, APTOS, version)
    finally:
        scratch.close()


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[TreeLeaf], list[dict[bytes, bytes | None]]]:
    """Leaves, and batches of changes to them: to keys that are there, were there, or never were."""
    leaves = draw(LEAVES | st.just([]))
    fresh = draw(st.lists(FAR | NEAR | FORKED, max_size=10))
    keys = st.sampled_from(sorted({*fresh, *(leaf.key_hash for leaf in leaves)}) or [bytes(32)])
    values = st.none() | st.binary(min_size=1, max_size=1).map(sha3)
    # Deletions of nearly everything make leaves float far.
    batches = st.lists(st.dictionaries(keys, values, max_size=30), min_size=1, max_size=4)
    return leaves, draw(batches)


def changes_of(batch: dict[bytes, bytes | None]) -> list[Change]:
    return [Change(key, value, leaf_of(key).state_key) for key, value in batch.items()]


def test_each_batch_leads_to_the_naive_root_of_what_is_left(database: Path) -> None:
    versions = count(1)
    with opened(database) as store:

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(histories())
        def check(history: tuple[list[TreeLeaf], list[dict[bytes, bytes | None]]]) -> None:
            leaves, batches = history
            left = {leaf.key_hash: leaf for leaf in leaves}
            version = next(versions)
            with tree_of(store, version, leaves) as tree:
                for batch in batches:
                    root, number = tree.apply(changes_of(batch))
                    for key, value in batch.items():
                        if value is None:
                            left.pop(key, None)
                        else:
                            left[key] = TreeLeaf(key, value, leaf_of(key).state_key)
                    expected = NaiveTree(version, [left[key] for key in sorted(left)])
                    assert (root, number) == (expected.root(), len(left))

        check()


def key(path: str) -> bytes:
    """A key hash that begins with `path`."""
    return bytes.fromhex(path.ljust(64, "0"))


def leaves_at(*paths: str) -> list[TreeLeaf]:
    return [leaf_of(key(path)) for path in sorted(paths)]


@pytest.mark.parametrize(
    ("before", "deleted"),
    [
        (["1", "2"], ["2"]),  # the other one becomes the root
        (["1"], ["1"]),  # nothing is left
        (["1", "2", "abcde1", "abcde2"], ["abcde2"]),  # floats up five nodes to the root's child
        (["abcde1", "abcde2"], ["abcde2"]),  # floats up to be the root
        (["1", "abcd1", "abcd2", "ab2"], ["abcd1"]),  # floats up to where its neighbour parts
        (["ab1", "ab2", "ab3"], ["ab1", "ab2", "ab3"]),
        (["1", "ab1", "ab2", "ab3"], ["ab1", "ab2", "ab3"]),
        (["0" * 63 + "1", "0" * 63 + "2"], ["0" * 63 + "2"]),  # all the way
    ],
)
def test_what_deletions_leave_alone_floats_up(database: Path, before: list[str], deleted: list[str]) -> None:
    with opened(database) as store, tree_of(store, 9, leaves_at(*before)) as tree:
        left = leaves_at(*(path for path in before if path not in deleted))
        found = tree.apply([Change(key(path), None, b"") for path in deleted])
        assert found == (NaiveTree(9, left).root(), len(left))
        # What floated is found where it is now, and can be changed again.
        again = leaves_at(*before)
        changes = [Change(leaf.key_hash, leaf.value_hash, leaf.state_key) for leaf in again]
        assert tree.apply(changes) == (NaiveTree(9, again).root(), len(again))


def test_a_tree_may_begin_empty_and_end_empty(database: Path) -> None:
    with opened(database) as store, tree_of(store, 9, []) as tree:
        assert tree.apply([]) == (SPARSE_PLACEHOLDER, 0)
        leaf = leaf_of(key("1"))
        assert tree.apply([Change(*leaf)]) == (NaiveTree(9, [leaf]).root(), 1)
        assert tree.apply([Change(leaf.key_hash, None, b"")]) == (SPARSE_PLACEHOLDER, 0)


def test_the_database_is_not_touched(database: Path) -> None:
    leaves = leaves_at("1", "2", "abc1", "abc2")
    with opened(database) as store, tree_of(store, 9, leaves) as tree:
        before = [list(store.scan(table)) for table in (*TREE_NODES, TREE_ROOTS)]
        tree.apply([Change(key("abc1"), None, b""), Change(*leaf_of(key("5")))])
        assert [list(store.scan(table)) for table in (*TREE_NODES, TREE_ROOTS)] == before


def put_node(store: RocksStore, path: str, node: bytes) -> None:
    table = TREE_NODES[int(path[0], 16)]
    store.write(table.instance, {table: [(node_key(9, path), node)]})


@pytest.mark.parametrize(
    ("path", "damage", "says"),
    [
        ("a", lambda rows: rows["2"], "lacks an internal node"),
        ("2", lambda rows: rows["a"], "lacks a leaf"),
        ("2", lambda rows: rows["1"], "lacks a leaf"),
    ],
)
def test_a_node_that_is_not_what_its_parent_says_is_damage(
    database: Path, path: str, damage: Callable[[dict[str, bytes]], bytes], says: str
) -> None:
    leaves = leaves_at("1", "2", "a1", "a2")
    with opened(database) as store, tree_of(store, 9, leaves) as tree:
        put_node(store, path, damage(NaiveTree(9, leaves).rows()))
        with pytest.raises(DamagedTargetError, match=says) as caught:
            tree.apply([Change(key("a1"), None, b""), Change(key("2"), None, b"")])
        table = TREE_NODES[int(path, 16)]
        assert caught.value.file == f"{table} {node_key(9, path).hex()}"


def test_a_missing_node_is_damage(database: Path) -> None:
    with opened(database) as store, tree_of(store, 9, leaves_at("1", "2")) as tree:
        other = StateTree(store, tree._scratch, APTOS, 8)
        with pytest.raises(DamagedTargetError, match="lacks a node"):
            other.apply([])
