"""Builds the 16-way tree of a snapshot chunk by chunk: nearly all of it anywhere, and a thin seam in order.

A chunk is a contiguous range of the snapshot's keys, in order. Three facts carry this module:

*What is final inside a chunk.* Take a nibble prefix p that is a prefix of neither the chunk's first nor its
last key, but of some key between them. All keys with prefix p are neighbours in key order, and they lie
strictly between the first and the last key: all of them are in this chunk, and no other chunk can add one.
So the node at p, its hash and its row are final. The same holds for the place of each leaf but the first
and the last: it stands at the shortest prefix that neither neighbour has, and both neighbours are here.
`build_chunk_tree` is therefore a pure function of one chunk, and any thread or process may run it.

*What the edge is.* What remains are the nodes on the paths of the first and the last key (at most 64 each),
which other chunks may still reach. Their finished children (at most 15 a node: closed subtrees and placed
leaves), in key order between the first and the last leaf, are the chunk's *edge*. It says all that the rest
of the tree needs to know of the chunk, and it is tiny: with random keys some 15 entries for each level that
the chunk spans.

*Why joining is sequential, and cheap.* Whether the first leaf of a chunk goes deeper, and which nodes of
the two paths close, depends on the chunk before. So edges are joined in order, each entry like a leaf of
5.5: it shares some nibbles with the entry before; everything that entry's path holds below them becomes
final, is hashed and closed. Between joins only the path of the last leaf is open, with its finished
children to the left, and `state` saves just that.

Order of rows: those that a join closes lie on the old path, or on the first key's path, so to the left of
all that the chunk brought itself, depth by depth. At each depth, then, the rows of a join ascend, and lie
above the rows of all earlier joins: table files, one per depth, can be written from them as they come.

Source: spec/ledger-hashing.md 5.1 to 5.5, spec/aptosdb-schema.md 2.5.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import msgspec

from restore.crypto.digest import sha3_256_many
from restore.errors import ProofError
from restore.ledger.hashes import SPARSE_PLACEHOLDER, Domain
from restore.proof.edge import Edge, Subtree, TreeLeaf
from restore.proof.frontier import Frontier, FrontierState
from restore.proof.jellyfish import (
    KEY_BITS,
    MAX_NIBBLES,
    NODE_LEVELS,
    NULL_NODE,
    Child,
    encode_internal,
    encode_leaf,
    internal_hash,
    internal_hashes,
    leaf_hash,
)

NIBBLES = {digit: nibble for nibble, digit in enumerate("0123456789abcdef")}
"""Nibble of a path's digit; a look-up is three times faster than `int`."""


class NodeRow(NamedTuple):
    """A node that no later leaf can change: its nibble path (lower-case hex) and its encoded bytes."""

    path: str
    node: bytes


@dataclass(frozen=True, slots=True)
class ChunkTree:
    """What one chunk alone says about the tree.

    Attributes:
        rows: its final nodes, the deepest first, ascending in each depth.
        edge: what the rest of the tree needs to know of it; the rows of its subtrees are among `rows`.
    """

    rows: list[NodeRow]
    edge: Edge


def build_chunk_tree(domain: Domain, version: int, leaves: Sequence[TreeLeaf]) -> ChunkTree:
    """Builds all nodes that are final inside one chunk: a pure function, to be run anywhere.

    Args:
        domain: whose hashes the tree is made of.
        version: of the snapshot; every node and leaf carries it.
        leaves: all items of the chunk, in key order.

    Raises:
        ProofError: there is no leaf, or the keys are not strictly increasing.

    Bounds: some 900 bytes a leaf at the peak and 400 in the result, with state keys of 60 bytes.
    """
    if not leaves:
        raise ProofError("a chunk of the snapshot has no leaf")
    if len(leaves) == 1:
        return ChunkTree([], [leaves[0]])
    paths = [leaf.key_hash.hex() for leaf in leaves]
    finished, children = _place_leaves(domain, version, leaves, paths)
    rows: list[NodeRow] = []
    hanging: list[Subtree] = []
    for depth in range(MAX_NIBBLES, 0, -1):
        finished[depth].sort()
        rows += finished[depth]
        open_parents = (paths[0][: depth - 1], paths[-1][: depth - 1])
        families: defaultdict[str, dict[int, Child]] = defaultdict(dict)
        for path, _ in finished[depth]:
            parent = path[:-1]
            if parent in open_parents:
                hanging.append(Subtree(path, children[path]))
            else:
                families[parent][NIBBLES[path[-1]]] = children[path]
        hashes = internal_hashes(domain, list(families.values()))
        for (parent, family), node in zip(families.items(), hashes, strict=True):
            finished[depth - 1].append(NodeRow(parent, encode_internal(family)))
            children[parent] = _internal_child(version, node, family)
    hanging.sort()
    return ChunkTree(rows, [leaves[0], *hanging, leaves[-1]])


