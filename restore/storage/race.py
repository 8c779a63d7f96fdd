"""One try at a transfer: the request, and a second one if the first turns out to be late.

One timer watches all transfers of a storage, the oldest file first, since everybody waits for that one:

    no `STALL_BYTES` within `STALL_SECONDS`   given up; the next try takes a new connection
    later than nearly all of its size         hedged, as far as the allowance goes (`pace.py`)

The second request asks for what is missing when it starts, on a connection of its own. The first of the two
that comes to its end has won; the other is cancelled and its connection closed: nothing is drained. A stall
ends both. No transfer is given up for the time it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from restore.errors import StalledError
from restore.flow.threads import shielded
from restore.flow.timer import Timer
from restore.report.events import Hedged, Received, Report, Stalled
from restore.storage.pace import Allowance, Pace

STALL_SECONDS = 10.0
"""A link that moves brings something in this time, however many share it."""

STALL_BYTES = 4 << 10
"""At less than this in `STALL_SECONDS` a part of 16 MiB would take half a day."""

TICK_SECONDS = 0.05
"""Between two looks at the transfers: a fifth of the soonest hedge."""


class Goal(Protocol):
    """What a race is about."""

    @property
    def file(self) -> str:
        """What is transferred."""

    @property
    def age(self) -> int:
        """The place of its file in the order of opening."""

    @property
    def filled(self) -> int:
        """Bytes that are here."""

    @property
    def length(self) -> int | None:
        """Bytes that it needs; None while nobody knows."""

    async def request(self, race: Race, *, fresh: bool) -> None:
        """Asks for what is missing, and ends when all of it is here.

        It tells the race what comes (`moved`), and waits for anything but its link inside `pausing`.

        Args:
            race: to be told.
            fresh: use a new connection.
        """


class Watch:
    """Looks at the races under way.

    By a timer, set only while there is something to watch.
    """

    def __init__(self) -> None:
        self._races: set[Race] = set()
        self._timer = Timer(TICK_SECONDS, self._look)

    @contextmanager
    def watching(self, race: Race) -> Iterator[None]:
        """Looks at `race` during the block."""
        if not self._races:
            self._timer.start()
        self._races.add(race)
        try:
            yield
        finally:
            self._races.discard(race)
            if not self._races:
                self._timer.stop()

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for race in sorted(self._races, key=lambda race: race.age):
            race.look(now)


@dataclass(frozen=True, slots=True)
class Course:
    """What the races of one storage share.

    Attributes:
        report: takes events.
        watch: sees those that stall or are late.
        pace: how long transfers take.
        allowance: what may be asked for twice.
    """

    report: Report
    watch: Watch = field(default_factory=Watch)
    pace: Pace = field(default_factory=Pace)
    allowance: Allowance = field(default_factory=Allowance)


class Race:
    """One try at `goal`.

    Cancellation: both requests have ended, and their connections are closed.
    Bounds: two requests.
    """

    def __init__(self, course: Course, goal: Goal) -> None:
        self.age = goal.age
        self._course = course
        self._goal = goal
        self._racers: list[asyncio.Task[None]] = []
        # Set when one has won, or all have ended; the watch may add the second at any time before.
        self._decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._received = 0  # bytes of both requests
        self._filled_before = goal.filled
        self._reserved = 0  # of the allowance
        self._pauses = 0  # requests that wait for something else than their link
        self._stalled = False
        self._began = self._looked_at = asyncio.get_running_loop().time()
        self._looked_bytes = 0  # received at `_looked_at`

    async def run(self, *, fresh: bool) -> None:
        """Runs the race to its end.

        Raises:
            StalledError: no request made progress.
            RestoreError: what the first request raised, if none came to its end.
        """
        self._start(fresh=fresh)
        try:
            with self._course.watch.watching(self):
                await self._decided
        finally:
            await self._end()
        self._judge()
        self._course.pace.add(self._gained, asyncio.get_running_loop().time() - self._began)

    def moved(self, count: int) -> None:
        """`count` bytes came."""
        self._received += count

    async def pausing(self, waiting: Awaitable[object]) -> None:
        """Waits for something that is not the link's fault: time in here does not count."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._pauses += 1
        try:
            await waiting
        finally:
            self._pauses -= 1
            self._began += loop.time() - began
            self._looked_at += loop.time() - began

    def look(self, now: float) -> None:
        """Gives up, or starts the second request, if it is time to."""
        if self._pauses or self._stalled or self._decided.done():
            return
        if self._received - self._looked_bytes >= STALL_BYTES:
            self._looked_at, self._looked_bytes = now, self._received
        if now - self._looked_at >= STALL_SECONDS:
            self._stalled = True
            self._course.report(Stalled(self._goal.file, now - self._looked_at))
            for racer in self._racers:
                racer.cancel()
        elif len(self._racers) == 1 and self._is_late(now):
            self._hedge()

    @property
    def _gained(self) -> int:
        return self._goal.filled - self._filled_before

    def _is_late(self, now: float) -> bool:
        # Before the answer nobody knows the length; and an answer begins as soon as a small file is here.
        size = 0 if self._goal.length is None else self._goal.length - self._filled_before
        late_after = self._course.pace.late_after(size)
        return late_after is not None and now - self._began > late_after

    def _hedge(self) -> None:
        missing = 0 if self._goal.length is None else self._goal.length - self._goal.filled
        if self._course.allowance.reserve(missing):
            self._reserved = missing
            self._course.report(Hedged(self._goal.file, missing))
            self._start(fresh=True)

    def _start(self, *, fresh: bool) -> None:
        racer = asyncio.get_running_loop().create_task(self._goal.request(self, fresh=fresh))
        racer.add_done_callback(self._on_end)
        self._racers.append(racer)

    def _on_end(self, racer: asyncio.Task[None]) -> None:
        is_over = _has_won(racer) or all(other.done() for other in self._racers)
        if is_over and not self._decided.done():
            self._decided.set_result(None)

    async def _end(self) -> None:
        """Ends what still runs, and settles the account."""
        running = [racer for racer in self._racers if not racer.done()]
        for racer in running:
            racer.cancel()
        if running:
            await shielded(asyncio.wait(running))
        for racer in self._racers:
            if not racer.cancelled():
                racer.exception()  # looked at, lest asyncio complain: a loser's error is nobody's business
        if self._received:
            self._course.report(Received(self._received))
        self._course.allowance.settle(
            received=self._received, twice=self._received - self._gained, reserved=self._reserved
        )

    def _judge(self) -> None:
        if any(_has_won(racer) for racer in self._racers):
            return
        if self._stalled:
            raise StalledError(
                "transfer made no progress",
                file=self._goal.file,
                expected=f"{STALL_BYTES} bytes in {STALL_SECONDS:.0f} s",
                found=f"{self._received} bytes in all",
            )
        for racer in self._racers:
            racer.result()


def _has_won(racer: asyncio.Task[None]) -> bool:
    return racer.done() and not racer.cancelled() and racer.exception() is None
