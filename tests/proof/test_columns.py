"""A chunk's part of the tree in both forms: the same nodes, the same edge, and the same tree in the end."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import HealthCheck, given, settings

from restore.errors import ProofError, RestoreError
from restore.kernel.choice import PURE
from restore.ledger.hashes import APTOS
from restore.ledger.state import StateItem, Usage
from restore.proof.builder import NodeRow, TreeBuilder
from restore.proof.columns import NodeColumns, PreparedChunk, prepare_edge, prepare_tree
from restore.proof.edge import TreeLeaf
from restore.proof.frontier import Frontier
from restore.proof.items import ItemColumns, ParsedItems, StateItems
from restore.proof.jellyfish import parse_node_key
from restore.proof.snapshot import FrontierProver, SnapshotProver, TreeProver
from tests.kernel.chunks import columns_of
from tests.kernels import KERNELS, NATIVE, needs_native
from tests.proof.naive import NaiveTree, chunked_leaves, leaf_of, sha3

VERSION = 300

Chunks = list[list[TreeLeaf]]

properties = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


class ChosenItems(ParsedItems):
    """Objects whose hashes are chosen, not computed."""

    def __init__(self, leaves: list[TreeLeaf]) -> None:
        super().__init__(APTOS, [])
        self.items = [StateItem(leaf.state_key, b"\x00\x00") for leaf in leaves]
        self.leaves = leaves


def items_of(leaves: list[TreeLeaf], form: str) -> StateItems:
    return columns_of(leaves) if form == NATIVE else ChosenItems(leaves)


def rows_of(part: PreparedChunk) -> list[NodeRow]:
    """The chunk's own rows, in the order of the form."""
    if not isinstance(part.nodes, NodeColumns):
        return part.nodes
    from restore.kernel import _native

    nodes, items = part.nodes, part.nodes.items
    columns = (items.data, items.spans, items.leaves, nodes.nodes)
    return [
        NodeRow(parse_node_key(key)[1], row)
        for depth, first, end in nodes.by_depth()
        for key, row in _native.encode_rows(*columns, VERSION, depth, first, end)
    ]


def some_leaves(count: int) -> list[TreeLeaf]:
    return [leaf_of(key) for key in sorted(sha3(index.to_bytes(2, "big")) for index in range(count))]


@needs_native
@properties
@given(chunked_leaves())
def test_both_forms_make_the_same_of_every_chunk(chunks: Chunks) -> None:
    for chunk in chunks:
        columns = prepare_tree(APTOS, VERSION, items_of(chunk, NATIVE))
        objects = prepare_tree(APTOS, VERSION, items_of(chunk, PURE))
        assert columns.edge == objects.edge
        assert rows_of(columns) == rows_of(objects)
        assert len(columns.nodes) == len(objects.nodes)


@needs_native
@settings(properties, max_examples=30)
@given(chunked_leaves())
def test_joined_chunks_are_the_tree_by_its_definition(chunks: Chunks) -> None:
    naive, builder = NaiveTree(VERSION, list(chain(*chunks))), TreeBuilder(APTOS, VERSION)
    rows: list[NodeRow] = []
    for chunk in chunks:
        part = prepare_tree(APTOS, VERSION, items_of(chunk, NATIVE))
        rows += builder.join(part.edge) + rows_of(part)
        builder.prove(naive.right_siblings(chunk[-1].key_hash), root=naive.root())
    root, rest = builder.finish()
    assert root == naive.root()
    assert dict(rows + rest) == naive.rows()
    assert len(rows + rest) == len(naive.rows())


@pytest.mark.parametrize("form", KERNELS)
@settings(properties, max_examples=50)
@given(chunks=chunked_leaves())
def test_a_frontier_proves_edges_as_it_proves_leaves(form: str, chunks: Chunks) -> None:
    naive = NaiveTree(VERSION, list(chain(*chunks)))
    by_edges, by_leaves = Frontier(APTOS), Frontier(APTOS)
    for chunk in chunks:
        by_edges.join(prepare_edge(APTOS, items_of(chunk, form)))
        by_leaves.add((leaf.key_hash, leaf.value_hash) for leaf in chunk)
        assert by_edges.state() == by_leaves.state()
        by_edges.prove(naive.right_siblings(chunk[-1].key_hash), root=naive.root())
    assert by_edges.root() == naive.root()


@needs_native
def test_the_edge_of_columns_is_tiny() -> None:
    assert len(prepare_edge(APTOS, items_of(some_leaves(5000), NATIVE))) < 150


