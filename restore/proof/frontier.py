"""Follows a snapshot's leaves in key order and checks each chunk's proof, without building any node.

The sparse Merkle tree is binary: bit d of a key (from the most significant) chooses left or right at depth
d; an empty subtree is a placeholder, a subtree of one leaf is that leaf's hash at whatever depth (a lone
leaf floats), anything else hashes its two halves. Leaves come in key order, so all that lies left of the
last key's path is finished, and only the hashes of the finished subtrees that hang directly off the path
can matter any more. They, with the last leaf itself, are the *frontier*: one entry per non-empty left
sibling, at most 256, some 30 in practice.

A new key leaves the old path at their first differing bit. Everything the old path holds below that bit is
then finished, so it is folded into one hash (`_close`) which becomes a left sibling of the new path.

A chunk's proof lists the right siblings of the path of its last key, bottom to root; with the frontier's
left siblings the path folds to the root. The proof leaves open how deep the last leaf stands: as deep as
the lowest sibling of either side that is there, which is the only depth at which no sibling is lost or
invented.

Source: spec/ledger-hashing.md 5.1, 5.4, 5.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from restore.crypto.digest import sha3_256, sha3_256_many
from restore.errors import ProofError
from restore.ledger.hashes import SPARSE_PLACEHOLDER, Domain
from restore.proof.edge import Edge, Subtree, TreeLeaf
from restore.proof.jellyfish import KEY_BITS, NODE_LEVELS, leaf_hash


class FrontierState(msgspec.Struct, frozen=True):
    """All that a frontier knows: saved between chunks, it continues exactly.

    Attributes:
        key: hash of the last leaf's key; None before the first leaf.
        value_hash: hash of its value.
        stack: (depth, hash) of each non-empty left sibling on the path of `key`, depths increasing.
    """

    key: bytes | None = None
    value_hash: bytes = b""
    stack: tuple[tuple[int, bytes], ...] = ()


class Frontier:
    """The left edge of a tree that grows in key order.

    Args:
        domain: whose hashes the tree is made of.
        state: where to continue; None for an empty tree.

    Bounds: 256 hashes, and the leaves of one call of `add`.
    """

    def __init__(self, domain: Domain, state: FrontierState | None = None) -> None:
        state = state or FrontierState()
        self._domain = domain
        self._key = state.key
        self._value_hash = state.value_hash
        self._stack = list(state.stack)

    def add(self, leaves: Iterable[tuple[bytes, bytes]]) -> None:
        """Adds leaves, (key hash, value hash) each, that follow the last one in key order.

        Raises:
            ProofError: the keys are not strictly increasing; nothing has been added then.
        """
        self.join([TreeLeaf(key, value_hash, b"") for key, value_hash in leaves])

    def join(self, edge: Edge) -> None:
        """Adds the leaves of one chunk, of which those in the middle may be given as subtrees of them.

        Raises:
            ProofError: the keys are not strictly increasing; nothing has been added then.
        """
        if not edge:
            return
        last = edge[-1]
        if not isinstance(last, TreeLeaf):
            raise ProofError("edge of a chunk does not end with a leaf", found=last.path)
        if self._key is not None:
            edge = [TreeLeaf(self._key, self._value_hash, b""), *edge]
        paths = [_path(entry) for entry in edge]
        for index, (left, right) in enumerate(pairwise(paths)):
            if left >= right:
                raise ProofError(
                    "keys are not in strictly increasing order",
                    expected=f"above {_name(edge[index])}",
                    found=_name(edge[index + 1]),
                )
        seed, stack = self._domain.sparse_internal, self._stack
        # Each entry but the last has its successor here, and is closed by it.
        leaves = [entry for entry in edge[:-1] if isinstance(entry, TreeLeaf)]
        hashes = iter(sha3_256_many(self._domain.sparse_leaf, [leaf[0] + leaf[1] for leaf in leaves]))
        for entry, (left, right) in zip(edge, pairwise(paths), strict=False):
            depth = KEY_BITS + 1 - (left ^ right).bit_length()
            if isinstance(entry, TreeLeaf):
                node, level = next(hashes), None
            else:
                child = entry.child
                node, level = child.hash, None if child.is_leaf else NODE_LEVELS * len(entry.path)
            stack.append((depth, _close(seed, left, node, stack=stack, depth=depth, level=level)))
        self._key, self._value_hash = last.key_hash, last.value_hash

    def prove(self, right_siblings: Sequence[bytes], *, root: bytes) -> None:
        """Checks the leaves so far, with a chunk's right siblings, against the root of the whole tree.

        Raises:
            ProofError: they do not lead to `root`, or the siblings are not of the last leaf's path.
        """
        if self._key is None:
            raise ProofError("a range proof is of no leaf")
        path = int.from_bytes(self._key)
        depth = self._leaf_depth(path, len(right_siblings))
        seed, left, right = self._domain.sparse_internal, dict(self._stack), iter(right_siblings)
        node = leaf_hash(self._domain, self._key, self._value_hash)
        for level in range(depth, 0, -1):
            if path >> (KEY_BITS - level) & 1:
                node = sha3_256(seed + left.get(level, SPARSE_PLACEHOLDER) + node)
            else:
                node = sha3_256(seed + node + next(right))
        if node != root:
            raise ProofError("a chunk of the snapshot leads to another root", expected=root, found=node)

    def root(self) -> bytes:
        """The root of the tree of exactly the leaves so far; the placeholder for none."""
        if self._key is None:
            return SPARSE_PLACEHOLDER
        seed, path = self._domain.sparse_internal, int.from_bytes(self._key)
        return _close(
            seed, path, leaf_hash(self._domain, self._key, self._value_hash), stack=list(self._stack), depth=0
        )

    def state(self) -> FrontierState:
        """All that is needed to continue exactly from here."""
        return FrontierState(self._key, self._value_hash, tuple(self._stack))

    def _leaf_depth(self, path: int, right_count: int) -> int:
        """The depth of the last leaf in the whole tree, by its siblings on both sides.

        Raises:
            ProofError: no depth agrees with the number of right siblings.
        """
        depth = self._stack[-1][0] if self._stack else 0
        rights = depth - (path >> (KEY_BITS - depth)).bit_count()
        while rights < right_count and depth < KEY_BITS:
            depth += 1
            rights += not path >> (KEY_BITS - depth) & 1
        if rights != right_count:
            raise ProofError(
                "a range proof has another number of right siblings", expected=rights, found=right_count
            )
        return depth


def _path(entry: TreeLeaf | Subtree) -> int:
    if isinstance(entry, TreeLeaf):
        return int.from_bytes(entry.key_hash)
    return int(entry.path, 16) << (KEY_BITS - NODE_LEVELS * len(entry.path))


def _name(entry: TreeLeaf | Subtree) -> str:
    return entry.key_hash.hex() if isinstance(entry, TreeLeaf) else entry.path


def _close(
    seed: bytes,
    path: int,
    node: bytes,
    *,
    stack: list[tuple[int, bytes]],
    depth: int,
    level: int | None = None,
) -> bytes:
    """Folds everything on `path` below `depth` into the hash of the subtree there; takes it off `stack`.

    `node` is the hash at the end of `path`: of the subtree at `level`, or of a leaf, which floats up for free
    to its first left sibling. From there on each level is hashed, with a placeholder where there is no
    sibling.
    """
    if level is None:
        if not stack or stack[-1][0] <= depth:
            return node
        level = stack[-1][0]
    while stack and stack[-1][0] > depth:
        target, left = stack.pop()
        node = sha3_256(seed + left + _lift(seed, path, node, level=level, target=target))
        level = target - 1
    return _lift(seed, path, node, level=level, target=depth)


def _lift(seed: bytes, path: int, node: bytes, *, level: int, target: int) -> bytes:
    """Hashes `node` up from `level` to the higher `target` along `path`, beside empty siblings."""
    while level > target:
        on_the_right = path >> (KEY_BITS - level) & 1
        node = sha3_256(
            seed + SPARSE_PLACEHOLDER + node if on_the_right else seed + node + SPARSE_PLACEHOLDER
        )
        level -= 1
    return node
