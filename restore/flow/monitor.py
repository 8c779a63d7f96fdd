"""The circuit breaker: a run that holds more than it may is stopped, instead of drowning with its machine.

Every part of a run has its own bound, and keeps to it. This one trusts none of them: it counts what the
kernel counts, and stops the run when the sum cannot be right. What is reached is a bug, or a machine on which
our bounds are wrong; either is better told than suffered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, replace
from types import TracebackType
from typing import Self

from restore.errors import BoundExceededError, RestoreError
from restore.flow.cancellation import CancelRequests
from restore.flow.timer import Timer
from restore.flow.usage import Usage, peak_memory_bytes, usage_of_process
from restore.report.events import Notice, Report
from restore.report.figures import show_bytes

LOOK_SECONDS = 0.25
"""Between two looks: one costs less than a millisecond, and what leaks does not double in that time."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a run may hold of each; see `Usage`."""

    tasks: int
    children: int
    descriptors: int
    memory_bytes: int


_NAMES = {
    "tasks": "tasks",
    "children": "child processes",
    "descriptors": "open descriptors",
    "memory_bytes": "memory",
}


class Monitor:
    """Stops the block that it encloses when this process holds more than `bounds`.

    Entered once.

    Args:
        bounds: the most that it may hold; what the system does not tell is not bounded.
        report: is told when the run is stopped, which may take a moment.
        interval: seconds between two looks.
        read: what the process holds now.

    Cancellation: past a bound the block is cancelled, once; when all in it has ended, the error is raised. A
        block that ends in spite of that, with a result or with an error of its own, ends so. One that is
        cancelled from outside as well raises the error, and is cancelled again where it next waits.

    Raises:
        BoundExceededError: a bound was passed.
    """

    def __init__(
        self,
        bounds: Bounds,
        *,
        report: Report,
        interval: float = LOOK_SECONDS,
        read: Callable[[], Usage] = usage_of_process,
    ) -> None:
        self._bounds = bounds
        self._report = report
        self._read = read
        self._timer = Timer(interval, self._look)
        self._peaks = Usage()
        self._exceeded: BoundExceededError | None = None

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RestoreError("a monitor needs a running task to stop")
        self._task = task
        self._requests = CancelRequests()
        self._timer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.stop()
        self._count()
        if self._exceeded is None:
            return
        self._task.uncancel()  # what is left are requests of others
        if isinstance(error, asyncio.CancelledError):
            self._requests.deliver_again()
            raise self._exceeded from None

    def peaks(self) -> Usage:
        """The most of each at any look; of memory the most there ever was."""
        memory = max(self._peaks.memory_bytes, peak_memory_bytes())
        return replace(self._peaks, memory_bytes=memory)

    def _look(self) -> None:
        self._exceeded = self._beyond(self._count())
        if self._exceeded is not None:
            self._timer.stop()
            self._report(Notice(f"stopping: {self._exceeded}", warning=True))
            self._task.cancel()

    def _count(self) -> Usage:
        usage = self._read()
        self._peaks = Usage(*map(max, astuple(self._peaks), astuple(usage)))
        return usage

    def _beyond(self, usage: Usage) -> BoundExceededError | None:
        held, bounds = asdict(usage), asdict(self._bounds)
        for name, label in _NAMES.items():
            if held[name] > bounds[name]:
                show = show_bytes if name == "memory_bytes" else str
                return BoundExceededError(
                    f"run holds more {label} than it may",
                    expected=f"at most {show(bounds[name])}",
                    found=show(held[name]),
                )
        return None
