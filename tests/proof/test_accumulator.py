"""The append-only tree against its definition, and the published vectors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import ProofError
from restore.ledger.hashes import ACCUMULATOR_PLACEHOLDER, APTOS
from restore.proof.accumulator import (
    Accumulator,
    FrozenNode,
    frozen_count,
    frozen_subtrees,
    in_order,
    post_order,
    root_of,
)

SEED = APTOS.transaction_accumulator

properties = settings(max_examples=200, deadline=None, derandomize=True)
counts = st.integers(0, 200)


def leaf(index: int) -> bytes:
    return hashlib.sha3_256(f"leaf{index}".encode()).digest()


def leaves(count: int, first: int = 0) -> list[bytes]:
    return [leaf(first + index) for index in range(count)]


def naive_node(level: int, index: int, count: int) -> bytes:
    """A node of the tree of the first `count` leaves, by its definition."""
    if index << level >= count:
        return ACCUMULATOR_PLACEHOLDER
    if level == 0:
        return leaf(index)
    left, right = (naive_node(level - 1, 2 * index + side, count) for side in (0, 1))
    return hashlib.sha3_256(SEED + left + right).digest()


def naive_root(count: int) -> bytes:
    return naive_node((count - 1).bit_length() if count else 0, 0, count)


def naive_frozen(count: int) -> list[FrozenNode]:
    """All complete nodes, in the order in which they complete."""
    return [
        FrozenNode(level, index, naive_node(level, index, count))
        for last in range(count)
        for level in range(8)
        for index in [((last + 1) >> level) - 1]
        if (index + 1) << level == last + 1
    ]


@properties
@given(counts)
def test_the_root_follows_the_definition(count: int) -> None:
    assert root_of(SEED, leaves(count)) == naive_root(count)
    accumulator = Accumulator(SEED)
    accumulator.append(leaves(count))
    assert accumulator.root() == naive_root(count)


@properties
@given(st.lists(st.integers(0, 40), max_size=6))
def test_appending_in_batches_completes_every_node_once(sizes: list[int]) -> None:
    accumulator, completed = Accumulator(SEED), list[FrozenNode]()
    for size in sizes:
        completed += accumulator.append(leaves(size, accumulator.count))
        assert accumulator.root() == naive_root(accumulator.count)
        continued = Accumulator(SEED, accumulator.count, accumulator.frozen_roots)
        assert continued.frozen_roots == accumulator.frozen_roots
        assert continued.append(leaves(3)) == Accumulator(
            SEED, accumulator.count, accumulator.frozen_roots
        ).append(leaves(3))
    assert accumulator.count == sum(sizes)
    assert completed == naive_frozen(sum(sizes))
    assert [post_order(node.level, node.index) for node in completed] == list(range(frozen_count(sum(sizes))))


@properties
@given(st.lists(st.integers(0, 40), max_size=6))
def test_extending_completes_the_same_nodes_in_one_piece(sizes: list[int]) -> None:
    by_leaves, by_pieces = Accumulator(SEED), Accumulator(SEED)
    for size in sizes:
        new = leaves(size, by_leaves.count)
        assert by_pieces.extend(b"".join(new)) == b"".join(node.hash for node in by_leaves.append(new))
        assert by_pieces.count == by_leaves.count
        assert by_pieces.frozen_roots == by_leaves.frozen_roots


@properties
@given(counts, counts)
def test_whole_subtrees_append_as_their_leaves_do(count: int, more: int) -> None:
    by_leaves = Accumulator(SEED)
    by_leaves.append(leaves(count))
    by_subtrees = Accumulator(SEED, count, by_leaves.frozen_roots)
    by_leaves.append(leaves(more, count))
    subtrees, position = [], count
    while position < count + more:
        level = (count + more - position).bit_length() - 1
        while position & ((1 << level) - 1):
            level -= 1
        subtrees.append(root_of(SEED, leaves(1 << level, position)))
        position += 1 << level
    by_subtrees.append_subtrees(subtrees, more)
    assert by_subtrees.frozen_roots == by_leaves.frozen_roots
    assert by_subtrees.count == by_leaves.count


@pytest.mark.parametrize("wrong", [0, 1, 3])
def test_a_consistency_proof_of_another_length_changes_nothing(wrong: int) -> None:
    accumulator = Accumulator(SEED)
    accumulator.append(leaves(3))
    before = accumulator.frozen_roots
    with pytest.raises(ProofError) as caught:
        accumulator.append_subtrees(leaves(wrong), 3)
    assert (caught.value.expected, caught.value.found) == ("2", str(wrong))
    assert (accumulator.count, accumulator.frozen_roots) == (3, before)


def test_eleven_leaves_have_three_frozen_subtrees() -> None:
    roots = leaves(3)
    nodes = frozen_subtrees(11, roots)
    assert nodes == [FrozenNode(3, 0, roots[0]), FrozenNode(1, 4, roots[1]), FrozenNode(0, 10, roots[2])]
    assert [post_order(node.level, node.index) for node in nodes] == [14, 17, 18]
    assert frozen_count(11) == 19


@pytest.mark.parametrize("given_roots", [2, 4])
def test_another_number_of_frozen_roots_is_refused(given_roots: int) -> None:
    with pytest.raises(ProofError, match="number of frozen subtrees: expected 3, found"):
        frozen_subtrees(11, leaves(given_roots))
    with pytest.raises(ProofError, match="number of frozen subtrees"):
        Accumulator(SEED, 11, leaves(given_roots))


def test_positions_are_those_of_the_schema() -> None:
    nodes = [(0, 0), (0, 1), (1, 0), (0, 2), (0, 3), (1, 1), (2, 0), (0, 4)]
    assert [post_order(level, index) for level, index in nodes] == list(range(8))
    assert [in_order(0, 0), in_order(1, 0), in_order(0, 1), in_order(2, 0)] == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((shared / "data/vectors/accumulator.json").read_text())
    return loaded


def test_published_roots(vectors: dict[str, Any]) -> None:
    for count, expected in vectors["roots"].items():
        accumulator = Accumulator(SEED)
        accumulator.append(leaves(int(count)))
        assert accumulator.root().hex() == expected["root"]
        assert [root.hex() for root in accumulator.frozen_roots] == expected[
            "frozen_subtree_roots_left_to_right"
        ]


def test_published_consistency_proofs(vectors: dict[str, Any]) -> None:
    for case in vectors["consistency"]:
        accumulator = Accumulator(SEED)
        accumulator.append(leaves(case["from_leaves"]))
        assert accumulator.root().hex() == case["root_before"]
        subtrees = [bytes.fromhex(subtree) for subtree in case["subtrees"]]
        accumulator.append_subtrees(subtrees, case["to_leaves"] - case["from_leaves"])
        assert accumulator.count == case["to_leaves"]
        assert accumulator.root().hex() == case["root_after"]
