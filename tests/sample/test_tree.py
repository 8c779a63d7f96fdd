"""The sample's state tree against the tree by its definition."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from restore.ledger.hashes import APTOS, SPARSE_PLACEHOLDER
from restore.proof.edge import TreeLeaf
from restore.sample.tree import BUCKETS, StateTree, right_siblings
from tests.proof.naive import LEAF_SEED, NaiveTree, sha3

KEYS = st.one_of(
    st.integers(0, 40).map(lambda number: sha3(bytes((number,)))),
    # Keys that part late, or early: deep paths of lone leaves, and subtrees of a whole bucket.
    st.integers(0, 40).map(lambda number: bytes(31) + bytes((number,))),
    st.integers(0, 40).map(lambda number: b"\x5a" * 20 + bytes((number,)) + bytes(11)),
    st.integers(0, 255).map(lambda number: bytes((number,)) + bytes(31)),
)


def value(key: bytes, change: int = 0) -> bytes:
    return hashlib.sha3_256(key + bytes((change,))).digest()


def leaf(key: bytes, change: int = 0) -> bytes:
    return sha3(LEAF_SEED + key + value(key, change))


def planted(cold: Iterable[bytes], hot: Iterable[bytes]) -> StateTree:
    tree = StateTree(APTOS.sparse_internal)
    cold_keys: defaultdict[int, list[bytes]] = defaultdict(list)
    hot_keys: defaultdict[int, list[bytes]] = defaultdict(list)
    for key in sorted(cold):
        cold_keys[key[0]].append(key)
    for key in sorted(hot):
        hot_keys[key[0]].append(key)
    for bucket in range(BUCKETS):
        keys = cold_keys[bucket]
        numbers = [int.from_bytes(key, "big") for key in keys]
        tree.plant(bucket, numbers, [leaf(key) for key in keys], hot_keys=hot_keys[bucket])
    tree.settle()
    return tree


def naive(leaves: dict[bytes, int]) -> NaiveTree:
    return NaiveTree(0, [TreeLeaf(key, value(key, leaves[key]), b"") for key in sorted(leaves)])


@given(st.sets(KEYS, max_size=30), st.sets(KEYS, max_size=12), st.data())
def test_roots_are_those_of_the_definition_while_hot_keys_come_and_go(
    cold: set[bytes], hot: set[bytes], data: st.DataObject
) -> None:
    cold -= hot
    tree = planted(cold, hot)
    there = dict.fromkeys(cold, 0)
    assert tree.root == naive(there).root()
    for change in range(1, 4):
        touched = data.draw(st.sets(st.sampled_from(sorted(hot)))) if hot else set()
        present = {key: data.draw(st.booleans()) for key in sorted(touched)}
        tree.update((key, leaf(key, change) if is_there else None) for key, is_there in present.items())
        for key, is_there in present.items():
            there.pop(key, None)
            if is_there:
                there[key] = change
        assert tree.root == naive(there).root()


@given(st.sets(KEYS, min_size=1, max_size=40), st.sets(KEYS, max_size=5))
def test_right_siblings_are_those_of_the_definition(cold: set[bytes], hot: set[bytes]) -> None:
    cold -= hot
    top = planted(cold, hot).top()
    whole = naive(dict.fromkeys(cold, 0))
    for key in sorted(cold):
        bucket = sorted(other for other in cold if other[0] == key[0])
        siblings = right_siblings(
            APTOS.sparse_internal,
            top,
            [int.from_bytes(other, "big") for other in bucket],
            [leaf(other) for other in bucket],
            position=bisect_left(bucket, key),
        )
        assert siblings == whole.right_siblings(key)


def test_an_empty_tree_is_a_placeholder() -> None:
    assert planted([], [sha3(b"hot")]).root == SPARSE_PLACEHOLDER
