"""When a transfer is slower than its like, and how much may be fetched twice because of it.

Hedging after "The Tail at Scale" (Dean and Barroso, 2013): what takes longer than nearly all others of its
size is asked for a second time, and the first answer wins. Few are late, so the extra traffic is small; and
it is capped, because where everything is slow a second request makes it slower.
"""

from __future__ import annotations

from collections import deque

SAMPLES = 64
"""Kept for each size class: enough for the quantile, few enough to follow a link that changes."""

FEWEST_SAMPLES = 8
"""With fewer nobody can say what is slow."""

QUANTILE = 0.95
"""One in twenty is slower than this without anything being wrong with it."""

SLOWER = 2.0
"""A transfer is late when it is slower than that by this factor: so only the far tail is asked for twice."""

SHORTEST_SECONDS = 0.25
"""No hedge before: on a busy machine the event loop itself may be late by a part of this."""

EXTRA_SHARE = 0.05
"""Of all bytes received so far, as many may be asked for twice."""

EXTRA_AT_FIRST = 32 << 20
"""Bytes that may be asked for twice before much was received: two of the largest requests."""


class Pace:
    """How long transfers take, by size class: all sizes with the same highest bit.

    Bounds: `SAMPLES` for each class.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, deque[float]] = {}
        self._limits: dict[int, float | None] = {}  # made when asked for, and dropped with each new sample

    def add(self, size: int, seconds: float) -> None:
        """A transfer of `size` bytes took `seconds`."""
        self._seconds.setdefault(size.bit_length(), deque(maxlen=SAMPLES)).append(seconds)
        self._limits.clear()

    def late_after(self, size: int) -> float | None:
        """Seconds after which a transfer of `size` bytes is late; None while nobody can say.

        A small one may not take longer than a large one: where too few of its own class have been seen,
        larger ones count too.
        """
        kind = size.bit_length()
        if kind not in self._limits:
            self._limits[kind] = self._limit(kind)
        return self._limits[kind]

    def _limit(self, kind: int) -> float | None:
        seen: list[float] = []
        for larger in sorted(other for other in self._seconds if other >= kind):
            seen += self._seconds[larger]
            if len(seen) >= FEWEST_SAMPLES:
                quantile = sorted(seen)[int(QUANTILE * (len(seen) - 1))]
                return max(SHORTEST_SECONDS, SLOWER * quantile)
        return None


class Allowance:
    """The bytes that may be asked for twice: a share of all that were received.

    Args:
        at_first: bytes before anything was received.
    """

    def __init__(self, *, at_first: int = EXTRA_AT_FIRST) -> None:
        self._room = float(at_first)

    def reserve(self, size: int) -> bool:
        """Takes room for `size` bytes that may come twice, if there is any."""
        if max(size, 1) > self._room:
            return False
        self._room -= size
        return True

    def settle(self, *, received: int, twice: int, reserved: int) -> None:
        """What a transfer really took: of the bytes `received` some came `twice`, of those `reserved`."""
        self._room += EXTRA_SHARE * received + reserved - twice
