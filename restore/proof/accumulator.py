"""The append-only binary Merkle tree over transactions, and over the events of one transaction.

Leaf i sits at position i, and a node is named by (level, index): it covers the leaves [index << level,
(index + 1) << level). A node whose leaves are all there is *frozen*: no later leaf can change it. So the
whole past of a tree of n leaves is told by the few frozen nodes that are nobody's child yet, one per 1-bit
of n, and appending is binary addition: each trailing 1-bit of n is a carry that merges two roots into one.

The root of an unfinished tree fills up with one placeholder on the right of every odd level; two
placeholders are never hashed together.

Source: spec/ledger-hashing.md 6.5, positions spec/aptosdb-schema.md 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from restore.crypto.digest import HASH_BYTES, sha3_256, sha3_256_many
from restore.errors import ProofError
from restore.kernel.choice import uses_native
from restore.ledger.hashes import ACCUMULATOR_PLACEHOLDER


class FrozenNode(NamedTuple):
    """A complete node: nothing appended later changes it.

    Attributes:
        level: 0 for a leaf.
        index: position among the nodes of its level.
        hash: 32 bytes.
    """

    level: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs on a node
    hash: bytes


class Accumulator:
    """The frozen roots of a growing tree.

    Args:
        seed: the 32-byte seed of the tree's nodes (`Domain.transaction_accumulator` or `.event_accumulator`).
        count: how many leaves the tree has already.
        frozen_roots: their frozen subtree roots, left to right.

    Raises:
        ProofError: the number of roots is not the number of 1-bits of `count`.

    Bounds: one hash per 1-bit of `count`.
    """

    def __init__(self, seed: bytes, count: int = 0, frozen_roots: Sequence[bytes] = ()) -> None:
        self._seed = seed
        self._count = count
        self._roots = {node.level: node.hash for node in frozen_subtrees(count, frozen_roots)}

    @property
    def count(self) -> int:
        """How many leaves the tree has."""
        return self._count

    @property
    def frozen_roots(self) -> tuple[bytes, ...]:
        """The roots of the frozen subtrees, left to right (so from the largest to the smallest)."""
        return tuple(self._roots[level] for level in sorted(self._roots, reverse=True))

    def append(self, leaves: Sequence[bytes]) -> list[FrozenNode]:
        """Appends leaves; returns every node that this completes, the leaves included.

        The nodes come in the order in which they complete, that of their `post_order` positions.
        """
        completed: list[FrozenNode] = []
        nodes, first, level = list(leaves), self._count, 0
        # One level at a time, so that a level is one batch of hashes.
        while nodes:
            completed += [FrozenNode(level, first + offset, node) for offset, node in enumerate(nodes)]
            if first & 1:
                nodes.insert(0, self._roots.pop(level))
            if len(nodes) & 1:
                self._roots[level] = nodes.pop()
            nodes, first, level = _parents_of(self._seed, nodes), first // 2, level + 1
        self._count += len(leaves)
        completed.sort(key=lambda node: ((node.index + 1) << node.level, node.level))
        return completed

    def extend(self, leaves: bytes) -> bytes:
        """Appends leaves, 32 bytes each; returns the hashes of what `append` would, in its order."""
        if not uses_native():
            return b"".join(node.hash for node in self.append(_cut(leaves, HASH_BYTES)))
        from restore.kernel import _native

        start = frozen_count(self._count)
        completed = _native.accumulate(self._seed, self._count, b"".join(self.frozen_roots), leaves)
        self._count += len(leaves) // HASH_BYTES
        for level, index in _frozen_positions(self._count):
            place = HASH_BYTES * (post_order(level, index) - start)
            if place >= 0:
                self._roots[level] = completed[place : place + HASH_BYTES]
        self._roots = {level: self._roots[level] for level, _ in _frozen_positions(self._count)}
        return completed

    def append_subtrees(self, subtrees: Sequence[bytes], new_leaves: int) -> None:
        """Appends `new_leaves` leaves of which only subtree roots are given: a consistency proof.

        The subtrees are the largest that fit, left to right: first those that complete our own frozen
        subtrees, then the rest by the 1-bits of what remains.

        Raises:
            ProofError: the proof has too few or too many subtrees; nothing has changed then.
        """
        sizes = _subtree_levels(self._count, new_leaves)
        if len(subtrees) != len(sizes):
            raise ProofError(
                "a consistency proof has another number of subtrees", expected=len(sizes), found=len(subtrees)
            )
        for level, node in zip(sizes, subtrees, strict=True):
            while level in self._roots:
                node = sha3_256(self._seed + self._roots.pop(level) + node)
                level += 1
            self._roots[level] = node
        self._count += new_leaves

    def root(self) -> bytes:
        """The root hash of all leaves so far; the placeholder for none."""
        if not self._count:
            return ACCUMULATOR_PLACEHOLDER
        lowest, *higher = sorted(self._roots)
        level, node = lowest, self._roots[lowest]
        for above in higher:
            while level < above:
                node = sha3_256(self._seed + node + ACCUMULATOR_PLACEHOLDER)
                level += 1
            node = sha3_256(self._seed + self._roots[above] + node)
            level += 1
        return node


def root_of(seed: bytes, leaves: Sequence[bytes]) -> bytes:
    """The root hash of a whole tree; the placeholder for no leaves, the leaf itself for one."""
    nodes = list(leaves) or [ACCUMULATOR_PLACEHOLDER]
    while len(nodes) > 1:
        if len(nodes) & 1:
            nodes.append(ACCUMULATOR_PLACEHOLDER)
        nodes = _parents_of(seed, nodes)
    return nodes[0]


def frozen_subtrees(count: int, roots: Sequence[bytes]) -> list[FrozenNode]:
    """Gives the frozen subtree roots of `count` leaves, left to right, their positions.

    Raises:
        ProofError: the number of roots is not the number of 1-bits of `count`.
    """
    if len(roots) != count.bit_count():
        raise ProofError("wrong number of frozen subtrees", expected=count.bit_count(), found=len(roots))
    positions = zip(_frozen_positions(count), roots, strict=True)
    return [FrozenNode(level, index, root) for (level, index), root in positions]


def frozen_count(leaves: int) -> int:
    """How many frozen nodes a tree of that many leaves has, leaves included."""
    return 2 * leaves - leaves.bit_count()


def post_order(level: int, index: int) -> int:
    """A frozen node's position in the order in which nodes complete (keys of the transaction accumulator)."""
    leaves = (index + 1) << level
    carries = (leaves & -leaves).bit_length() - 1
    return frozen_count(leaves) - 1 - (carries - level)


