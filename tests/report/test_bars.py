"""Progress on a terminal: rows that fit, and what stays when they are gone."""

from __future__ import annotations

import os
import pty
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import TextIO, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.report.bars import Bars, link_row, progress_row, summary_line
from restore.report.events import (
    Advanced,
    ConcurrencyChanged,
    Event,
    Hedged,
    Notice,
    PhaseFinished,
    PhaseStarted,
    Queued,
    Received,
    Report,
    Retried,
    Stalled,
    Throttled,
    Worked,
)
from restore.report.link import REASON_SECONDS, Link
from restore.report.meter import Meter
from restore.report.progress import Progress, open_progress
from restore.report.stages import Stages
from tests.report.clock import FakeClock

T = TypeVar("T")

GIBIBYTE = 1 << 30


class Shown:
    """What a terminal got."""

    text = ""


def all_of(terminal: int) -> bytes:
    """What a terminal got whose other end is closed."""
    got = b""
    with suppress(OSError):  # how the kernel tells the end
        while piece := os.read(terminal, 1 << 16):
            got += piece
    return got


@contextmanager
def terminal_of(
    monkeypatch: pytest.MonkeyPatch, columns: int, open_on: Callable[[TextIO], AbstractContextManager[T]]
) -> Iterator[tuple[Shown, T]]:
    """What is opened on a terminal; what that shows is there after the block."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    found = Shown()
    main_end, terminal_end = pty.openpty()
    try:
        with os.fdopen(terminal_end, "w") as stream, open_on(stream) as opened:
            yield found, opened
        found.text = all_of(main_end).decode()
    finally:
        os.close(main_end)


def terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int = 80
) -> AbstractContextManager[tuple[Shown, Report]]:
    """A report to a terminal."""
    return terminal_of(monkeypatch, columns, open_progress)


def meter_of(phase: str, unit: str, *, total: int | None, done: int, size: int, seconds: float) -> Meter:
    """A phase after `seconds`."""
    meter = Meter(PhaseStarted(phase, unit, total), now=0)
    meter.advance(Advanced(phase, done, size), now=seconds)
    return meter


MAINNET = meter_of(
    "state snapshot 2345678901",
    "items",
    total=2_345_678_901,
    done=1_234_567_890,
    size=123 * GIBIBYTE,
    seconds=7200,
)


EVERY_FIGURE = (
    "1,234,567,890 of 2,345,678,901 items",
    "52 %",
    "123.0 GiB",
    "171,468 items/s",
    "17.5 MiB/s",
    "ETA 1:48:00",
)


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (160, "state snapshot 2345678901  ##########----------  " + ", ".join(EVERY_FIGURE)),
        (
            100,
            "state snapshot 2345678901  #####-----  52 %, 171,468 items/s, ETA 1:48:00",
        ),
        (76, "state snapshot 2345678901  #####-----  52 %, 171,468 items/s, ETA 1:48:00"),
        (60, "state snapshot 2345678901  52 %, ETA 1:48:00"),
        (20, "state snapshot 23456"),
    ],
)
def test_what_matters_less_gives_way_to_the_width(columns: int, row: str) -> None:
    assert progress_row(MAINNET, now=7200, columns=columns, bar="#-") == row


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (
            96,
            "transactions  ##--------  100 of 400 transactions, 25 %, 4.0 KiB, 100 transactions/s, ETA 3.0 s",
        ),
        (76, "transactions  ##--------  25 %, 100 transactions/s, ETA 3.0 s"),
    ],
)
def test_a_small_phase_has_its_bar_at_80_and_at_100_columns(columns: int, row: str) -> None:
    meter = meter_of("transactions", "transactions", total=400, done=100, size=4096, seconds=1)
    assert progress_row(meter, now=1, columns=columns, bar="#-") == row


def test_a_phase_without_a_total_has_no_bar() -> None:
    meter = meter_of("rows", "rows", total=None, done=1, size=0, seconds=1)
    assert progress_row(meter, now=1, columns=76, bar="#-") == "rows  1 row, 1 row/s, ETA unknown"


def test_a_phase_with_nothing_to_do_is_full() -> None:
    meter = Meter(PhaseStarted("rows", "rows", 0), now=0)
    assert "####" in progress_row(meter, now=1, columns=76, bar="#-")


@given(
    phase=st.text("abc ", min_size=1, max_size=40),
    total=st.none() | st.integers(0, 1 << 40),
    done=st.integers(0, 1 << 40),
    size=st.integers(0, 1 << 50),
    seconds=st.integers(0, 10**15).map(lambda nanoseconds: nanoseconds / 1e9),
    columns=st.integers(-4, 200),
)
def test_no_row_is_wider_than_its_columns(
    phase: str, total: int | None, done: int, size: int, seconds: float, columns: int
) -> None:
    meter = meter_of(phase, "items", total=total, done=done, size=size, seconds=seconds)
    assert len(progress_row(meter, now=seconds, columns=columns, bar="█░")) <= max(0, columns)


def link_of(events: Iterable[Event], *, seconds: float) -> Link:
    """Transfers after `seconds`."""
    link = Link(now=0)
    for event in events:
        link.take(event, now=seconds)
    return link


TROUBLES: tuple[Event, ...] = (
    Received(852 << 20),
    *[Retried("a/b", "reset", attempt=2, wait=0.1)] * 12,
    Stalled("a/b", 10.0),
    *[Hedged("a/b", 1 << 20)] * 3,
    *[Throttled(5.0)] * 2,
    ConcurrencyChanged(16, "goodput grows"),
)


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (96, "link  85.2 MiB/s, 12 retries, 1 stall, 3 hedges, 2 throttles, 16 downloads, goodput grows"),
        (80, "link  85.2 MiB/s, 12 retries, 1 stall, 3 hedges, 2 throttles, 16 downloads"),
        (56, "link  85.2 MiB/s, 12 retries, 1 stall, 2 throttles"),
        (36, "link  85.2 MiB/s"),
        (10, "link  85.2"),
        (-1, ""),
    ],
)
def test_the_row_of_transfers_fits(columns: int, row: str) -> None:
    assert link_row(link_of(TROUBLES, seconds=10), now=10, columns=columns) == row


def test_the_reason_of_a_retry_is_shown_for_some_seconds() -> None:
    link = link_of([Retried("a/b", "connection failed", attempt=2, wait=0.1)], seconds=10)
    assert (
        link_row(link, now=10 + 0.9 * REASON_SECONDS, columns=96) == "link  0 B/s, 1 retry, connection failed"
    )
    assert link_row(link, now=10 + REASON_SECONDS, columns=96) == "link  0 B/s, 1 retry"


def test_without_troubles_there_is_only_the_rate() -> None:
    assert link_row(link_of([Received(1024)], seconds=1), now=1, columns=96) == "link  1.0 KiB/s"


def test_transfers_have_a_row_below_the_phases_and_end_as_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as (found, report):
        report(PhaseStarted("state snapshot", "items", 4))
        report(Received(3 << 20))
        report(Stalled("a/b", 10.0))
        report(Advanced("state snapshot", 4, 1024))
        report(PhaseStarted("transactions", "transactions"))
        report(PhaseFinished("state snapshot"))  # draws the rows that stay
    assert "transactions  0 transactions, 0 transactions/s, ETA unknown\r\nlink  " in found.text
    assert found.text.index("note: no progress in 10.0 s") < found.text.rindex("link  ")
    assert found.text.rstrip().endswith("link: 3.0 MiB, 1 stall")


@pytest.mark.parametrize(
    ("columns", "row"), [(80, "limited by CPU (decode 1.7 of 2 cores)"), (24, "limited by CPU (deco")]
)
def test_what_limits_the_run_has_a_row_below_the_phases(
    columns: int, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, link = FakeClock(), Link(now=0)
    stages = Stages(link, cores=2)
    with terminal_of(
        monkeypatch, columns, lambda stream: closing(Bars(stream, link, stages, clock=clock))
    ) as (found, bars):
        report = Progress(bars, link, stages, clock=clock)
        report(PhaseStarted("ledger infos", "epochs", 4))
        report(PhaseStarted("snapshot", "items", 4))
        report(Queued("snapshot", running=2, waiting=0))
        for _ in range(10):
            clock.now += 1
            report(Worked("snapshot", "decode", 1.7, 1, 100))
            report(Worked("snapshot", "save", 0.1, 1, 100))
        report(PhaseFinished("ledger infos"))  # draws the rows that stay
    assert f"\r\n{row}\r" in found.text


def test_the_line_of_a_long_phase_fits_80_columns() -> None:
    meter = Meter(PhaseStarted("transactions (state from 2345678901)", "transactions", done=5), now=0)
    meter.advance(Advanced(meter.phase, 999_999_999, 123 * GIBIBYTE), now=1)
    line = summary_line(meter, now=36_000, columns=80)
    assert line == "transactions (state from 2345678901): done: 1,000,000,004 transactions, 10:00:00"


def test_what_ended_stays_as_a_line_and_the_cursor_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as (found, report):
        report(PhaseStarted("state snapshot", "items", 4))
        report(Notice("[bold] is not markup"))
        report(Advanced("state snapshot", 2, 1024))
        report(PhaseStarted("transactions", "transactions"))
        report(Advanced("state snapshot", 2, 1024))
        report(PhaseFinished("state snapshot"))
        report(Advanced("transactions", 1, 1024))
    assert "note: [bold] is not markup" in found.text
    assert "state snapshot: done: 4 items, 2.0 KiB" in found.text
    assert "transactions  1 transaction, 1.0 KiB" in found.text  # how far it was when the run ended
    assert found.text.rindex("\x1b[?25h") > found.text.rindex("\x1b[?25l")


def test_a_phase_in_which_nothing_was_to_do_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as (found, report):
        for name in ("first", "second"):
            report(PhaseStarted(name, "rows"))
            report(PhaseFinished(name))
    assert "done" not in found.text


@pytest.mark.parametrize("end", [lambda report: None, lambda report: report(PhaseFinished("first"))])
def test_a_terminal_that_went_away_does_not_end_the_run(
    end: Callable[[Report], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    main_end, terminal_end = pty.openpty()
    stream = os.fdopen(terminal_end, "w")
    with open_progress(stream) as report:
        report(PhaseStarted("first", "items", 4))
        os.close(main_end)
        report(Notice("nobody reads this"))
        end(report)
    with suppress(OSError):  # what could not be written is flushed once more
        stream.close()