@pytest.mark.parametrize("form", KERNELS)
def test_a_chunk_of_one_item_is_its_leaf(form: str) -> None:
    leaves = some_leaves(1)
    part = prepare_tree(APTOS, VERSION, items_of(leaves, form))
    assert (rows_of(part), part.edge) == ([], leaves)
    assert prepare_edge(APTOS, items_of(leaves, form)) == leaves


@needs_native
def test_nodes_know_their_depths_and_their_paths() -> None:
    nodes = prepare_tree(APTOS, VERSION, items_of(some_leaves(600), NATIVE)).nodes
    assert isinstance(nodes, NodeColumns)
    rows = rows_of(PreparedChunk(nodes, []))
    depths = list(nodes.by_depth())
    assert [depth for depth, _, _ in depths] == sorted({len(row.path) for row in rows}, reverse=True)
    assert [number for _, first, end in depths for number in range(first, end)] == list(range(len(nodes)))
    assert all(nodes.key_hash(number).hex().startswith(row.path) for number, row in enumerate(rows))


@needs_native
@pytest.mark.parametrize("order", [[1, 0], [0, 0], [0, 2, 1], [0, 1, 1]])
def test_keys_that_do_not_ascend_are_told_in_the_same_words(order: list[int]) -> None:
    leaves = some_leaves(3)
    told = []
    for form in (PURE, NATIVE):
        items = items_of([leaves[index] for index in order], form)
        with pytest.raises(ProofError, match="increasing") as caught:
            prepare_tree(APTOS, VERSION, items)
        told.append((str(caught.value), caught.value.expected, caught.value.found, caught.value.hint))
    assert told[0] == told[1]
    assert told[0][1] == f"above {leaves[order[-2]].key_hash.hex()}"


def provers() -> list[SnapshotProver]:
    return [FrontierProver(APTOS), TreeProver(APTOS, VERSION)]


@pytest.mark.parametrize("form", KERNELS)
@pytest.mark.parametrize("which", [0, 1], ids=["frontier", "tree"])
@pytest.mark.parametrize("order", [[1, 0], [0, 0], [0, 2, 1], [0, 1, 1]])
def test_no_prover_takes_keys_that_do_not_ascend(form: str, which: int, order: list[int]) -> None:
    leaves, prover = some_leaves(3), provers()[which]
    with pytest.raises(ProofError, match="increasing"):
        prover.prepare(items_of([leaves[index] for index in order], form))


@pytest.mark.parametrize("form", KERNELS)
@pytest.mark.parametrize("which", [0, 1], ids=["frontier", "tree"])
def test_no_prover_takes_chunks_that_do_not_ascend(form: str, which: int) -> None:
    leaves, prover = some_leaves(30), provers()[which]
    parts = [prover.prepare(items_of(leaves[start : start + 10], form)) for start in (0, 10, 20)]
    prover.join(parts[0].edge)
    prover.join(parts[2].edge)
    for part in (parts[1], parts[2]):
        with pytest.raises(ProofError, match="increasing"):
            prover.join(part.edge)


@pytest.mark.parametrize("form", KERNELS)
@pytest.mark.parametrize("which", [0, 1], ids=["frontier", "tree"])
@pytest.mark.parametrize("what", ["missing", "value", "foreign"])
def test_a_missing_a_changed_or_a_foreign_item_is_refused(form: str, which: int, what: str) -> None:
    leaves = some_leaves(600)
    naive, prover = NaiveTree(VERSION, leaves), provers()[which]
    other = list(leaves)
    if what == "missing":
        del other[300]
    elif what == "value":
        other[300] = other[300]._replace(value_hash=sha3(b"other"))
    else:
        other[300] = other[300]._replace(key_hash=other[299].key_hash[:-1] + b"\xff")
    prover.join(prover.prepare(items_of(other, form)).edge)
    with pytest.raises(ProofError, match="another root"):
        prover.prove(naive.right_siblings(leaves[-1].key_hash), root=naive.root())


@needs_native
def test_a_kernel_that_refuses_what_is_sound_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from restore.kernel import _native

    monkeypatch.setattr(_native, "tree_columns", lambda *_: None)
    items = items_of(some_leaves(3), NATIVE)
    assert isinstance(items, ItemColumns)
    assert items.usage == Usage(3, 0)
    with pytest.raises(RestoreError, match="disagree"):
        prepare_tree(APTOS, VERSION, items)
