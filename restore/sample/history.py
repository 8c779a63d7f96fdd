"""The transaction accumulator over time: the root, and proofs under it, as of any number of leaves.

Every frozen node is kept, so a proof is a look-up. It shares no code with the proofs that a restore checks:
it is what they are tested against. Source: spec/ledger-hashing.md sections 6.5 to 6.7.
"""

from __future__ import annotations

from restore.crypto.digest import sha3_256
from restore.ledger.hashes import ACCUMULATOR_PLACEHOLDER
from restore.proof.ranges import AccumulatorRangeProof


class History:
    """An accumulator that remembers.

    Args:
        seed: of its nodes.

    Bounds: two hashes for each leaf.
    """

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._levels: list[list[bytes]] = [[]]

    def append(self, leaf: bytes) -> None:
        """Adds the next leaf."""
        level = 0
        self._levels[0].append(leaf)
        while len(nodes := self._levels[level]) % 2 == 0:
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(sha3_256(self._seed + nodes[-2] + nodes[-1]))

    def root(self, count: int) -> bytes:
        """The root over the first `count` leaves, at least one."""
        return self._node(_height(count), 0, count)

    def siblings(self, index: int, count: int) -> tuple[bytes, ...]:
        """The inclusion proof of one leaf in the first `count`: bottom to root."""
        return tuple(self._node(level, index >> level ^ 1, count) for level in range(_height(count)))

    def range_proof(self, first: int, last: int, count: int) -> AccumulatorRangeProof:
        """The proof of the leaves `first` to `last` in the first `count`."""
        levels = range(_height(count))
        left = tuple(self._node(level, (first >> level) - 1, count) for level in levels if first >> level & 1)
        right = tuple(
            self._node(level, (last >> level) + 1, count) for level in levels if not last >> level & 1
        )
        return AccumulatorRangeProof(left, right)

    def _node(self, level: int, index: int, count: int) -> bytes:
        """A node as it was when there were `count` leaves."""
        if (index + 1) << level <= count:
            return self._levels[level][index]
        if index << level >= count:
            return ACCUMULATOR_PLACEHOLDER
        left, right = (self._node(level - 1, child, count) for child in (2 * index, 2 * index + 1))
        return sha3_256(self._seed + left + right)


def _height(count: int) -> int:
    """Levels above the leaves."""
    return (count - 1).bit_length()
