"""Tree nodes in columns, read without the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from restore.ledger.hashes import APTOS
from restore.proof.edge import TreeLeaf
from restore.proof.jellyfish import MAX_NIBBLES, Child, encode_internal, encode_leaf

NODE = Struct("32s4I")


class Node(NamedTuple):
    """One node of the columns."""

    hash: bytes
    first_leaf: int
    leaves: int
    children: int
    child_count: int


class Hanging(NamedTuple):
    """A finished child of a node that is still open."""

    depth: int
    leaf: int
    hash: bytes
    leaves: int
    is_leaf: bool


class Tree(NamedTuple):
    """What `tree_columns` gives, taken apart."""

    nodes: list[Node]
    starts: tuple[int, ...]
    hanging: list[Hanging]


def tree_of(leaves: bytes) -> Tree | None:
    """Asks the kernel."""
    from restore.kernel import _native

    found = _native.tree_columns(leaves, APTOS.sparse_leaf, APTOS.sparse_internal)
    if found is None:
        return None
    nodes, starts, hanging = found
    return Tree(
        [Node(*fields) for fields in NODE.iter_unpack(nodes)], starts, [Hanging(*one) for one in hanging]
    )


def packed(nodes: Sequence[Node]) -> bytes:
    """The nodes as columns."""
    return b"".join(NODE.pack(*node) for node in nodes)


def rows_by_path(tree: Tree, leaves: Sequence[TreeLeaf], version: int) -> list[tuple[str, bytes]]:
    """Paths and encoded nodes, in the order of the columns."""
    rows = []
    for depth in range(MAX_NIBBLES, 0, -1):
        for node in tree.nodes[tree.starts[depth] : tree.starts[depth - 1]]:
            path = leaves[node.first_leaf].key_hash.hex()[:depth]
            if node.child_count:
                children = {}
                for child in tree.nodes[node.children : node.children + node.child_count]:
                    nibble = int(leaves[child.first_leaf].key_hash.hex()[depth], 16)
                    children[nibble] = Child(version, child.hash, child.leaves, not child.child_count)
                rows.append((path, encode_internal(children)))
            else:
                key_hash, value_hash, state_key = leaves[node.first_leaf]
                row = encode_leaf(key_hash, value_hash, state_key=state_key, version=version)
                rows.append((path, row))
    return rows
