"""The tree built chunk by chunk against the tree by its definition."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import chain

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import ProofError
from restore.ledger.hashes import APTOS, SPARSE_PLACEHOLDER
from restore.ledger.state import hash_keys, hash_values
from restore.proof.builder import NodeRow, TreeBuilder, TreeState, build_chunk_tree
from restore.proof.edge import TreeLeaf
from restore.proof.frontier import Frontier
from restore.proof.jellyfish import NULL_NODE, InternalNode, decode_node, leaf_hash, node_key
from tests.proof.naive import LEAVES, NaiveTree, chunked_leaves, joined, leaf_of, sha3

VERSION = 300
"""Takes two bytes as a varint."""

Chunks = list[list[TreeLeaf]]

properties = settings(max_examples=100, deadline=None, derandomize=True)


def build(chunks: Sequence[Sequence[TreeLeaf]]) -> tuple[bytes, list[list[NodeRow]]]:
    """The root, and the rows of each join and of the end."""
    builder = TreeBuilder(APTOS, VERSION)
    batches = [joined(builder, build_chunk_tree(APTOS, VERSION, chunk)) for chunk in chunks]
    root, rest = builder.finish()
    return root, [*batches, rest]


def pairs(chunk: Sequence[TreeLeaf]) -> list[tuple[bytes, bytes]]:
    return [(leaf.key_hash, leaf.value_hash) for leaf in chunk]


@properties
@given(chunked_leaves())
def test_the_tree_does_not_depend_on_the_chunks(chunks: Chunks) -> None:
    naive = NaiveTree(VERSION, list(chain(*chunks)))
    root, batches = build(chunks)
    rows = list(chain(*batches))
    assert root == naive.root()
    assert dict(rows) == naive.rows()
    assert len(rows) == len(dict(rows))  # each exactly once


@properties
@given(chunked_leaves())
def test_rows_ascend_at_each_depth_and_the_root_comes_last(chunks: Chunks) -> None:
    _, batches = build(chunks)
    highest: dict[int, str] = {}
    for path, _ in chain(*batches):
        assert path > highest.get(len(path), "") or not path
        highest[len(path)] = path
    assert batches[-1][-1].path == ""


@properties
@given(chunked_leaves())
def test_every_chunk_is_proven_by_the_builder_and_the_frontier(chunks: Chunks) -> None:
    naive = NaiveTree(VERSION, list(chain(*chunks)))
    builder, frontier = TreeBuilder(APTOS, VERSION), Frontier(APTOS)
    for chunk in chunks:
        right = naive.right_siblings(chunk[-1].key_hash)
        joined(builder, build_chunk_tree(APTOS, VERSION, chunk))
        builder.prove(right, root=naive.root())
        frontier.add(pairs(chunk))
        frontier.prove(right, root=naive.root())
    assert frontier.root() == builder.finish()[0] == naive.root()


@properties
@given(chunked_leaves())
def test_a_saved_state_continues_exactly(chunks: Chunks) -> None:
    root, batches = build(chunks)
    state = TreeState()
    for chunk, rows in zip(chunks, batches[:-1], strict=True):
        builder = TreeBuilder(APTOS, VERSION, state)
        assert builder.state() == state
        assert joined(builder, build_chunk_tree(APTOS, VERSION, chunk)) == rows
        state = msgspec.json.decode(msgspec.json.encode(builder.state()), type=TreeState)
    assert TreeBuilder(APTOS, VERSION, state).finish() == (root, batches[-1])


@properties
@given(chunked_leaves(), st.data())
def test_any_other_siblings_are_refused(chunks: Chunks, data: st.DataObject) -> None:
    naive = NaiveTree(VERSION, list(chain(*chunks)))
    taken = data.draw(st.integers(1, len(chunks)))
    builder, frontier = TreeBuilder(APTOS, VERSION), Frontier(APTOS)
    for chunk in chunks[:taken]:
        joined(builder, build_chunk_tree(APTOS, VERSION, chunk))
        frontier.add(pairs(chunk))
    right = naive.right_siblings(chunks[taken - 1][-1].key_hash)
    other = data.draw(changed(right))
    for prover in (builder, frontier):
        with pytest.raises(ProofError):
            prover.prove(other, root=naive.root())
        prover.prove(right, root=naive.root())
        with pytest.raises(ProofError):
            prover.prove(right, root=sha3(naive.root()))


@st.composite
def changed(draw: st.DrawFn, siblings: Sequence[bytes]) -> list[bytes]:
    """Siblings with one dropped, one flipped, two swapped, or some added at either end."""
    other = list(siblings)
    extra = [draw(st.sampled_from([SPARSE_PLACEHOLDER, bytes(32), *other]))] * draw(st.integers(1, 3))
    index = draw(st.integers(0, max(0, len(other) - 1)))
    kind = draw(st.sampled_from(["append", "prepend", "many", "drop", "flip", "swap"]))
    if kind == "append" or not other:
        other += extra
    elif kind == "prepend":
        other[:0] = extra
    elif kind == "many":
        other += [SPARSE_PLACEHOLDER] * 256
    elif kind == "drop":
        del other[index]
    elif kind == "flip":
        other[index] = bytes((other[index][0] ^ 1,)) + other[index][1:]
    else:
        other[0], other[index] = other[index], other[0]
        if other == list(siblings):
            other.reverse()
            other += extra
    return other


@properties
@given(LEAVES.filter(lambda leaves: len(leaves) >= 2), st.data())
def test_a_missing_a_foreign_or_a_changed_record_is_refused(
    leaves: list[TreeLeaf], data: st.DataObject
) -> None:
    naive = NaiveTree(VERSION, leaves)
    index = data.draw(st.integers(0, len(leaves) - 2))  # the last is what the proof is of
    kind = data.draw(st.sampled_from(["missing", "value", "foreign"]))
    other = list(leaves)
    if kind == "missing":
        del other[index]
    elif kind == "value":
        other[index] = other[index]._replace(value_hash=sha3(other[index].value_hash))
    else:
        key = data.draw(st.binary(min_size=32, max_size=32).filter(lambda key: key < leaves[-1].key_hash))
        if all(leaf.key_hash != key for leaf in leaves):
            other = sorted([*other, leaf_of(key)])
        else:
            del other[index]
    builder, frontier = TreeBuilder(APTOS, VERSION), Frontier(APTOS)
    joined(builder, build_chunk_tree(APTOS, VERSION, other))
    frontier.add(pairs(other))
    for prover in (builder, frontier):
        with pytest.raises(ProofError, match=r"another root|another number"):
            prover.prove(naive.right_siblings(leaves[-1].key_hash), root=naive.root())


def some_leaves(count: int) -> list[TreeLeaf]:
    return [leaf_of(key) for key in sorted(sha3(bytes((index,))) for index in range(count))]


@pytest.mark.parametrize("order", [[1, 0], [0, 0], [0, 2, 1]])
def test_records_that_do_not_ascend_are_refused(order: list[int]) -> None:
    leaves = some_leaves(3)
    with pytest.raises(ProofError, match="increasing") as caught:
        build_chunk_tree(APTOS, VERSION, [leaves[index] for index in order])
    assert caught.value.expected == f"above {leaves[order[-2]].key_hash.hex()}"
    assert caught.value.found == leaves[order[-1]].key_hash.hex()


def test_a_chunk_without_records_is_refused() -> None:
    with pytest.raises(ProofError, match="no leaf"):
        build_chunk_tree(APTOS, VERSION, [])


@pytest.mark.parametrize("order", [[1, 0], [0, 0], [0, 2, 1]])
def test_chunks_that_do_not_ascend_are_refused(order: list[int]) -> None:
    leaves = some_leaves(30)
    parts = [build_chunk_tree(APTOS, VERSION, leaves[start : start + 10]) for start in (0, 10, 20)]
    builder = TreeBuilder(APTOS, VERSION)
    *fine, wrong = order
    for index in fine:
        joined(builder, parts[index])
    with pytest.raises(ProofError, match="increasing"):
        joined(builder, parts[wrong])


def test_a_skipped_chunk_is_refused() -> None:
    leaves = some_leaves(30)
    naive = NaiveTree(VERSION, leaves)
    builder = TreeBuilder(APTOS, VERSION)
    for start in (0, 20):
        joined(builder, build_chunk_tree(APTOS, VERSION, leaves[start : start + 10]))
    with pytest.raises(ProofError, match="another root"):
        builder.prove(naive.right_siblings(leaves[-1].key_hash), root=naive.root())


def test_nothing_joined_proves_nothing() -> None:
    with pytest.raises(ProofError, match="no leaf"):
        TreeBuilder(APTOS, VERSION).prove([], root=SPARSE_PLACEHOLDER)


def test_an_empty_tree_is_the_null_node() -> None:
    builder = TreeBuilder(APTOS, VERSION)
    assert builder.state() == TreeState()
    assert builder.finish() == (SPARSE_PLACEHOLDER, [NodeRow("", NULL_NODE)])


def test_finishing_again_gives_the_root_again() -> None:
    leaves = some_leaves(10)
    builder = TreeBuilder(APTOS, VERSION)
    joined(builder, build_chunk_tree(APTOS, VERSION, leaves))
    root, rest = builder.finish()
    assert builder.finish() == (root, rest[-1:])


def test_a_tree_of_one_leaf_is_that_leaf_at_the_root() -> None:
    (leaf,) = some_leaves(1)
    root, batches = build([[leaf]])
    assert root == leaf_hash(APTOS, leaf.key_hash, leaf.value_hash)
    assert batches[0] == []
    assert dict(batches[1]) == NaiveTree(VERSION, [leaf]).rows()


@pytest.mark.parametrize("shared", [0, 1, 31, 60, 63])
@pytest.mark.parametrize("chunks", [1, 2])
def test_two_leaves_hang_from_a_chain_of_nodes(shared: int, chunks: int) -> None:
    keys = [bytes.fromhex(("a" * shared + digit).ljust(64, "0")) for digit in "19"]
    leaves = [leaf_of(key) for key in keys]
    root, batches = build([leaves] if chunks == 1 else [leaves[:1], leaves[1:]])
    rows = dict(chain(*batches))
    assert root == NaiveTree(VERSION, leaves).root()
    assert len(rows) == shared + 1 + 2
    for depth in range(shared):
        node = decode_node(rows["a" * depth])
        assert isinstance(node, InternalNode)
        assert [child.leaves for child in node.children.values()] == [2]


def test_a_chunk_s_tree_can_go_to_a_process_and_come_back() -> None:
    part = build_chunk_tree(APTOS, VERSION, some_leaves(100))
    assert pickle.loads(pickle.dumps(part)) == part


def test_the_edge_of_a_large_chunk_is_small() -> None:
    leaves = [leaf_of(key) for key in sorted(sha3(index.to_bytes(4)) for index in range(5000))]
    part = build_chunk_tree(APTOS, VERSION, leaves)
    assert len(part.edge) < 2 + 2 * 15 * 4
    assert len(part.rows) > 5000


def test_the_tree_of_three_raw_keys_is_that_of_the_schema() -> None:
    keys = [bytes((2, 1, number)) for number in (1, 2, 3)]
    values = [bytes((0, 4)) + bytes((number,)) * 4 for number in (1, 2, 3)]
    leaves = sorted(map(TreeLeaf, hash_keys(APTOS, keys), hash_values(APTOS, values), keys))
    builder = TreeBuilder(APTOS, 5)
    rows = joined(builder, build_chunk_tree(APTOS, 5, leaves))
    root, rest = builder.finish()
    assert root.hex() == "fba8eec85925a35233a59c61c7f9f571036331888f0f8ccd73759a426a9795e5"
    stored = {node_key(5, path).hex(): node.hex() for path, node in rows + rest}
    assert stored["000000000000000500"].startswith("0218801880056429e035")
    assert stored["00000000000000050130"].startswith("01" + leaves[0].key_hash.hex())
    assert len(stored) == 4
