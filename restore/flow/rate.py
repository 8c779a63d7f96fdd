"""A bandwidth limit that all transfers of a run share, and that may be changed while they run.

A bucket that fills at the rate and may be overdrawn: bytes are accounted for when they have come, and whoever
received them reads no more until they are paid off. Meanwhile its socket or pipe fills up, and the sender is
held back by the kernel. Each waits for its own place in the sum of all bytes, so the first to receive is the
first to go on, and nobody starves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from restore.errors import UsageError

BURST_SECONDS = 0.25
"""So much of the rate may come at once after a pause: more than a busy event loop is late, so that nothing of
the rate is lost to it, and too little to disturb those who share the link."""

LONGEST_SLEEP = 0.1
"""Seconds; those that wait go by a changed rate when they next wake."""


class Rate:
    """A bandwidth limit.

    Args:
        bytes_per_second: the limit; None for none at present.
        clock: the time that `sleep` passes.
        sleep: waits.

    Raises:
        UsageError: a limit that is not above 0.

    Bounds: in any `t` seconds `bytes_per_second * (t + BURST_SECONDS)` bytes, and one block of each transfer.
    """

    def __init__(
        self,
        bytes_per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._limit: float | None = None
        self._spent = 0.0  # bytes that came while there was a limit
        self._earned = 0.0  # of these, and of the next ones, so many may have come by `_earned_at`
        self._earned_at = clock()
        self.change(bytes_per_second)

    def change(self, bytes_per_second: float | None) -> None:
        """Limits to `bytes_per_second` from now on, those too that wait already.

        Raises:
            UsageError: it is not above 0; the limit is as it was.
        """
        if bytes_per_second is not None and not bytes_per_second > 0:
            raise UsageError("bandwidth limit must be above 0", found=bytes_per_second)
        self._earn()
        self._limit = bytes_per_second

    async def spend(self, count: int) -> float:
        """Waits until the `count` bytes that came may have come; returns the seconds that took.

        Cancellation: the bytes have come, and stay accounted for.
        """
        if self._limit is None:
            return 0.0
        self._earn()
        self._spent += count
        place = self._spent
        began = self._clock()
        while (seconds := self._seconds_to(place)) > 0:
            await self._sleep(min(seconds, LONGEST_SLEEP))
            self._earn()
        return self._clock() - began

    def _earn(self) -> None:
        """Brings the account to the present."""
        now = self._clock()
        if self._limit is None:
            self._earned = self._spent
        else:
            earned = self._earned + self._limit * (now - self._earned_at)
            self._earned = min(earned, self._spent + self._limit * BURST_SECONDS)
        self._earned_at = now

    def _seconds_to(self, place: float) -> float:
        missing = place - self._earned
        if self._limit is None or missing < 1:  # less than a byte is rounding
            return 0.0
        return missing / self._limit
