"""The sparse Merkle tree by its definition: recursive, slow, and sharing no code with restore.proof.

Source: spec/ledger-hashing.md 5.1, 5.2 and 5.4, spec/aptosdb-schema.md 2.5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies

from restore.proof.builder import ChunkTree, NodeRow, TreeBuilder
from restore.proof.edge import TreeLeaf

PLACEHOLDER = b"SPARSE_MERKLE_PLACEHOLDER_HASH" + bytes(2)


def sha3(data: bytes) -> bytes:
    return hashlib.sha3_256(data).digest()


LEAF_SEED = sha3(b"APTOS::SparseMerkleLeafNode")
INTERNAL_SEED = sha3(b"APTOS::SparseMerkleInternal")


def bit(key: bytes, index: int) -> int:
    return key[index // 8] >> (7 - index % 8) & 1


def varint(value: int) -> bytes:
    """For values of at most 56 bits."""
    low, rest = value % 128, value // 128
    return bytes((low + 128,)) + varint(rest) if rest else bytes((low,))


@dataclass(frozen=True)
class NaiveTree:
    """The whole tree of `leaves` (in key order) at `version`."""

    version: int
    leaves: Sequence[TreeLeaf]

    def root(self) -> bytes:
        return self._hash(self.leaves, 0)

    def rows(self) -> dict[str, bytes]:
        """All nodes by nibble path."""
        rows: dict[str, bytes] = {}
        if self.leaves:
            self._visit(self.leaves, "", rows)
        else:
            rows[""] = b"\x03"
        return rows

    def siblings(self, key: bytes) -> list[bytes]:
        """The siblings on the path to the leaf of `key`, root to bottom."""
        siblings, here, depth = [], self.leaves, 0
        while len(here) > 1:
            side = bit(key, depth)
            siblings.append(
                self._hash([leaf for leaf in here if bit(leaf.key_hash, depth) != side], depth + 1)
            )
            here = [leaf for leaf in here if bit(leaf.key_hash, depth) == side]
            depth += 1
        return siblings

    def right_siblings(self, key: bytes) -> list[bytes]:
        """What the chunk proof of a chunk that ends with `key` holds: bottom to root."""
        return [sibling for depth, sibling in enumerate(self.siblings(key)) if not bit(key, depth)][::-1]

    def _hash(self, leaves: Sequence[TreeLeaf], depth: int) -> bytes:
        if not leaves:
            return PLACEHOLDER
        if len(leaves) == 1:
            return sha3(LEAF_SEED + leaves[0].key_hash + leaves[0].value_hash)
        left = [leaf for leaf in leaves if not bit(leaf.key_hash, depth)]
        right = leaves[len(left) :]
        return sha3(INTERNAL_SEED + self._hash(left, depth + 1) + self._hash(right, depth + 1))

    def _visit(self, leaves: Sequence[TreeLeaf], path: str, rows: dict[str, bytes]) -> None:
        if len(leaves) == 1:
            key_hash, value_hash, state_key = leaves[0]
            rows[path] = b"\x01" + key_hash + value_hash + state_key + self.version.to_bytes(8, "little")
            return
        existing, childless, body = 0, 0, b""
        for nibble, digit in enumerate("0123456789abcdef"):
            below = [leaf for leaf in leaves if leaf.key_hash.hex()[len(path)] == digit]
            if not below:
                continue
            existing |= 1 << nibble
            body += varint(self.version) + self._hash(below, 4 * len(path) + 4)
            if len(below) == 1:
                childless |= 1 << nibble
            else:
                body += varint(len(below))
            self._visit(below, path + digit, rows)
        rows[path] = b"\x02" + existing.to_bytes(2, "little") + childless.to_bytes(2, "little") + body


def leaf_of(key_hash: bytes) -> TreeLeaf:
    """A leaf with made-up contents."""
    return TreeLeaf(key_hash, sha3(b"value" + key_hash), b"\x02\x04" + key_hash[-4:])


FAR = strategies.binary(min_size=32, max_size=32)
NEAR = strategies.builds(
    bytes.__add__,
    strategies.sampled_from([bytes(30), b"\xab" * 30, b"\xab" * 29 + b"\xac", b"\xff" * 30]),
    strategies.binary(min_size=2, max_size=2),
)
"""Keys that are equal in their first 60 nibbles, or nearly so."""
FORKED = strategies.lists(
    strategies.sampled_from([0x00, 0x01, 0x10, 0x80, 0xFF]), min_size=3, max_size=3
).map(lambda head: bytes(head) + bytes(29))
"""Keys that part at bits and nibbles of every kind, with long ways between the forks."""

LEAVES = strategies.sets(FAR | NEAR | FORKED, min_size=1, max_size=40).map(
    lambda keys: [leaf_of(key) for key in sorted(keys)]
)


@strategies.composite
def chunked_leaves(draw: strategies.DrawFn) -> list[list[TreeLeaf]]:
    """At least one leaf, cut into chunks of at least one leaf each."""
    leaves = draw(LEAVES)
    cuts = draw(strategies.lists(strategies.booleans(), min_size=len(leaves) - 1, max_size=len(leaves) - 1))
    chunks = [leaves[:1]]
    for leaf, is_cut in zip(leaves[1:], cuts, strict=True):
        if is_cut:
            chunks.append([])
        chunks[-1].append(leaf)
    return chunks


def joined(builder: TreeBuilder, part: ChunkTree) -> list[NodeRow]:
    """Joins a chunk; all rows that are final then, its own included."""
    return builder.join(part.edge) + part.rows
