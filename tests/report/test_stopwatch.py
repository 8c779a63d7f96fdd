"""The time of stages: what each lap is, and what is not counted twice."""

from __future__ import annotations

import time

import pytest

from restore.report.events import Event, Worked
from restore.report.stopwatch import Stopwatch, timed
from tests.report.clock import FakeClock


@pytest.fixture
def told() -> list[Event]:
    return []


def test_each_lap_ends_one_stage_and_begins_the_next(told: list[Event]) -> None:
    clock = FakeClock()
    watch = Stopwatch(told.append, "a", clock=clock)
    clock.now += 2
    watch.lap("fetch", items=3, size=40)
    clock.now += 0.5
    watch.lap("turn")
    assert told == [Worked("a", "fetch", 2.0, 3, 40), Worked("a", "turn", 0.5, 0, 0)]


def test_waiting_for_a_thread_is_in_no_stage(told: list[Event]) -> None:
    clock = FakeClock()
    watch = Stopwatch(told.append, "a", clock=clock)
    clock.now += 5
    watch.lap("decode", items=3, size=40, seconds=1.5)
    clock.now += 1
    watch.lap("turn")
    assert told == [Worked("a", "decode", 1.5, 3, 40), Worked("a", "turn", 1.0)]


def test_what_is_set_aside_is_not_in_the_lap(told: list[Event]) -> None:
    clock = FakeClock()
    watch = Stopwatch(told.append, "a", clock=clock)
    clock.now += 5
    watch.set_aside("budget", 3.0)
    watch.set_aside("unpack", 0.5, items=3, size=20)
    watch.lap("fetch", items=3, size=40)
    clock.now += 1
    watch.lap("turn")
    assert told == [
        Worked("a", "budget", 3.0),
        Worked("a", "unpack", 0.5, 3, 20),
        Worked("a", "fetch", 1.5, 3, 40),
        Worked("a", "turn", 1.0),
    ]


def later_than(moment: float) -> float:
    """A moment after `moment`, as soon as there is one."""
    while (now := time.monotonic()) <= moment:
        pass
    return now


def test_a_timed_call_has_its_result_and_its_own_seconds() -> None:
    began = time.monotonic()
    now, seconds = timed(later_than, began)
    assert now > began
    assert 0 <= seconds <= time.monotonic() - began


def test_a_timed_call_raises_what_the_function_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        timed(divmod, 1, 0)