def check_order(leaves: Iterable[TreeLeaf]) -> None:
    """Checks that the keys of one chunk are strictly increasing.

    Raises:
        ProofError: they are not.
    """
    for left, right in pairwise(leaves):
        if left.key_hash >= right.key_hash:
            raise ProofError(
                "keys are not in strictly increasing order",
                expected=f"above {left.key_hash.hex()}",
                found=right.key_hash,
            )


class ClosedChild(NamedTuple):
    """A finished child of an open node, as saved; its version is the snapshot's."""

    nibble: int
    hash: bytes
    leaves: int
    is_leaf: bool


class TreeState(msgspec.Struct, frozen=True):
    """All that a builder knows: saved between chunks, it continues exactly.

    Attributes:
        last: the last leaf; None before the first chunk.
        open_nodes: the open nodes from the root down, each with its finished children. Node i stands at the
            first i nibbles of the last leaf's key; the last leaf is to go into the lowest.
    """

    last: TreeLeaf | None = None
    open_nodes: tuple[tuple[ClosedChild, ...], ...] = ()


class TreeBuilder:
    """Joins the edges of a snapshot's chunks, in order.

    After a ProofError the builder is of no further use: continue from a state saved before.

    Args:
        domain: whose hashes the tree is made of.
        version: of the snapshot; every node and leaf carries it.
        state: where to continue; None for an empty tree.

    Bounds: 64 open nodes of at most 16 children.
    """

    def __init__(self, domain: Domain, version: int, state: TreeState | None = None) -> None:
        state = state or TreeState()
        self._domain = domain
        self._version = version
        # The last leaf, not yet in its place; None where `_tip` is the path of a finished subtree.
        self._last = state.last
        self._tip = state.last.key_hash.hex() if state.last else ""
        # Node i stands at `_tip[:i]`; the child on the way to `_tip` is not among its children yet.
        self._open: list[dict[int, Child]] = [
            {nibble: Child(version, node, leaves, is_leaf) for nibble, node, leaves, is_leaf in children}
            for children in state.open_nodes
        ]

    def join(self, edge: Edge) -> list[NodeRow]:
        """Joins the next chunk; returns the rows that are final now, besides the chunk's own.

        None of them must be written before the chunk has passed `prove`.

        Raises:
            ProofError: the chunk does not begin above the last key.
        """
        rows: list[NodeRow] = []
        for entry in edge:
            if isinstance(entry, TreeLeaf):
                self._reach(entry.key_hash.hex(), rows)
                self._last = entry
            else:
                self._reach(entry.path, rows)
                while len(self._open) < len(entry.path):
                    self._open.append({})
                self._open[-1][NIBBLES[entry.path[-1]]] = entry.child
        return rows

    def prove(self, right_siblings: Sequence[bytes], *, root: bytes) -> None:
        """Checks the leaves so far, with the chunk's right siblings, against the root of the whole tree.

        Raises:
            ProofError: they do not lead to `root`, or the siblings are not of the last leaf's path.
        """
        Frontier(self._domain, self._frontier()).prove(right_siblings, root=root)

    def finish(self) -> tuple[bytes, list[NodeRow]]:
        """Ends the tree: its root hash, and the rows that remain, the root's last.

        Nothing can be joined afterwards; called again, it gives the root and its row once more.
        """
        if not self._open:
            return SPARSE_PLACEHOLDER, [NodeRow("", NULL_NODE)]
        rows: list[NodeRow] = []
        last = self._last
        if last is not None:
            if self._open == [{}]:
                return leaf_hash(self._domain, last.key_hash, last.value_hash), [self._leaf_row(last, "")]
            self._place_last(last, rows)
            self._close(1, rows)
        (root,) = self._open
        rows.append(NodeRow("", encode_internal(root)))
        return internal_hash(self._domain, root), rows

    def state(self) -> TreeState:
        """All that is needed to continue exactly from here."""
        return TreeState(
            self._last,
            tuple(
                tuple(
                    ClosedChild(nibble, child.hash, child.leaves, child.is_leaf)
                    for nibble, child in node.items()
                )
                for node in self._open
            ),
        )

    def _reach(self, path: str, rows: list[NodeRow]) -> None:
        """Makes final all that lies left of `path`; what parts from it stays open, with `path` as new tip.

        Raises:
            ProofError: `path` is not above all that was joined before.
        """
        if path <= self._tip:
            raise ProofError(
                "keys are not in strictly increasing order", expected=f"above {self._tip}", found=path
            )
        nibbles = zip(self._tip, path, strict=False)  # a subtree's path is shorter than a leaf's
        shared = next((depth for depth, (old, new) in enumerate(nibbles) if old != new), 0)
        if self._last is not None:
            # The last leaf goes below the node where its path and the new one part.
            while len(self._open) <= shared:
                self._open.append({})
            self._place_last(self._last, rows)
        self._close(shared + 1, rows)
        self._tip = path
        if not self._open:
            self._open.append({})

    def _place_last(self, last: TreeLeaf, rows: list[NodeRow]) -> None:
        """Puts the last leaf into the lowest open node."""
        depth = len(self._open)
        rows.append(self._leaf_row(last, self._tip[:depth]))
        node = leaf_hash(self._domain, last.key_hash, last.value_hash)
        self._open[-1][NIBBLES[self._tip[depth - 1]]] = Child(self._version, node, 1, is_leaf=True)
        self._last = None

    def _close(self, keep: int, rows: list[NodeRow]) -> None:
        """Closes the open nodes below the first `keep`, the lowest first."""
        while len(self._open) > keep:
            children = self._open.pop()
            depth = len(self._open)
            rows.append(NodeRow(self._tip[:depth], encode_internal(children)))
            node = internal_hash(self._domain, children)
            self._open[-1][NIBBLES[self._tip[depth - 1]]] = _internal_child(self._version, node, children)

    def _leaf_row(self, leaf: TreeLeaf, path: str) -> NodeRow:
        key_hash, value_hash, state_key = leaf
        return NodeRow(path, encode_leaf(key_hash, value_hash, state_key=state_key, version=self._version))

    def _frontier(self) -> FrontierState:
        """The binary frontier of the open nodes: the non-empty left siblings of the last leaf's path.

        In node i, where the path takes nibble n, the left sibling at a level is the aligned part of the slots
        that ends where n's own part begins.
        """
        if self._last is None:
            return FrontierState()
        stack: list[tuple[int, bytes]] = []
        for index, children in enumerate(self._open):
            nibble = NIBBLES[self._tip[index]]
            for height in reversed(range(NODE_LEVELS)):
                part = nibble >> height
                if part & 1:
                    left = {slot: child for slot, child in children.items() if slot >> height == part - 1}
                    if left:
                        (node,) = internal_hashes(self._domain, [left], levels=height)
                        stack.append((NODE_LEVELS * (index + 1) - height, node))
        return FrontierState(self._last.key_hash, self._last.value_hash, tuple(stack))


