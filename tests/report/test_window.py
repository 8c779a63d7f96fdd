"""Rates over the last seconds, whatever the events are like."""

from __future__ import annotations

import pytest

from restore.report.window import RATE_SECONDS, SAMPLE_SECONDS, Window


def test_a_steady_stream_has_its_rate() -> None:
    window = Window(now=100)
    for second in range(101, 200):
        window.add(7, now=second)
        assert window.rate(second) == pytest.approx(7)
    assert window.total == 99 * 7


def test_what_was_there_before_is_no_speed() -> None:
    window = Window(1000, now=0)
    window.add(10, now=5)
    assert (window.total, window.rate(5)) == (1010, 2.0)


def test_many_small_events_do_not_shorten_the_window() -> None:
    window = Window(now=0)
    for number in range(100_000):  # 1,000 a second, all of them small but in the last second
        window.add(1 if number < 99_000 else 101, now=number / 1000)
    assert window.rate(100) == pytest.approx((30_000 + 100 * 1000) / RATE_SECONDS, rel=0.02)
    assert len(window._samples) <= RATE_SECONDS / SAMPLE_SECONDS + 2


def test_a_stall_shows() -> None:
    window = Window(now=0)
    window.add(300, now=30)
    assert window.rate(60) == 5.0


def test_no_time_is_no_rate() -> None:
    window = Window(now=0)
    window.add(5, now=0)
    assert window.rate(0) == 0.0
