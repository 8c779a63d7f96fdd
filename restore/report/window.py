"""How fast something grows, and how much there is of it, over the last seconds."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

RATE_SECONDS = 30.0
"""Rates are over this window: calm over chunks of unequal size, and yet a stall is seen soon."""

SAMPLE_SECONDS = RATE_SECONDS / 128
"""Between two samples, however many events there are."""

Number = TypeVar("Number", int, float)


class Window(Generic[Number]):
    """A sum, and how fast it grew over the last `RATE_SECONDS`.

    Bounds: 130 samples.
    """

    def __init__(self, total: Number, *, now: float) -> None:
        self.total: Number = total
        self._samples: deque[tuple[float, Number]] = deque([(now, total)])

    def add(self, count: Number, *, now: float) -> None:
        """Adds what came at `now`."""
        self.total += count
        if now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, self.total))
        while len(self._samples) > 2 and now - self._samples[1][0] >= RATE_SECONDS:
            self._samples.popleft()

    def rate(self, now: float, *, more: float = 0.0) -> float:
        """What came each second of the window that ends at `now`; `more` came that was not added yet."""
        then, total = self._samples[0]
        return (self.total + more - total) / (now - then) if now > then else 0.0


class Level:
    """How many there are of something, and how many there were on average over the last `RATE_SECONDS`."""

    def __init__(self, *, now: float) -> None:
        self._level = 0
        self._since = now
        self._seconds = Window(0.0, now=now)  # each of them counts its own

    def set(self, level: int, *, now: float) -> None:
        """From `now` on there are `level`."""
        self._seconds.add(self._level * (now - self._since), now=now)
        self._level, self._since = level, now

    def average(self, now: float) -> float:
        """How many there were in the window that ends at `now`."""
        return self._seconds.rate(now, more=self._level * (now - self._since))
