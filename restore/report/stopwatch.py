"""Takes the time of the stages that a chunk goes through, for the events that tell of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from restore.report.events import Report, Stage, Worked

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Stopwatch:
    """Follows one chunk from stage to stage: what ends begins the next.

        watch = Stopwatch(report, phase)
        records = await read(chunk)
        watch.lap("fetch", items=len(records), size=size)
        part, seconds = await workers.run(timed, decode, records)
        watch.lap("decode", items=len(records), size=size, seconds=seconds)

    For the thread of the event loop only, as reports are.

    Args:
        report: takes the events.
        phase: which phase the chunk belongs to.
        clock: tells the time, in seconds.
    """

    def __init__(self, report: Report, phase: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._phase = phase
        self._clock = clock
        self._began = clock()

    def lap(self, stage: Stage, *, items: int = 0, size: int = 0, seconds: float | None = None) -> None:
        """Tells that the time since the last lap went into `stage`.

        Args:
            stage: what ends here.
            items: units of the phase in the chunk.
            size: bytes that the stage read.
            seconds: how long it took, where the lap holds more than that: waiting for a worker thread.
        """
        now = self._clock()
        began, self._began = self._began, now
        self._report(Worked(self._phase, stage, now - began if seconds is None else seconds, items, size))

    def set_aside(self, stage: Stage, seconds: float, *, items: int = 0, size: int = 0) -> None:
        """Tells that `seconds` of the present lap went into another stage: they are not counted twice."""
        self._began += seconds
        self._report(Worked(self._phase, stage, seconds, items, size))


def timed(function: Callable[[*Ts], T], *args: *Ts) -> tuple[T, float]:
    """What `function(*args)` returns, and how many seconds it took: for a call in a worker thread."""
    began = time.monotonic()
    result = function(*args)
    return result, time.monotonic() - began
