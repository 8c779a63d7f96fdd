"""Shows events to the operator: bars on a terminal, elsewhere a line every few seconds.

Both forms print the same figures, made by `Meter`. Whatever happens to the stream, the run goes on: a restore
of hours must not end because the reader of its progress went away.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from restore.report.events import Advanced, Event, Notice, PhaseFinished, PhaseStarted, Report
from restore.report.figures import show_bytes, show_seconds

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_SECONDS = 5.0
"""Between two lines of one phase: a log of a day stays readable, a stall is seen soon."""

RATE_SECONDS = 30.0
"""Rates are over this window: calm over chunks of unequal size, and yet a stall is seen soon."""

Clock = Callable[[], float]


class Meter:
    """The figures of one phase.

    Bounds: one sample for each event of the last `RATE_SECONDS`, at most 256.
    """

    def __init__(self, start: PhaseStarted, *, now: float) -> None:
        self.phase = start.phase
        self.total = start.total
        self.done = start.done
        self._unit = start.unit
        self._done_before = start.done
        self._size = 0
        self.started = now
        self._samples: deque[tuple[float, int, int]] = deque([(now, start.done, 0)], maxlen=256)

    def advance(self, event: Advanced, *, now: float) -> None:
        """Adds what `event` tells."""
        self.done += event.items
        self._size += event.size
        self._samples.append((now, self.done, self._size))
        while len(self._samples) > 2 and now - self._samples[1][0] >= RATE_SECONDS:
            self._samples.popleft()

    def rates(self, now: float) -> tuple[float, float]:
        """Units and bytes a second over the window that ends at `now`."""
        then, done, size = self._samples[0]
        seconds = now - then
        if seconds <= 0:
            return 0.0, 0.0
        return (self.done - done) / seconds, (self._size - size) / seconds

    def seconds_left(self, now: float) -> float | None:
        """Seconds to the end at the present rate; None while that cannot be said."""
        rate, _ = self.rates(now)
        if self.total is None or rate <= 0:
            return None
        return max(0, self.total - self.done) / rate

    def progress(self, now: float) -> str:
        """The figures of a phase under way."""
        rate, byte_rate = self.rates(now)
        done = f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}"
        parts = [f"{done} {self._unit}"]
        if self.total:
            parts.append(f"{100 * self.done // self.total} %")
        speeds = [f"{rate:,.0f} {self._unit}/s"]
        if self._size:  # not every phase reads files
            parts.append(show_bytes(self._size))
            speeds.append(f"{show_bytes(byte_rate)}/s")
        parts += speeds
        left = self.seconds_left(now)
        parts.append(f"ETA {'unknown' if left is None else show_seconds(left)}")
        return ", ".join(parts)

    def summary(self, now: float) -> str:
        """The figures of a phase that ended."""
        parts = [f"{self.done:,} {self._unit}"]
        if self._done_before:
            parts.append(f"{self._done_before:,} of them from an earlier run")
        if self._size:
            parts.append(show_bytes(self._size))
        parts.append(show_seconds(now - self.started))
        return ", ".join(parts)


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
        """Prints the summary."""
        self.say(f"{meter.phase}: done: {meter.summary(now)}")

    def say(self, text: str) -> None:
        """Prints one line."""
        with suppress(OSError, ValueError):  # ValueError: the stream was closed
            self._stream.write(text + "\n")
            self._stream.flush()


class Bars:
    """One bar for each phase, drawn by rich; figures are made anew at each drawing, so that a stall shows."""

    def __init__(self, progress: Progress, *, clock: Clock) -> None:
        self._progress = progress
        self._clock = clock
        self._tasks: dict[str, TaskID] = {}

    def start(self, meter: Meter) -> None:
        """Adds the bar of a phase."""
        self._tasks[meter.phase] = self._progress.add_task(
            meter.phase,
            total=meter.total,
            completed=meter.done,
            figures=lambda: meter.progress(self._clock()),
        )

    def update(self, meter: Meter, *, now: float) -> None:  # noqa: ARG002  bars are drawn by their own clock
        """Moves the bar."""
        self._progress.update(self._tasks[meter.phase], completed=meter.done)

    def finish(self, meter: Meter, *, now: float) -> None:
        """Fills the bar, also where the total was not known."""
        summary = meter.summary(now)
        total = max(meter.done, 1)
        self._progress.update(
            self._tasks[meter.phase], total=total, completed=total, figures=lambda: summary, refresh=True
        )

    def say(self, text: str) -> None:
        """Prints a line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


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
    """Shows a run on `stream`: bars where it is a terminal, lines elsewhere."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        with _bars(stream) as bars:
            yield make_report(bars)
    else:
        yield make_report(Lines(stream))


@contextmanager
def _bars(stream: TextIO) -> Iterator[Bars]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    class Figures(ProgressColumn):
        """The figures of a phase, as of now."""

        def render(self, task: Task) -> Text:
            return Text(task.fields["figures"]())

    console = Console(file=stream)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        Figures(),
        console=console,
        refresh_per_second=4,
        redirect_stdout=False,  # stdout belongs to the result
        redirect_stderr=False,
    )
    with progress:
        console.show_cursor()  # rich hides it, and a killed run could not bring it back
        yield Bars(progress, clock=time.monotonic)
