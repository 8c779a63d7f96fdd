"""Progress on a terminal: what is under way as rows at its foot, what ended as lines above them.

A row never takes more than one line, whatever the width: figures and the bar give way first. So a phase that
ended looks different without any colour, and the rows leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from restore.report.figures import ALL
from restore.report.link import Link
from restore.report.meter import Meter
from restore.report.progress import Clock
from restore.report.stages import Stages

EDGE = 4
"""Columns left free at the right: the terminal echoes `^C` there, and rows that wrap cannot be redrawn."""

_LAYOUTS = ((20, ALL), (20, 3), (10, 3), (10, 2), (10, 1), (0, 1), (0, 0))
"""Columns of the bar, and detail of the figures: the first that fits is taken."""


class Bars:
    """One row for each phase under way; where known, one for the transfers and one for the limit.

    Figures are made anew at each drawing, so that a stall shows.
    """

    def __init__(self, stream: TextIO, link: Link, stages: Stages, *, clock: Clock) -> None:
        self._console = Console(file=stream)
        self._link = link
        self._stages = stages
        self._clock = clock
        self._meters: dict[str, Meter] = {}
        self._live: Live | None = None

    def start(self, meter: Meter) -> None:
        """Adds a row; it is drawn a moment later, since many phases end at once."""
        self._meters[meter.phase] = meter
        if self._live is not None:
            return
        with _going_on():
            self._live = Live(
                console=self._console,
                get_renderable=self._rows,
                refresh_per_second=4,
                transient=True,
                redirect_stdout=False,  # stdout belongs to the result
                redirect_stderr=False,
            )
            self._live.start()
            self._console.show_cursor()  # rich hides it, and a killed run could not bring it back

    def update(self, meter: Meter, *, now: float) -> None:
        """Does nothing: rows are drawn by their own clock."""

    def finish(self, meter: Meter, *, now: float) -> None:
        """Puts a line in place of the row, if there is anything to tell."""
        if len(self._meters) == 1:
            self._stop_drawing()  # before the row is gone: rich must know how much to take back
        del self._meters[meter.phase]
        if self._live is not None:
            with _going_on():
                self._live.refresh()  # else the line would come above the row that it replaces
        if meter.has_moved:
            self.say(summary_line(meter, now=now, columns=self._console.width))

    def say(self, text: str) -> None:
        """Prints a line above the rows."""
        with _going_on():
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Stops drawing; how far the phases came that did not end stays as lines."""
        self._stop_drawing()
        for meter in self._meters.values():
            if meter.has_moved:
                self.say(progress_row(meter, now=self._clock(), columns=self._columns, bar=""))
        self._meters.clear()
        if self._link.has_moved:
            self.say(f"link: {self._link.summary()}")

    @property
    def _columns(self) -> int:
        return self._console.width - EDGE

    def _stop_drawing(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            with _going_on():
                live.stop()

    def _rows(self) -> Text:
        bar = "#-" if self._console.options.ascii_only else "█░"
        # A copy: rich draws in a thread of its own.
        meters, now, columns = tuple(self._meters.values()), self._clock(), self._columns
        rows = [progress_row(meter, now=now, columns=columns, bar=bar) for meter in meters]
        if self._link.has_moved:
            rows.append(link_row(self._link, now=now, columns=columns))
        if limit := self._stages.limit(now):
            rows.append(limit[: max(0, columns)])
        return Text("\n".join(rows), no_wrap=True, overflow="crop")


def progress_row(meter: Meter, *, now: float, columns: int, bar: str) -> str:
    """A phase under way, in at most `columns`.

    Args:
        meter: the phase.
        now: the time.
        columns: width of the row.
        bar: what the bar's done and open parts are made of; nothing for a row without a bar.
    """
    row = ""
    for bar_columns, detail in _LAYOUTS:
        drawn = _bar(meter.fraction, bar_columns, bar) if bar else ""
        row = "  ".join(filter(None, (meter.phase, drawn, meter.progress(now, detail=detail))))
        if len(row) <= columns:
            break
    return row[: max(0, columns)]


def link_row(link: Link, *, now: float, columns: int) -> str:
    """The transfers, in at most `columns`."""
    row = ""
    for detail in (3, 2, 1, 0):
        row = f"link  {link.progress(now, detail=detail)}"
        if len(row) <= columns:
            break
    return row[: max(0, columns)]


def summary_line(meter: Meter, *, now: float, columns: int) -> str:
    """A phase that ended: in `columns`, where leaving out what matters less can do that."""
    line = ""
    for detail in (2, 1, 0):
        line = f"{meter.phase}: done: {meter.summary(now, detail=detail)}"
        if len(line) <= columns:
            break
    return line


def _bar(fraction: float | None, columns: int, parts: str) -> str:
    if fraction is None:
        return ""
    done = int(fraction * columns)
    return parts[0] * done + parts[1] * (columns - done)


@contextmanager
def _going_on() -> Iterator[None]:
    """Lets a run go on whose terminal went away."""
    with suppress(OSError, ValueError):
        yield
