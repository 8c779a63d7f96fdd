"""What a chunk of the snapshot is to the rest of the tree: its edge.

Source: spec/ledger-hashing.md 5.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from restore.proof.jellyfish import Child


class TreeLeaf(NamedTuple):
    """One item of the snapshot: hash of its key, hash of its value, and the key's BCS (serde) form."""

    key_hash: bytes
    value_hash: bytes
    state_key: bytes


class Subtree(NamedTuple):
    """A finished child of a node that is still open: a closed internal node or a leaf in its final place."""

    path: str
    child: Child


Edge: TypeAlias = list[TreeLeaf | Subtree]
"""In key order: the first leaf, the finished children of nodes on the paths of the first and the last leaf,
the last leaf. A chunk of one leaf has only that; and leaves may stand where a subtree of them would."""
