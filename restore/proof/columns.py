"""The part of the tree that one chunk builds alone, in columns: what `build_chunk_tree` does, by the kernel.

Source: spec/ledger-hashing.md 5.1 to 5.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple, TypeAlias

from restore.ledger.hashes import Domain
from restore.proof.builder import NodeRow, build_chunk_tree, check_order
from restore.proof.edge import Edge, Subtree
from restore.proof.items import ItemColumns, ParsedItems, StateItems, disagreement
from restore.proof.jellyfish import MAX_NIBBLES, Child

_NODE = Struct("32s4I")
"""Hash, a leaf below, number of leaves, where the children begin, number of children."""


class NodeColumns:
    """The final nodes of one chunk, in columns: by depth, ascending in each.

    Attributes:
        items: the chunk's items, their leaves.
        nodes: the nodes, for the kernel alone to look into.
        starts: for each depth where its nodes begin; those of depth d end where those of d - 1 begin.
    """

    def __init__(self, items: ItemColumns, nodes: bytes, starts: tuple[int, ...]) -> None:
        self.items = items
        self.nodes = nodes
        self.starts = starts

    def __len__(self) -> int:
        return len(self.nodes) // _NODE.size

    def by_depth(self) -> Iterator[tuple[int, int, int]]:
        """Each depth that has nodes, the deepest first: depth, first node, end."""
        for depth in range(MAX_NIBBLES, 0, -1):
            if self.starts[depth] < self.starts[depth - 1]:
                yield depth, self.starts[depth], self.starts[depth - 1]

    def key_hash(self, node: int) -> bytes:
        """The key hash of a leaf below a node: its path is a prefix of it."""
        leaf: int = _NODE.unpack_from(self.nodes, _NODE.size * node)[1]
        return self.items.key_hash(leaf)


Nodes: TypeAlias = list[NodeRow] | NodeColumns
"""The final nodes of one chunk: as encoded rows, or in columns."""


class PreparedChunk(NamedTuple):
    """What one chunk alone says about the tree: its final nodes, where they are kept, and its edge."""

    nodes: Nodes
    edge: Edge


def prepare_tree(domain: Domain, version: int, items: StateItems) -> PreparedChunk:
    """Builds all nodes that are final inside the chunk, in the form that the items have.

    Raises:
        ProofError: the keys are not strictly increasing.

    Bounds: columns of some 65 bytes an item, and as much while they are built.
    """
    if isinstance(items, ParsedItems):
        tree = build_chunk_tree(domain, version, items.leaves)
        return PreparedChunk(tree.rows, tree.edge)
    if len(items) == 1:
        return PreparedChunk([], [items.leaf(0)])
    return _in_columns(domain, version, items)


def prepare_edge(domain: Domain, items: StateItems) -> Edge:
    """The edge alone, for a frontier.

    Raises:
        ProofError: the keys are not strictly increasing.
    """
    if isinstance(items, ParsedItems):
        check_order(items.leaves)  # rows are made of them before the frontier sees them
        return list(items.leaves)
    return prepare_tree(domain, 0, items).edge


def _in_columns(domain: Domain, version: int, items: ItemColumns) -> PreparedChunk:
    from restore.kernel import _native

    columns = _native.tree_columns(items.leaves, domain.sparse_leaf, domain.sparse_internal)
    if columns is None:
        build_chunk_tree(domain, version, [items.leaf(index) for index in range(len(items))])
        raise disagreement()
    nodes, starts, hanging = columns
    subtrees = [
        Subtree(items.key_hash(leaf).hex()[:depth], Child(version, node, leaves, is_leaf))
        for depth, leaf, node, leaves, is_leaf in hanging
    ]
    return PreparedChunk(NodeColumns(items, nodes, starts), [items.leaf(0), *subtrees, items.leaf(-1)])
