"""Shows events to the operator: rows with bars on a terminal, elsewhere a line every few seconds.

Both forms print the same figures, made by `Meter`, `Link` and `Stages`; a phase in which nothing was to
do ends without a line.
Whatever happens to the stream, the run goes on: a restore of hours must not end because the reader of its
progress went away.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Protocol, TextIO

from restore.limits import available_cpus
from restore.report.events import Advanced, Event, Notice, PhaseFinished, PhaseStarted, Report
from restore.report.link import Link
from restore.report.meter import Meter
from restore.report.notes import Notes
from restore.report.stages import Stages

LINE_SECONDS = 5.0
"""Between two lines of one phase: a log of a day stays readable, a stall is seen soon."""

Clock = Callable[[], float]


class Display(Protocol):
    """How meters and sentences are shown."""

    def start(self, meter: Meter) -> None:
        """A phase began."""

    def update(self, meter: Meter, *, now: float) -> None:
        """A phase moved, or time went by."""

    def finish(self, meter: Meter, *, now: float) -> None:
        """A phase ended well."""

    def say(self, text: str) -> None:
        """A sentence to read."""

    def close(self) -> None:
        """The run ended, well or not."""


class Lines:
    """Whole lines: the end of every phase, and its figures every `LINE_SECONDS` until then."""

    def __init__(self, stream: TextIO, link: Link, stages: Stages) -> None:
        self._stream = stream
        self._link = link
        self._stages = stages
        self._next_line: dict[str, float] = {}

    def start(self, meter: Meter) -> None:
        """Prints nothing yet: many phases end at once."""
        self._next_line[meter.phase] = meter.started + LINE_SECONDS

    def update(self, meter: Meter, *, now: float) -> None:
        """Prints the figures if the last line is old enough."""
        if now >= self._next_line[meter.phase]:
            self._next_line[meter.phase] = now + LINE_SECONDS
            link = f"link {self._link.progress(now)}" if self._link.has_moved else ""
            figures = filter(None, (meter.progress(now), link, self._stages.limit(now)))
            self.say(f"{meter.phase}: {'; '.join(figures)}")

    def finish(self, meter: Meter, *, now: float) -> None:
        """Prints the summary, if there is anything to tell."""
        if meter.has_moved:
            self.say(f"{meter.phase}: done: {meter.summary(now)}")

    def say(self, text: str) -> None:
        """Prints one line."""
        with suppress(OSError, ValueError):  # ValueError: the stream was closed
            self._stream.write(text + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Prints what the transfers came to, if there were any."""
        if self._link.has_moved:
            self.say(f"link: {self._link.summary()}")


class Progress:
    """A `Report` that keeps the figures of phases, stages and transfers, and shows them on `display`."""

    def __init__(
        self, display: Display, link: Link, stages: Stages, *, clock: Clock = time.monotonic
    ) -> None:
        self._display = display
        self._link = link
        self._stages = stages
        self._clock = clock
        self._meters: dict[str, Meter] = {}
        self._notes = Notes(link, now=clock())

    def __call__(self, event: Event) -> None:
        """Shows `event`, or counts it."""
        now = self._clock()
        self._stages.take(event, now=now)
        match event:
            case PhaseStarted():
                meter = self._meters[event.phase] = Meter(event, now=now)
                self._display.start(meter)
            case Advanced():
                self._meters[event.phase].advance(event, now=now)
                self._display.update(self._meters[event.phase], now=now)
            case PhaseFinished():
                self._display.finish(self._meters.pop(event.phase), now=now)
            case Notice():
                self._display.say(f"{'warning' if event.warning else 'note'}: {event.text}")
            case _:  # of a stage, or perhaps of a transfer
                self._take_other(event, now=now)

    def _take_other(self, event: Event, *, now: float) -> None:
        self._link.take(event, now=now)
        if note := self._notes.take(event, now=now):
            self._display.say(f"note: {note}")
        # A phase that does not advance has no event of its own; that it stands still is to be seen too.
        for meter in self._meters.values():
            self._display.update(meter, now=now)


@contextmanager
def open_progress(stream: TextIO) -> Iterator[Report]:
    """Shows a run on `stream`: rows with bars where it is a terminal, lines elsewhere."""
    link = Link(now=time.monotonic())
    stages = Stages(link, cores=available_cpus())
    with closing(_display(stream, link, stages)) as display:
        yield Progress(display, link, stages)


def _display(stream: TextIO, link: Link, stages: Stages) -> Display:
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from restore.report.bars import Bars

        return Bars(stream, link, stages, clock=time.monotonic)
    return Lines(stream, link, stages)