def in_order(level: int, index: int) -> int:
    """A node's position from left to right, parents between their children (keys of event accumulators)."""
    return (index << (level + 1)) | ((1 << level) - 1)


def parents(seed: bytes, nodes: bytes) -> bytes:
    """The parents of an even number of neighbours, all of them 32 bytes each."""
    if not uses_native():
        return b"".join(sha3_256_many(seed, _cut(nodes, 2 * HASH_BYTES)))
    from restore.kernel import _native

    return _native.parents(seed, nodes)


def _parents_of(seed: bytes, nodes: Sequence[bytes]) -> list[bytes]:
    return sha3_256_many(seed, map(bytes.__add__, nodes[::2], nodes[1::2]))


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _frozen_positions(count: int) -> list[tuple[int, int]]:
    """Levels and indices of the frozen subtree roots of `count` leaves, left to right."""
    # Left of the subtree of level l stand the leaves of all higher bits: an even index, one below count >> l.
    levels = [level for level in reversed(range(count.bit_length())) if count >> level & 1]
    return [(level, (count >> level) - 1) for level in levels]


def _subtree_levels(count: int, new_leaves: int) -> list[int]:
    """The levels of the largest subtrees that lead from `count` leaves to `count + new_leaves`."""
    levels: list[int] = []
    end = count + new_leaves
    while count < end:
        room = (end - count).bit_length() - 1
        level = min(room, (count & -count).bit_length() - 1) if count else room
        levels.append(level)
        count += 1 << level
    return levels
