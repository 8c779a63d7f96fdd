"""Progress: figures by an injected clock, lines on a log."""

from __future__ import annotations

import io
import os
import pty

import pytest

from restore.report.events import (
    Advanced,
    ConcurrencyChanged,
    Durable,
    Event,
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
from restore.report.link import Link
from restore.report.meter import Meter
from restore.report.progress import LINE_SECONDS, Lines, Progress, open_progress
from restore.report.stages import JUDGE_SECONDS, Stages
from restore.report.window import RATE_SECONDS
from tests.report.clock import FakeClock

MEBIBYTE = 1 << 20


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def report(log: io.StringIO, clock: FakeClock) -> Report:
    link = Link(now=clock.now)
    stages = Stages(link, cores=2)
    return Progress(Lines(log, link, stages), link, stages, clock=clock)


def test_a_line_comes_every_few_seconds(report: Report, log: io.StringIO, clock: FakeClock) -> None:
    report(PhaseStarted("state snapshot", "items", 1000))
    for _ in range(10):
        clock.now += LINE_SECONDS / 5
        report(Advanced("state snapshot", 50, MEBIBYTE))
    assert log.getvalue().splitlines() == [
        "state snapshot: 250 of 1,000 items, 25 %, 5.0 MiB, 50 items/s, 1.0 MiB/s, ETA 15.0 s",
        "state snapshot: 500 of 1,000 items, 50 %, 10.0 MiB, 50 items/s, 1.0 MiB/s, ETA 10.0 s",
    ]


def test_a_phase_ends_with_its_summary(report: Report, log: io.StringIO, clock: FakeClock) -> None:
    report(PhaseStarted("transactions", "transactions", 7))
    clock.now += 2
    report(Advanced("transactions", 7, 512))
    report(PhaseFinished("transactions"))
    assert log.getvalue() == "transactions: done: 7 transactions, 512 B, 2.0 s\n"


def test_what_an_earlier_run_did_counts_as_done_but_not_as_speed(
    report: Report, log: io.StringIO, clock: FakeClock
) -> None:
    report(PhaseStarted("state snapshot", "items", 1000, done=900))
    clock.now += 10
    report(Advanced("state snapshot", 10, 0))
    report(PhaseFinished("state snapshot"))
    moving, finished = log.getvalue().splitlines()
    assert "910 of 1,000 items, 91 %, 1 item/s" in moving
    assert moving.endswith("ETA 1:30")
    assert finished == "state snapshot: done: 910 items, 900 of them from an earlier run, 10.0 s"


def test_a_phase_in_which_nothing_was_to_do_has_no_line(report: Report, log: io.StringIO) -> None:
    report(PhaseStarted("progress rows", "rows"))
    report(PhaseFinished("progress rows"))
    assert log.getvalue() == ""


def test_phases_that_overlap_keep_their_own_figures(
    report: Report, log: io.StringIO, clock: FakeClock
) -> None:
    report(PhaseStarted("one", "items"))
    report(PhaseStarted("two", "items"))
    clock.now += 1
    report(Advanced("two", 2, 0))
    report(Advanced("one", 1, 0))
    report(PhaseFinished("one"))
    report(PhaseFinished("two"))
    assert [line.split(",")[0] for line in log.getvalue().splitlines()] == [
        "one: done: 1 item",
        "two: done: 2 items",
    ]


def test_notices_are_printed_at_once_and_durable_steps_not(report: Report, log: io.StringIO) -> None:
    report(Notice("metadata is read directly"))
    report(Durable("mark"))
    report(Notice("nobody vouches for this", warning=True))
    assert log.getvalue() == "note: metadata is read directly\nwarning: nobody vouches for this\n"


def test_lines_tell_of_transfers_once_there_are_any(
    report: Report, log: io.StringIO, clock: FakeClock
) -> None:
    report(PhaseStarted("state snapshot", "items", 1000))
    report(ConcurrencyChanged(8, "two CPUs"))
    clock.now += LINE_SECONDS
    report(Advanced("state snapshot", 100, 0))
    report(Received(40 * MEBIBYTE))
    report(Retried("a/b", "reset", attempt=2, wait=0.1))
    clock.now += LINE_SECONDS
    report(Advanced("state snapshot", 100, 0))
    before, after = log.getvalue().splitlines()
    assert before == "state snapshot: 100 of 1,000 items, 10 %, 20 items/s, ETA 45.0 s"
    assert after.endswith("20 %, 20 items/s, ETA 40.0 s; link 4.0 MiB/s, 1 retry, 8 downloads")


@pytest.mark.parametrize(
    "event",
    [Retried("a/b", "reset", attempt=2, wait=0.1), Stalled("a/b", 10.0), Throttled(5.0), Received(1)],
)
def test_a_phase_that_stands_still_has_its_line_with_whatever_happens(
    report: Report, log: io.StringIO, clock: FakeClock, event: Event
) -> None:
    report(PhaseStarted("state snapshot", "items", 1000))
    report(Advanced("state snapshot", 100, 0))
    for _ in range(12):
        clock.now += LINE_SECONDS / 4
        report(event)
    lines = [line for line in log.getvalue().splitlines() if not line.startswith("note: ")]
    assert [line.partition("; link ")[0] for line in lines] == [
        "state snapshot: 100 of 1,000 items, 10 %, 20 items/s, ETA 45.0 s",
        "state snapshot: 100 of 1,000 items, 10 %, 10 items/s, ETA 1:30",
        "state snapshot: 100 of 1,000 items, 10 %, 7 items/s, ETA 2:15",
    ]


def test_lines_tell_what_limits_the_phase_once_that_is_known(
    report: Report, log: io.StringIO, clock: FakeClock
) -> None:
    report(PhaseStarted("state snapshot", "items", 1000))
    report(Queued("state snapshot", running=2, waiting=0))
    report(Received(MEBIBYTE))
    for _ in range(3):
        clock.now += LINE_SECONDS
        report(Advanced("state snapshot", 100, 0))
        report(Worked("state snapshot", "decode", 1.7 * LINE_SECONDS, 100, 1000))
        report(Worked("state snapshot", "save", 0.1, 100, 1000))
    first, *later = [line.split("; ") for line in log.getvalue().splitlines()]
    assert JUDGE_SECONDS >= LINE_SECONDS
    assert len(first) == 2
    assert [line[2] for line in later] == ["limited by CPU (decode 1.7 of 2 cores)"] * 2


def test_a_phase_whose_chunks_do_not_end_has_its_line(
    report: Report, log: io.StringIO, clock: FakeClock
) -> None:
    report(PhaseStarted("state snapshot", "items", 1000))
    clock.now += LINE_SECONDS
    report(Worked("state snapshot", "fetch", 1.0))
    assert log.getvalue() == "state snapshot: 0 of 1,000 items, 0 %, 0 items/s, ETA unknown\n"


def test_a_storage_that_is_down_at_the_start_is_told(
    report: Report, log: io.StringIO, clock: FakeClock
) -> None:
    report(Retried("metadata/", "connection failed", attempt=2, wait=0.1))
    clock.now += 1
    report(Retried("metadata/", "connection failed", attempt=3, wait=0.2))
    assert log.getvalue() == "note: connection failed, tried anew, 2 retries so far: metadata/\n"


def test_what_is_only_counted_has_no_sentence(report: Report, log: io.StringIO) -> None:
    report(Received(1))
    report(Retried("a/b", "reset", attempt=2, wait=0.1))
    report(ConcurrencyChanged(4, "the storage throttles"))
    assert log.getvalue() == ""


def test_why_the_last_retry_or_another_number_of_downloads_is_in_one_line(
    report: Report, log: io.StringIO, clock: FakeClock
) -> None:
    report(PhaseStarted("state snapshot", "items"))
    report(Received(1))
    for event in (Retried("a/b", "reset", attempt=2, wait=0.1), ConcurrencyChanged(4, "it throttles")):
        clock.now += LINE_SECONDS
        report(event)
    clock.now += LINE_SECONDS
    report(Received(1))
    links = [line.partition("; link ")[2] for line in log.getvalue().splitlines() if "; link " in line]
    assert links == [
        "0 B/s, 1 retry, reset",
        "0 B/s, 1 retry, 4 downloads, it throttles",
        "0 B/s, 1 retry, 4 downloads",
    ]


def test_a_run_ends_with_what_its_transfers_came_to(log: io.StringIO) -> None:
    with open_progress(log) as report:
        report(Received(3 * MEBIBYTE))
        report(Retried("a/b", "reset", attempt=2, wait=0.1))
        report(Retried("a/b", "reset", attempt=3, wait=0.2))
    assert log.getvalue() == "link: 3.0 MiB, 2 retries\n"


def test_a_run_without_transfers_says_nothing_of_them(log: io.StringIO) -> None:
    with open_progress(log) as report:
        report(ConcurrencyChanged(4, "as asked for"))
        report(Durable("mark"))
    assert "link" not in log.getvalue()


def test_without_a_total_there_is_no_eta(clock: FakeClock) -> None:
    meter = Meter(PhaseStarted("any", "items"), now=clock.now)
    meter.advance(Advanced("any", 5, 0), now=clock.now + 1)
    assert meter.progress(clock.now + 1) == "5 items, 5 items/s, ETA unknown"


def test_a_stall_shows_in_the_rate(clock: FakeClock) -> None:
    meter = Meter(PhaseStarted("any", "items", 1000), now=0)
    for second in range(1, 61):
        meter.advance(Advanced("any", 10, 0), now=second)
    assert meter.rates(60)[0] == pytest.approx(10)
    assert meter.rates(60 + RATE_SECONDS)[0] < 6
    meter.advance(Advanced("any", 1, 0), now=160)
    assert meter.rates(160)[0] < 0.2


def test_a_fast_start_is_forgotten_after_the_window() -> None:
    meter = Meter(PhaseStarted("any", "items", 100_000), now=0)
    meter.advance(Advanced("any", 50_000, 0), now=1)
    for second in range(2, 100):
        meter.advance(Advanced("any", 1, 0), now=second)
    assert meter.rates(99)[0] == pytest.approx(1)


def test_more_done_than_planned_leaves_nothing_to_do() -> None:
    meter = Meter(PhaseStarted("any", "items", 10), now=0)
    meter.advance(Advanced("any", 11, 0), now=1)
    assert meter.seconds_left(1) == 0


class BrokenStream(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, text: str, /) -> int:
        raise BrokenPipeError


def test_a_reader_that_went_away_does_not_end_the_run() -> None:
    link = Link(now=0)
    stages = Stages(link, cores=2)
    Progress(Lines(BrokenStream(), link, stages), link, stages)(Notice("nobody reads this"))


def test_a_closed_stream_does_not_end_the_run(log: io.StringIO, report: Report) -> None:
    log.close()
    report(Notice("nobody reads this"))


def test_a_log_gets_lines(log: io.StringIO) -> None:
    with open_progress(log) as report:
        report(PhaseStarted("epoch endings", "epochs", 2))
        report(Advanced("epoch endings", 2, 100))
        report(PhaseFinished("epoch endings"))
    assert log.getvalue().startswith("epoch endings: done: 2 epochs, 100 B")


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    main_end, terminal_end = pty.openpty()
    try:
        with os.fdopen(terminal_end, "w") as terminal, open_progress(terminal) as report:
            report(Notice("plain"))
        assert os.read(main_end, 1 << 16).decode().strip() == "note: plain"
    finally:
        os.close(main_end)