def _place_leaves(
    domain: Domain, version: int, leaves: Sequence[TreeLeaf], paths: Sequence[str]
) -> tuple[list[list[NodeRow]], dict[str, Child]]:
    """Puts all leaves but the first and the last in their places: rows by depth, ascending; children by path.

    Raises:
        ProofError: the keys are not strictly increasing.
    """
    finished: list[list[NodeRow]] = [[] for _ in range(MAX_NIBBLES + 1)]
    children: dict[str, Child] = {}
    depths = _branch_depths(leaves)
    inner = leaves[1:-1]
    hashes = sha3_256_many(domain.sparse_leaf, [leaf.key_hash + leaf.value_hash for leaf in inner])
    for leaf, path, node, (left, right) in zip(inner, paths[1:-1], hashes, pairwise(depths), strict=True):
        depth = max(left, right)
        place = path[:depth]
        key_hash, value_hash, state_key = leaf
        row = encode_leaf(key_hash, value_hash, state_key=state_key, version=version)
        finished[depth].append(NodeRow(place, row))
        children[place] = Child(version, node, 1, is_leaf=True)
    return finished, children


def _branch_depths(leaves: Sequence[TreeLeaf]) -> list[int]:
    """For each two neighbours, the depth in nibbles at which their paths have parted."""
    check_order(leaves)
    depths = []
    for left, right in pairwise(leaves):
        differing = int.from_bytes(left.key_hash) ^ int.from_bytes(right.key_hash)
        depths.append((KEY_BITS - differing.bit_length()) // NODE_LEVELS + 1)
    return depths


def _internal_child(version: int, node: bytes, children: dict[int, Child]) -> Child:
    return Child(version, node, sum(child.leaves for child in children.values()), is_leaf=False)
