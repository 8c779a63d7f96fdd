"""Checks the state tree: every node is hashed again and compared with what its parent says of it.

Node keys sort by depth, then path. So one cursor per depth, all moving forward, gives the tree in key order:
what is held is one node per depth, whatever the size of the tree.

Source: spec/aptosdb-schema.md 2.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from restore.ledger.hashes import SPARSE_PLACEHOLDER, Domain
from restore.ledger.state import hash_keys
from restore.proof.jellyfish import (
    Child,
    InternalNode,
    LeafNode,
    decode_node,
    internal_hashes,
    leaf_hash,
    node_key,
)
from restore.target.check_rows import at_row, damaged, demand
from restore.target.schema import TREE_NODES, TREE_ROOTS, KeyValue, Table, shard_of, u64
from restore.target.store import RocksStore


class _Place(NamedTuple):
    """A node to come: where it stands, and what its parent says of it."""

    path: str
    claim: Child


class TreeCheck:
    """Walks the tree at `version`, one shard after the other.

    Bounds: one open row per depth, and the children waiting on one path (15 a depth).
    """

    def __init__(self, store: RocksStore, domain: Domain, version: int) -> None:
        self._store = store
        self._domain = domain
        self._version = version
        self.root = SPARSE_PLACEHOLDER
        self._lone: LeafNode | None = None
        self._tops: dict[int, Child] = {}

    def open(self) -> None:
        """Checks the root, which must be there alone.

        Raises:
            DamagedTargetError, FormatError: naming the row.
        """
        key = node_key(self._version, "")
        for other, _ in self._store.scan(TREE_ROOTS):
            if other != key:
                raise damaged(TREE_ROOTS, other, "row should not be there")
        raw = demand(self._store, TREE_ROOTS, key)
        with at_row(TREE_ROOTS, key):
            node = decode_node(raw)
        if isinstance(node, InternalNode):
            self.root = self._hash(node)
            self._tops = node.children
            self._check_shape(TREE_ROOTS, key, node)
        elif node is not None:
            self.root = leaf_hash(self._domain, node.key_hash, node.value_hash)
            self._check_leaf(TREE_ROOTS, "", node)
            self._lone = node

    def leaves(self, shard: int) -> Iterator[LeafNode]:
        """The leaves of one shard in key order, each node on the way to them checked.

        Raises:
            DamagedTargetError, FormatError: naming the row.
        """
        cursors: list[Iterator[KeyValue]] = [iter(())]  # by depth
        waiting = [_Place(f"{shard:x}", self._tops[shard])] if shard in self._tops else []
        while waiting:
            path, claim = waiting.pop()
            if len(path) == len(cursors):
                cursors.append(self._cursor(shard, len(path)))
            node = self._take(shard, path, cursors[len(path)])
            self._check_claim(shard, path, claim, node)
            if isinstance(node, LeafNode):
                yield node
            else:
                for nibble, child in reversed(node.children.items()):
                    waiting.append(_Place(f"{path}{nibble:x}", child))
        for cursor in (*cursors, self._cursor(shard, len(cursors), last=True)):
            for key, _ in cursor:
                raise damaged(TREE_NODES[shard], key, "node has no parent")
        if self._lone is not None and shard_of(self._lone.key_hash) == shard:
            yield self._lone

    def _cursor(self, shard: int, depth: int, *, last: bool = False) -> Iterator[KeyValue]:
        """The nodes of one depth; with the first go the rows before it, with the last those after it."""
        first, end = (u64(self._version) + bytes((level,)) for level in (depth, depth + 1))
        return self._store.scan(TREE_NODES[shard], b"" if depth == 1 else first, end=None if last else end)

    def _take(self, shard: int, path: str, cursor: Iterator[KeyValue]) -> LeafNode | InternalNode:
        table, key = TREE_NODES[shard], node_key(self._version, path)
        found, raw = next(cursor, (None, b""))
        if found is None or found > key:
            raise damaged(table, key, "row is missing")
        if found < key:
            raise damaged(table, found, "node has no parent")
        with at_row(table, key):
            node = decode_node(raw)
        if node is None:
            raise damaged(table, key, "null node stands below the root")
        return node

    def _check_claim(self, shard: int, path: str, claim: Child, node: LeafNode | InternalNode) -> None:
        """Checks a node against what its parent says of it."""
        table, key = TREE_NODES[shard], node_key(self._version, path)
        if isinstance(node, LeafNode):
            self._check_leaf(table, path, node)
            found = Child(
                self._version, leaf_hash(self._domain, node.key_hash, node.value_hash), 1, is_leaf=True
            )
        else:
            self._check_shape(table, key, node)
            leaves = sum(child.leaves for child in node.children.values())
            found = Child(self._version, self._hash(node), leaves, is_leaf=False)
        if found == claim:
            return
        for name, said, seen in zip(Child._fields, claim, found, strict=True):
            if said != seen:
                raise damaged(
                    table, key, f"{name} of the node is not what its parent says", expected=said, found=seen
                )

    def _check_leaf(self, table: Table, path: str, leaf: LeafNode) -> None:
        key = node_key(self._version, path)
        if not leaf.key_hash.hex().startswith(path):
            raise damaged(table, key, "leaf stands outside its path", expected=path, found=leaf.key_hash)
        if leaf.version != self._version:
            raise damaged(
                table, key, "leaf is of another version", expected=self._version, found=leaf.version
            )
        (key_hash,) = hash_keys(self._domain, [leaf.state_key])
        if key_hash != leaf.key_hash:
            raise damaged(
                table, key, "leaf's state key has another hash", expected=leaf.key_hash, found=key_hash
            )

    def _check_shape(self, table: Table, key: bytes, node: InternalNode) -> None:
        """An internal node stands above two leaves at least."""
        if sum(child.leaves for child in node.children.values()) < 2:
            raise damaged(table, key, "internal node stands above a single leaf")

    def _hash(self, node: InternalNode) -> bytes:
        return internal_hashes(self._domain, [node.children])[0]
