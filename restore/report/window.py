"""How fast something grows, over the last seconds."""

from __future__ import annotations

from collections import deque

RATE_SECONDS = 30.0
"""Rates are over this window: calm over chunks of unequal size, and yet a stall is seen soon."""

SAMPLE_SECONDS = RATE_SECONDS / 128
"""Between two samples, however many events there are."""


class Window:
    """A sum, and how fast it grew over the last `RATE_SECONDS`.

    Bounds: 130 samples.
    """

    def __init__(self, total: int = 0, *, now: float) -> None:
        self.total = total
        self._samples: deque[tuple[float, int]] = deque([(now, total)])

    def add(self, count: int, *, now: float) -> None:
        """Adds what came at `now`."""
        self.total += count
        if now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, self.total))
        while len(self._samples) > 2 and now - self._samples[1][0] >= RATE_SECONDS:
            self._samples.popleft()

    def rate(self, now: float) -> float:
        """What came each second of the window that ends at `now`."""
        then, total = self._samples[0]
        return (self.total - total) / (now - then) if now > then else 0.0
