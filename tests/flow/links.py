"""A link and a stage that applies chunks, as a model: no tasks, no time but its own, every figure known."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from restore.flow.slots import Slots
from restore.flow.stream import HELD_PER_RUNNING
from restore.report.events import ConcurrencyChanged, Event, Received, Throttled

PART = 16 << 20
MB = 1_000_000

PAUSE = 2.0
"""Seconds for which a storage that throttles refuses everybody."""


@dataclass
class Clock:
    """Seconds that pass when the model says so."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class _Chunk:
    """A chunk under way: its share of the link, the parts that it needs, and the bytes of this one."""

    share: float
    parts: int
    left: float = PART


@dataclass
class Model:
    """Restores one endless backup over a link.

    Args:
        goodput: bytes per second of so many chunks together.
        parts: of a chunk, at least and at most, beside its proof.
        throttles_above: with more chunks in progress the storage refuses everybody.
        apply_seconds: of one chunk.
        noise: by such a share the goodput differs from part to part, and one chunk's from another's.
    """

    goodput: Callable[[int], float]
    parts: tuple[int, int] = (2, 6)
    throttles_above: int = 1000
    apply_seconds: float = 0.0
    noise: float = 0.1
    clock: Clock = field(default_factory=Clock)
    events: list[Event] = field(default_factory=list)
    numbers: list[tuple[float, int]] = field(default_factory=list)
    received: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(1)
        self._held: deque[_Chunk] = deque()  # in order
        self._applied_at = 0.0  # when the stage that applies is free again
        self._open_at = 0.0  # when throttling ends

    def slots(self, floor: int, ceiling: int) -> Slots:
        """Slots by this model's clock, whose events it keeps."""
        return Slots(floor, ceiling=ceiling, report=self.events.append, clock=self.clock)

    def run(self, slots: Slots, *, seconds: float) -> float:
        """Runs for so long; bytes per second."""
        began, before = self.clock.now, self.received
        while self.clock.now < began + seconds:
            while self._running() < slots.downloads and len(self._held) < HELD_PER_RUNNING * slots.downloads:
                share = self._random.uniform(1 - self.noise, 1 + self.noise)
                self._held.append(_Chunk(share, self._random.randint(*self.parts)))
            self._step(slots)
            self.numbers.append((self.clock.now, slots.downloads))
        return (self.received - before) / (self.clock.now - began)

    def numbers_after(self, seconds: float) -> list[int]:
        """The numbers of chunks after so many seconds."""
        return [number for now, number in self.numbers if now >= seconds]

    def seconds_to(self, number: int) -> float:
        """When so many chunks were in progress for the first time."""
        return next(now for now, downloads in self.numbers if downloads >= number)

    def changes(self) -> list[ConcurrencyChanged]:
        """The changes so far."""
        return [event for event in self.events if isinstance(event, ConcurrencyChanged)]

    def _running(self) -> int:
        return sum(chunk.parts > 0 for chunk in self._held)

    def _step(self, slots: Slots) -> None:
        """Goes on to the next end of a part, or to when the first chunk is applied."""
        running = [chunk for chunk in self._held if chunk.parts]
        if len(running) > self.throttles_above and self.clock.now >= self._open_at:
            self._open_at = self.clock.now + PAUSE
            slots.report(Throttled(PAUSE))
        begin = max(self.clock.now, self._open_at)
        speeds = self._speeds(running)
        ends = [begin + chunk.left / speed for chunk, speed in zip(running, speeds, strict=True)]
        applied_at = math.inf if self._held[0].parts else max(self.clock.now, self._applied_at)
        self.clock.now = min(applied_at, *ends) if ends else applied_at
        for chunk, speed in zip(running, speeds, strict=True):
            chunk.left -= max(0.0, self.clock.now - begin) * speed
        if self.clock.now == applied_at:
            self._held.popleft()
            self._applied_at = applied_at + self.apply_seconds
        else:
            self._end_part(slots, running[ends.index(self.clock.now)])

    def _speeds(self, running: list[_Chunk]) -> list[float]:
        goodput = self.goodput(len(running)) * self._random.uniform(1 - self.noise, 1 + self.noise)
        shares = sum(chunk.share for chunk in running)
        return [goodput * chunk.share / shares for chunk in running]

    def _end_part(self, slots: Slots, chunk: _Chunk) -> None:
        chunk.left = PART
        chunk.parts -= 1
        self.received += PART
        slots.report(Received(PART))
        if not chunk.parts:
            slots.report(Received(1000))  # its proof
            first = self._held[0]
            is_full = len(self._held) >= HELD_PER_RUNNING * slots.downloads
            backlog = is_full and first is not chunk and not first.parts
            slots.chunk_ended(running=self._running(), backlog=backlog)
