"""Cuts rows into steps that are short enough not to be interrupted."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

STEP_BYTES = 64 << 20
"""Bytes of rows written in one step that cannot be interrupted: well under ten seconds on a slow disk."""

ROW_BYTES = 128
"""What a row costs besides its value, roughly: its key, and its share of batch and index."""


def slices(items: Sequence[T], size: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Cuts `items` so that each part has at most STEP_BYTES, or one item."""
    start = total = 0
    for index, item in enumerate(items):
        added = size(item)
        if total + added > STEP_BYTES and index > start:
            yield items[start:index]
            start, total = index, 0
        total += added
    if start < len(items):
        yield items[start:]


def cuts(part: range, weight: Callable[[range], int]) -> Iterator[range]:
    """Cuts `part` so that each piece weighs at most STEP_BYTES, or has one; `weight` grows with the range."""
    start = part.start
    while start < part.stop:
        ends = range(part.stop + 1)
        beyond = bisect_right(ends, STEP_BYTES, lo=start + 1, key=lambda end: weight(range(start, end)))
        stop = max(start + 1, beyond - 1)
        yield range(start, stop)
        start = stop
