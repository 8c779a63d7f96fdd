"""Rates over the last seconds, whatever the events are like."""

from __future__ import annotations

import pytest

from restore.report.window import RATE_SECONDS, SAMPLE_SECONDS, Level, Window


def test_a_steady_stream_has_its_rate() -> None:
    window = Window(0, now=100)
    for second in range(101, 200):
        window.add(7, now=second)
        assert window.rate(second) == pytest.approx(7)
    assert window.total == 99 * 7


def test_what_was_there_before_is_no_speed() -> None:
    window = Window(1000, now=0)
    window.add(10, now=5)
    assert (window.total, window.rate(5)) == (1010, 2.0)


def test_many_small_events_do_not_shorten_the_window() -> None:
    window = Window(0, now=0)
    for number in range(100_000):  # 1,000 a second, all of them small but in the last second
        window.add(1 if number < 99_000 else 101, now=number / 1000)
    assert window.rate(100) == pytest.approx((30_000 + 100 * 1000) / RATE_SECONDS, rel=0.02)
    assert len(window._samples) <= RATE_SECONDS / SAMPLE_SECONDS + 2


def test_a_stall_shows() -> None:
    window = Window(0, now=0)
    window.add(300, now=30)
    assert window.rate(60) == 5.0


def test_no_time_is_no_rate() -> None:
    window = Window(0, now=0)
    window.add(5, now=0)
    assert window.rate(0) == 0.0


def test_what_was_not_added_yet_may_be_counted_in() -> None:
    window = Window(0, now=0)
    window.add(10, now=5)
    assert window.rate(10, more=20) == 3.0


def test_a_level_counts_for_as_long_as_it_lasts() -> None:
    level = Level(now=100)
    level.set(4, now=110)
    level.set(1, now=112)
    assert level.average(114) == pytest.approx((0 * 10 + 4 * 2 + 1 * 2) / 14)


def test_a_level_forgets_what_was_before_the_window() -> None:
    level = Level(now=0)
    level.set(50, now=1)
    for second in range(2, 100):
        level.set(2 + 2 * (second % 2), now=second)
    assert level.average(99) == pytest.approx(3)


def test_a_level_that_does_not_change_is_its_own_average() -> None:
    level = Level(now=0)
    level.set(3, now=0)
    assert level.average(0) == 0.0  # of no time
    assert level.average(1000) == 3.0
