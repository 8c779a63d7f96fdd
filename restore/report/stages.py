"""How busy the stages of the phase under way are, and which of them limits it."""

from __future__ import annotations

from typing import get_args

from restore.report.bottleneck import ORDERED_STAGES, Load, bottleneck
from restore.report.events import Event, PhaseFinished, PhaseStarted, Queued, Stage, Worked
from restore.report.link import Link
from restore.report.window import RATE_SECONDS, Level, Window

JUDGE_SECONDS = 5.0
"""Of a phase that are seen before anything is said of it: the first chunks of a run all come at once."""


class Stages:
    """What limits the phase that began last; phases come one after the other.

    Args:
        link: the run's transfers, if there are any.
        cores: CPUs that the process may use.
    """

    def __init__(self, link: Link, *, cores: int) -> None:
        self._link = link
        self._cores = cores
        self._phase = ""
        self._gauges: _Gauges | None = None

    def take(self, event: Event, *, now: float) -> None:
        """Adds what `event` tells."""
        match event:
            case PhaseStarted():
                self._phase, self._gauges = event.phase, _Gauges(now=now)
            case PhaseFinished() if event.phase == self._phase:
                self._phase, self._gauges = "", None
            case Worked() | Queued() if event.phase == self._phase and self._gauges is not None:
                self._gauges.take(event, now=now)

    def limit(self, now: float) -> str | None:
        """The bottleneck, as a line; None while there is too little to judge."""
        gauges = self._gauges  # once: the rows of a terminal are drawn in a thread of their own
        load = None if gauges is None else gauges.load(now, cores=self._cores)
        if load is None:
            return None
        source = "the link" if self._link.has_moved else "reading the backup"
        return f"limited by {bottleneck(load, source=source)}"


class _Gauges:
    """The averages of one phase."""

    def __init__(self, *, now: float) -> None:
        self._began = self._last = now
        self._busy: dict[Stage, Window[float]] = {stage: Window(0.0, now=now) for stage in get_args(Stage)}
        self._running = Level(now=now)
        self._waiting = Level(now=now)
        self._is_through = False  # at least one chunk

    def take(self, event: Worked | Queued, *, now: float) -> None:
        if isinstance(event, Queued):
            self._running.set(event.running, now=now)
            self._waiting.set(event.waiting, now=now)
            return
        self._busy[event.stage].add(event.seconds, now=now)
        self._is_through = self._is_through or event.stage in ORDERED_STAGES
        self._last = now

    def load(self, now: float, *, cores: int) -> Load | None:
        # Up to what ended last: what is in progress cannot be seen, and would count as idle. Unless nothing
        # ends any more.
        end = self._last if now - self._last < RATE_SECONDS else now
        if not self._is_through or end - self._began < JUDGE_SECONDS:
            return None
        return Load(
            cores=cores,
            busy={stage: window.rate(end) for stage, window in self._busy.items()},
            running=self._running.average(now),
            waiting=self._waiting.average(now),
        )
