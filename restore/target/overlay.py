"""The state tree with changes on top of the one that a database holds, which itself is not touched.

Changed nodes go into a scratch database, by path; a node that is not there is the database's. A batch of
changes is applied one depth at a time: down along the changed keys' paths, then up again, hashing each depth
in one batch. A row in the scratch may be out of date only where no parent names it as a child any more, so
none is removed.

Shape: spec/aptosdb-schema.md 2.5. A leaf stands at the shortest path that only its key has, so a deletion
that leaves one leaf alone below a node makes that leaf float up, as far as it is alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from restore.crypto.digest import sha3_256_many
from restore.errors import DamagedTargetError
from restore.ledger.hashes import SPARSE_PLACEHOLDER, Domain
from restore.proof.builder import NIBBLES
from restore.proof.edge import TreeLeaf
from restore.proof.jellyfish import (
    NULL_NODE,
    Child,
    InternalNode,
    LeafNode,
    decode_node,
    encode_internal,
    encode_leaf,
    internal_hashes,
    leaf_hash,
    node_key,
)
from restore.target.schema import TREE_NODES, TREE_ROOTS, KeyValue
from restore.target.store import RocksStore, Scratch

_ROOT_KEY = b"/"
"""Key of the root in the scratch database: its path is empty, and no path begins like this."""


class Change(NamedTuple):
    """What one item becomes; `value_hash` is None where it is deleted."""

    key_hash: bytes
    value_hash: bytes | None
    state_key: bytes


@dataclass(slots=True)
class _Open:
    """A node on the way down: its children as far as they are known, and the changes below it."""

    children: dict[int, Child | TreeLeaf] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)


class StateTree:
    """The tree at `version`, and what changes made of it.

    Args:
        store: holds the tree at `version`.
        scratch: an open scratch database.
        domain: the network's hashes.
        version: of the tree; also what changed nodes carry, which hashes do not cover.

    Bounds: the nodes on the paths of one batch of changes, about 10 KB a change in a tree of 10^9 leaves.
    """

    def __init__(self, store: RocksStore, scratch: Scratch, domain: Domain, version: int) -> None:
        self._store = store
        self._scratch = scratch
        self._domain = domain
        self._version = version

    def apply(self, changes: Iterable[Change]) -> tuple[bytes, int]:
        """Applies changes of different keys; returns the new root hash and the number of leaves.

        Raises:
            DamagedTargetError: a node is missing, or is not the one its parent names.
        """
        levels = self._descend(sorted(changes))
        rows: list[KeyValue] = []
        result: Child | TreeLeaf | None = None
        for depth in reversed(range(len(levels))):
            for path, done in self._close(levels[depth], rows).items():
                if path:
                    _put(levels[depth - 1][path[:-1]].children, NIBBLES[path[-1]], done)
                else:
                    result = done
        if isinstance(result, Child):
            self._scratch.write(rows)
            return result.hash, result.leaves
        if result is None:
            self._scratch.write([*rows, (_ROOT_KEY, NULL_NODE)])
            return SPARSE_PLACEHOLDER, 0
        self._scratch.write([*rows, (_ROOT_KEY, self._leaf_row(result))])
        return leaf_hash(self._domain, result.key_hash, result.value_hash), 1

    def _descend(self, changes: list[Change]) -> list[dict[str, _Open]]:
        """Opens every internal node that a change may touch, and those that new leaves need: by depth."""
        root = self._read([""])[0]
        top = _Open(changes=changes)
        if isinstance(root, LeafNode):
            top.changes = [Change(*leaf) for leaf in _merged([_leaf_of(root)], changes)]
        elif root is not None:
            top.children = dict(root.children)
        levels = [{"": top}]
        while levels[-1]:
            levels.append(self._open_below(levels[-1]))
        return levels[:-1]

    def _open_below(self, level: dict[str, _Open]) -> dict[str, _Open]:
        """The nodes below `level` to be opened; children that end as one leaf or nothing are settled."""
        below: dict[str, _Open] = {}
        inner: list[str] = []
        settled: list[tuple[str, list[Change], bool]] = []
        for path, node in level.items():
            for nibble, group in _groups(node.changes, len(path)):
                child = node.children.get(nibble)
                place = path + f"{nibble:x}"
                if isinstance(child, Child) and not child.is_leaf:
                    inner.append(place)
                    below[place] = _Open(changes=group)
                else:
                    settled.append((place, group, child is not None))
        for place, row in zip(inner, self._read(inner), strict=True):
            if not isinstance(row, InternalNode):
                raise self._damaged(place, "an internal node")
            below[place].children = dict(row.children)
        leaves = iter(self._read_leaves([place for place, _, is_leaf in settled if is_leaf]))
        for place, group, is_leaf in settled:
            merged = _merged([next(leaves)] if is_leaf else [], group)
            if len(merged) > 1:
                below[place] = _Open(changes=[Change(*leaf) for leaf in merged])
            else:
                _put(level[place[:-1]].children, NIBBLES[place[-1]], next(iter(merged), None))
        return below

    def _close(self, level: dict[str, _Open], rows: list[KeyValue]) -> dict[str, Child | TreeLeaf | None]:
        """What becomes of the nodes of one depth: nothing, a leaf that floats up, or a node with its rows."""
        done: dict[str, Child | TreeLeaf | None] = {}
        kept: dict[str, dict[int, Child | TreeLeaf]] = {}
        for path, node in level.items():
            only = next(iter(node.children.items()), None)
            if only is None:
                done[path] = None
            elif len(node.children) == 1 and isinstance(only[1], TreeLeaf):
                done[path] = only[1]
            elif len(node.children) == 1 and isinstance(only[1], Child) and only[1].is_leaf:
                (done[path],) = self._read_leaves([f"{path}{only[0]:x}"])
            else:
                kept[path] = node.children
        placed = self._place_leaves(kept, rows)
        for (path, children), node_hash in zip(
            placed.items(), internal_hashes(self._domain, list(placed.values())), strict=True
        ):
            rows.append((path.encode() or _ROOT_KEY, encode_internal(children)))
            leaves = sum(child.leaves for child in children.values())
            done[path] = Child(self._version, node_hash, leaves, is_leaf=False)
        return done

    def _place_leaves(
        self, nodes: dict[str, dict[int, Child | TreeLeaf]], rows: list[KeyValue]
    ) -> dict[str, dict[int, Child]]:
        """Gives new leaves their rows; returns the nodes with all their children, by ascending nibble."""
        new = [child for node in nodes.values() for child in node.values() if isinstance(child, TreeLeaf)]
        hashes = iter(
            sha3_256_many(self._domain.sparse_leaf, [leaf.key_hash + leaf.value_hash for leaf in new])
        )
        placed: dict[str, dict[int, Child]] = defaultdict(dict)
        for path, node in nodes.items():
            for nibble, child in node.items():
                if isinstance(child, TreeLeaf):
                    rows.append((f"{path}{nibble:x}".encode(), self._leaf_row(child)))
                    child = Child(self._version, next(hashes), 1, is_leaf=True)
                placed[path][nibble] = child
        return {path: dict(sorted(children.items())) for path, children in placed.items()}

    def _leaf_row(self, leaf: TreeLeaf) -> bytes:
        key_hash, value_hash, state_key = leaf
        return encode_leaf(key_hash, value_hash, state_key=state_key, version=self._version)

    def _read_leaves(self, paths: Sequence[str]) -> list[TreeLeaf]:
        leaves = []
        for path, row in zip(paths, self._read(paths), strict=True):
            if not isinstance(row, LeafNode) or not row.key_hash.hex().startswith(path):
                raise self._damaged(path, "a leaf")
            leaves.append(_leaf_of(row))
        return leaves

    def _read(self, paths: Sequence[str]) -> list[LeafNode | InternalNode | None]:
        """The nodes at `paths`, changed or not; None for the null node."""
        rows = self._scratch.get_many([path.encode() or _ROOT_KEY for path in paths])
        missing: defaultdict[int | None, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            if row is None:
                missing[NIBBLES[paths[index][0]] if paths[index] else None].append(index)
        for shard, indices in missing.items():
            table = TREE_ROOTS if shard is None else TREE_NODES[shard]
            keys = [node_key(self._version, paths[index]) for index in indices]
            for index, row in zip(indices, self._store.get_many(table, keys), strict=True):
                rows[index] = row
        nodes = []
        for path, row in zip(paths, rows, strict=True):
            if row is None:
                raise self._damaged(path, "a node")
            nodes.append(decode_node(row))
        return nodes

    def _damaged(self, path: str, expected: str) -> DamagedTargetError:
        table = TREE_NODES[NIBBLES[path[0]]] if path else TREE_ROOTS
        return DamagedTargetError(
            f"state tree lacks {expected}",
            file=f"{table} {node_key(self._version, path).hex()}",
            version=self._version,
        )


def _groups(changes: Sequence[Change], depth: int) -> Iterable[tuple[int, list[Change]]]:
    """Changes, in key order, by the nibble of their keys at `depth`."""
    groups: defaultdict[int, list[Change]] = defaultdict(list)
    high = not depth & 1
    for change in changes:
        byte = change.key_hash[depth >> 1]
        groups[byte >> 4 if high else byte & 0xF].append(change)
    return groups.items()


def _merged(leaves: Iterable[TreeLeaf], changes: Iterable[Change]) -> list[TreeLeaf]:
    """What `changes` leave of `leaves`, in key order."""
    merged = {leaf.key_hash: leaf for leaf in leaves}
    for key_hash, value_hash, state_key in changes:
        if value_hash is None:
            merged.pop(key_hash, None)
        else:
            merged[key_hash] = TreeLeaf(key_hash, value_hash, state_key)
    return [merged[key_hash] for key_hash in sorted(merged)]


def _leaf_of(node: LeafNode) -> TreeLeaf:
    return TreeLeaf(node.key_hash, node.value_hash, node.state_key)


def _put(children: dict[int, Child | TreeLeaf], nibble: int, child: Child | TreeLeaf | None) -> None:
    if child is None:
        children.pop(nibble, None)
    else:
        children[nibble] = child
