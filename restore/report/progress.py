"""Shows events to the operator: rows with bars on a terminal, elsewhere a line every few seconds.

Both forms print the same figures, made by `Meter`; a phase in which nothing was to do ends without a line.
Whatever happens to the stream, the run goes on: a restore of hours must not end because the reader of its
progress went away.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Protocol, TextIO

from restore.report.events import Advanced, Event, Notice, PhaseFinished, PhaseStarted, Report
from restore.report.meter import Meter

LINE_SECONDS = 5.0
"""Between two lines of one phase: a log of a day stays readable, a stall is seen soon."""

Clock = Callable[[], float]


class Display(Protocol):
    """How meters and sentences are shown."""

    def start(self, meter: Meter) -> None:
        """A phase began."""

    def update(self, meter: Meter, *, now: float) -> None:
        """A phase moved."""

    def finish(self, meter: Meter, *, now: float) -> None:
        """A phase ended well."""

    def say(self, text: str) -> None:
        """A sentence to read."""


class Lines:
    """Whole lines: the end of every phase, and its figures every `LINE_SECONDS` until then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next_line: dict[str, float] = {}

    def start(self, meter: Meter) -> None:
        """Prints nothing yet: many phases end at once."""
        self._next_line[meter.phase] = meter.started + LINE_SECONDS

    def update(self, meter: Meter, *, now: float) -> None:
        """Prints the figures if the last line is old enough."""
        if now >= self._next_line[meter.phase]:
            self._next_line[meter.phase] = now + LINE_SECONDS
            self.say(f"{meter.phase}: {meter.progress(now)}")

    def finish(self, meter: Meter, *, now: float) -> None:
        """Prints the summary, if there is anything to tell."""
        if meter.has_moved:
            self.say(f"{meter.phase}: done: {meter.summary(now)}")

    def say(self, text: str) -> None:
        """Prints one line."""
        with suppress(OSError, ValueError):  # ValueError: the stream was closed
            self._stream.write(text + "\n")
            self._stream.flush()


def make_report(display: Display, *, clock: Clock = time.monotonic) -> Report:
    """A `Report` that keeps a meter for each phase and shows it on `display`."""
    meters: dict[str, Meter] = {}

    def report(event: Event) -> None:
        now = clock()
        match event:
            case PhaseStarted():
                meters[event.phase] = Meter(event, now=now)
                display.start(meters[event.phase])
            case Advanced():
                meters[event.phase].advance(event, now=now)
                display.update(meters[event.phase], now=now)
            case PhaseFinished():
                display.finish(meters.pop(event.phase), now=now)
            case Notice():
                display.say(f"{'warning' if event.warning else 'note'}: {event.text}")
            case _:
                pass  # Durable: for those who resume, not for those who watch

    return report


@contextmanager
def open_progress(stream: TextIO) -> Iterator[Report]:
    """Shows a run on `stream`: rows with bars where it is a terminal, lines elsewhere."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from restore.report.bars import Bars

        with closing(Bars(stream, clock=time.monotonic)) as bars:
            yield make_report(bars)
    else:
        yield make_report(Lines(stream))
