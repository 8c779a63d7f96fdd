"""Buffers that are used again: the first touch of new memory costs more than the bytes that it receives."""

from __future__ import annotations

import mmap
from collections import deque

SMALLEST = 64 << 10
"""Bytes; smaller buffers come from the allocator as quickly as from here."""

STEP = 1 << 20
"""Bytes; sizes above are multiples of it, so that chunks of about the same size use the same buffers."""

HUGE = 2 << 20
"""Bytes of a huge page; a buffer that has one is mapped by itself: its first touch then costs a hundredth."""

MOST_IDLE = 48 << 20
"""Bytes of idle buffers; more would be memory that no budget knows of."""


def buffer_bytes(size: int) -> int:
    """Bytes of the buffer that is lent for `size`: a power of two, or a multiple of `STEP`."""
    if size < SMALLEST:
        return size
    return -(-size // STEP) * STEP if size > STEP else 1 << (size - 1).bit_length()


class Buffers:
    """Lends buffers for transfers.

    Bounds: `MOST_IDLE` bytes that nobody uses; what is lent is its borrower's.
    """

    def __init__(self) -> None:
        self._idle: deque[memoryview] = deque()  # the one given back last is at the right
        self._idle_bytes = 0

    def lend(self, size: int) -> memoryview:
        """A buffer of `buffer_bytes(size)`, with anything in it."""
        wanted = buffer_bytes(size)
        for place in reversed(range(len(self._idle))):  # the last ones are still in the cache
            if len(self._idle[place]) == wanted:
                buffer = self._idle[place]
                del self._idle[place]
                self._idle_bytes -= wanted
                return buffer
        return _new(wanted)

    def give_back(self, buffer: memoryview) -> None:
        """Takes a buffer back that nobody looks at any more."""
        if len(buffer) < SMALLEST:
            return
        self._idle.append(buffer)
        self._idle_bytes += len(buffer)
        while self._idle_bytes > MOST_IDLE:
            self._idle_bytes -= len(self._idle.popleft())


def _new(size: int) -> memoryview:
    if size < HUGE:
        return memoryview(bytearray(size))
    # Private, since a shared mapping gets no huge pages.
    mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        mapped.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(mapped)
