"""Deterministic choices: the same seed makes the same bytes on every machine and Python version.

`random.Random` promises that for few of its methods; a hash in counter mode promises it for everything made
here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

BLOCK_BYTES = 4096
"""Bytes made at once: large enough that the hash costs less than the slicing."""


class Source:
    """An endless stream of choices, told apart from others of the same seed by its name.

    Each part of a sample has a source of its own, so that a change in one leaves the bytes of the others
    alone.
    """

    __slots__ = ("_block", "_buffer", "_offset", "_prefix")

    def __init__(self, seed: int, name: str) -> None:
        self._prefix = hashlib.sha3_256(f"aptos-restore sample {seed} {name}".encode()).digest()
        self._block = 0
        self._buffer = b""
        self._offset = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start = self._offset
        stop = start + size
        if stop > len(self._buffer):
            self._buffer = self._buffer[start:] + self._more(max(BLOCK_BYTES, size))
            start, stop = 0, size
        self._offset = stop
        return self._buffer[start:stop]

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1, below 2^64."""
        return int.from_bytes(self.take(8), "little") % bound

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def one_in(self, count: int) -> bool:
        """True in one of `count` cases."""
        return self.below(count) == 0

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`."""
        return options[self.below(len(options))]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """All of `options`, in another order."""
        return sorted(options, key=lambda _: self.take(8))

    def pick_some(self, options: Sequence[T], count: int) -> list[T]:
        """`count` of `options`, each at most once; all of them if there are no more."""
        if count >= len(options):
            return list(options)
        indices: dict[int, None] = {}
        while len(indices) < count:
            indices[self.below(len(options))] = None
        return [options[index] for index in indices]

    def _more(self, size: int) -> bytes:
        self._block += 1
        return hashlib.shake_128(self._prefix + self._block.to_bytes(8, "little")).digest(size)
