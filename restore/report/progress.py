"""Shows events to the operator: rows with bars on a terminal, elsewhere a line every few seconds.

Both forms print the same figures, made by `Meter` and `Link`; a phase in which nothing was to do ends without
a line.
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
from restore.report.link import Link, sentence
from restore.report.meter import Meter

NOTE_SECONDS = 60.0
"""Between two sentences of one kind about transfers: the figures count those in between."""

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

    def close(self) -> None:
        """The run ended, well or not."""


class Lines:
    """Whole lines: the end of every phase, and its figures every `LINE_SECONDS` until then."""

    def __init__(self, stream: TextIO, link: Link) -> None:
        self._stream = stream
        self._link = link
        self._next_line: dict[str, float] = {}

    def start(self, meter: Meter) -> None:
        """Prints nothing yet: many phases end at once."""
        self._next_line[meter.phase] = meter.started + LINE_SECONDS

    def update(self, meter: Meter, *, now: float) -> None:
        """Prints the figures if the last line is old enough."""
        if now >= self._next_line[meter.phase]:
            self._next_line[meter.phase] = now + LINE_SECONDS
            link = f"; link {self._link.progress(now)}" if self._link.has_moved else ""
            self.say(f"{meter.phase}: {meter.progress(now)}{link}")

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
    """A `Report` that keeps the figures of phases and transfers, and shows them on `display`."""

    def __init__(self, display: Display, link: Link, *, clock: Clock = time.monotonic) -> None:
        self._display = display
        self._link = link
        self._clock = clock
        self._meters: dict[str, Meter] = {}
        self._next_note: dict[type[Event], float] = {}

    def __call__(self, event: Event) -> None:
        """Shows `event`, or counts it."""
        now = self._clock()
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
            case _:  # perhaps of a transfer
                self._link.take(event, now=now)
                self._note(event, now=now)

    def _note(self, event: Event, *, now: float) -> None:
        text = sentence(event)
        if text is not None and now >= self._next_note.get(type(event), now):
            self._next_note[type(event)] = now + NOTE_SECONDS
            self._display.say(f"note: {text}")


@contextmanager
def open_progress(stream: TextIO) -> Iterator[Report]:
    """Shows a run on `stream`: rows with bars where it is a terminal, lines elsewhere."""
    link = Link(now=time.monotonic())
    with closing(_display(stream, link)) as display:
        yield Progress(display, link)


def _display(stream: TextIO, link: Link) -> Display:
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from restore.report.bars import Bars

        return Bars(stream, link, clock=time.monotonic)
    return Lines(stream, link)
