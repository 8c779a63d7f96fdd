"""The number of chunks at once: what each decision rests on, and where it ends on links that are known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import UsageError
from restore.flow.slots import (
    GAIN,
    RECEIPTS_PER_CHUNK,
    REST_WINDOWS,
    THROTTLED_REST_WINDOWS,
    WINDOW_SECONDS,
    Slots,
)
from restore.report.events import ConcurrencyChanged, Event, Notice, Received, Throttled
from tests.flow.links import MB, Clock, Model

MORE = "more at once may bring more"
NO_MORE = "more at once brought no more"
BACKLOG = "chunks wait to be applied"
THROTTLING = "the storage throttles"


class Windows:
    """Slots, and windows that the test fills."""

    def __init__(self, floor: int = 4, *, ceiling: int = 64) -> None:
        self.clock = Clock()
        self.events: list[Event] = []
        self.slots = Slots(floor, ceiling=ceiling, report=self.events.append, clock=self.clock)

    def pass_one(self, goodput: float = 0.0, *, backlog: bool = False, running: int = 0) -> None:
        """Passes one window, at so many bytes per second."""
        receipts = RECEIPTS_PER_CHUNK * self.slots.downloads
        for _ in range(receipts):
            self.slots.report(Received(round(goodput * WINDOW_SECONDS / receipts)))
        self.clock.now += WINDOW_SECONDS
        self.slots.chunk_ended(running=running, backlog=backlog)

    def measure(self, goodput: float, *, backlog: bool = False) -> None:
        """Passes a window that settles, and one that counts."""
        self.pass_one()
        self.pass_one(goodput, backlog=backlog)

    def throttle(self) -> None:
        """The storage throttles, and a chunk ends."""
        self.slots.report(Throttled(1.0))
        self.slots.chunk_ended(running=0, backlog=False)

    def changes(self) -> list[tuple[int, str]]:
        """The changes that were reported since this was asked last."""
        changes = [
            (event.downloads, event.reason) for event in self.events if isinstance(event, ConcurrencyChanged)
        ]
        self.events.clear()
        return changes


def test_a_fixed_number_stays_whatever_happens() -> None:
    windows = Windows(3, ceiling=3)
    for goodput in (1e6, 1e9):
        windows.measure(goodput)
        windows.measure(goodput, backlog=True)
    windows.throttle()
    assert windows.slots.downloads == 3
    assert windows.changes() == []
    assert Slots(3).downloads == 3


def test_numbers_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="concurrency must be at least 1: found 0"):
        Slots(0)
    with pytest.raises(UsageError, match="ceiling of the concurrency is below its floor"):
        Slots(3, ceiling=2)


def test_events_are_passed_on_unchanged() -> None:
    windows = Windows()
    events: list[Event] = [Received(3), Throttled(2.0), Notice("text")]
    for event in events:
        windows.slots.report(event)
    assert windows.events == events


def test_steps_up_go_on_while_each_brings_clearly_more() -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.measure(150e6)
    windows.measure(225e6)
    assert windows.changes() == [(6, MORE), (9, MORE), (14, MORE)]


@pytest.mark.parametrize(("gain", "expected"), [(GAIN + 0.01, (9, MORE)), (GAIN - 0.01, (4, NO_MORE))])
def test_a_step_that_brings_little_is_taken_back(gain: float, expected: tuple[int, str]) -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.measure(gain * 100e6)
    assert windows.changes() == [(6, MORE), expected]


def test_bytes_of_the_window_that_settles_do_not_count() -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.pass_one(900e6)
    assert windows.changes() == [(6, MORE)]
    windows.pass_one(100e6)
    assert windows.changes() == [(4, NO_MORE)]


def test_after_a_step_in_vain_the_next_waits_and_has_to_beat_the_best_until_then() -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.measure(100e6)
    windows.changes()
    windows.pass_one()  # settles
    for rest in range(REST_WINDOWS):
        windows.pass_one(200e6 if rest == 3 else 100e6)
    assert windows.changes() == []
    windows.pass_one(100e6)
    assert windows.changes() == [(6, MORE)]
    windows.measure(150e6)
    assert windows.changes() == [(4, NO_MORE)]


def test_a_window_needs_both_its_time_and_the_bytes_of_all_that_was_under_way() -> None:
    windows = Windows(4)
    windows.pass_one()
    for _ in range(RECEIPTS_PER_CHUNK * 4):
        windows.slots.report(Received(1000))
    windows.slots.chunk_ended(running=0, backlog=False)
    assert windows.changes() == []  # too soon
    windows.slots.begin()
    windows.pass_one()
    windows.clock.now += WINDOW_SECONDS
    for _ in range(RECEIPTS_PER_CHUNK * 4 - 1):
        windows.slots.report(Received(1000))
    windows.slots.chunk_ended(running=0, backlog=False)
    assert windows.changes() == []  # too few
    windows.slots.report(Received(1000))
    windows.slots.chunk_ended(running=0, backlog=False)
    assert windows.changes() == [(6, MORE)]


def test_a_storage_that_tells_of_no_bytes_teaches_nothing() -> None:
    windows = Windows(4)
    for _ in range(100):
        windows.clock.now += WINDOW_SECONDS
        windows.slots.chunk_ended(running=3, backlog=True)
    assert windows.changes() == []


def test_throttling_lowers_the_number_with_the_next_chunk_and_for_long() -> None:
    windows = Windows(4)
    for goodput in (100e6, 150e6, 225e6):
        windows.measure(goodput)
    windows.pass_one()
    windows.changes()
    windows.slots.report(Throttled(1.0))
    assert windows.slots.downloads == 14  # what runs, runs
    windows.slots.chunk_ended(running=13, backlog=False)
    assert windows.changes() == [(9, THROTTLING)]
    windows.pass_one()  # settles
    for _ in range(THROTTLED_REST_WINDOWS):
        windows.pass_one(100e6)
    assert windows.changes() == []
    windows.pass_one(100e6)
    assert windows.changes() == [(14, MORE)]


def test_throttling_of_what_began_before_the_step_down_is_forgiven_until_that_has_ended() -> None:
    windows = Windows(4)
    for goodput in (100e6, 150e6, 225e6):
        windows.measure(goodput)
    windows.throttle()
    windows.changes()
    windows.throttle()
    windows.pass_one(running=10)  # more than 9: the rest of before
    windows.throttle()
    assert windows.changes() == []
    windows.pass_one(running=8)
    windows.throttle()
    assert windows.changes() == [(6, THROTTLING)]


def test_throttling_while_a_step_up_settles_takes_it_back() -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.throttle()
    assert windows.changes() == [(6, MORE), (4, THROTTLING)]


def test_a_backlog_for_a_whole_rest_lowers_the_number_by_a_step() -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.measure(150e6)
    windows.changes()
    windows.pass_one()  # settles
    for _ in range(REST_WINDOWS - 1):
        windows.pass_one(300e6, backlog=True)
    assert windows.changes() == []
    windows.pass_one(300e6, backlog=True)
    assert windows.changes() == [(6, BACKLOG)]


def test_one_window_without_a_backlog_is_judged_and_starts_the_count_anew() -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.pass_one()  # settles
    for _ in range(REST_WINDOWS - 1):
        windows.pass_one(100e6, backlog=True)
    windows.pass_one(150e6)
    assert windows.changes() == [(6, MORE), (9, MORE)]
    windows.pass_one()
    for _ in range(REST_WINDOWS - 1):
        windows.pass_one(150e6, backlog=True)
    assert windows.changes() == []


def test_a_new_stream_judges_nothing_by_what_the_one_before_brought() -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.slots.begin()
    windows.clock.now += 3600
    windows.measure(1e6)
    windows.measure(2e6)
    assert windows.changes() == [(6, MORE), (9, MORE), (14, MORE)]


def test_a_backlog_of_the_stream_before_does_not_count() -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.changes()
    for _ in range(2):
        windows.slots.begin()
        windows.pass_one()  # settles
        for _ in range(REST_WINDOWS - 1):
            windows.pass_one(100e6, backlog=True)
    assert windows.changes() == []


def test_a_backlog_is_one_only_if_most_chunks_saw_it() -> None:
    windows = Windows(4)
    windows.pass_one()
    for backlog in (True, False):
        windows.slots.chunk_ended(running=0, backlog=backlog)
    windows.pass_one(100e6)
    assert windows.changes() == [(6, MORE)]


def test_a_backlog_does_not_shorten_the_rest_that_throttling_asks_for() -> None:
    windows = Windows(4)
    for goodput in (100e6, 150e6, 225e6):
        windows.measure(goodput)
    windows.throttle()
    windows.pass_one()  # settles
    for _ in range(REST_WINDOWS):
        windows.pass_one(100e6, backlog=True)
    windows.pass_one()  # settles
    windows.changes()
    for _ in range(THROTTLED_REST_WINDOWS):
        windows.pass_one(100e6)
    assert windows.changes() == []


events_of_a_run = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 1e9), st.booleans()),
        st.tuples(st.just("throttle"), st.just(0.0), st.just(False)),
        st.tuples(st.just("begin"), st.just(0.0), st.just(False)),
    ),
    max_size=200,
)


@settings(max_examples=100, deadline=None)
@given(floor=st.integers(1, 10), room=st.integers(0, 60), run=events_of_a_run)
def test_floor_and_ceiling_hold_whatever_comes_and_every_change_is_told(
    floor: int, room: int, run: list[tuple[str, float, bool]]
) -> None:
    windows = Windows(floor, ceiling=floor + room)
    told = floor
    for what, goodput, backlog in run:
        if what == "pass":
            windows.pass_one(goodput, backlog=backlog)
        elif what == "throttle":
            windows.throttle()
        else:
            windows.slots.begin()
        for number, _ in windows.changes():
            assert number != told
            told = number
        assert told == windows.slots.downloads
        assert floor <= told <= floor + room


@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_it_settles_a_little_above_what_fills_the_link(noise: float) -> None:
    model = Model(lambda chunks: min(10 * chunks, 200) * MB, noise=noise)  # full with 20
    slots = model.slots(2, 64)
    model.run(slots, seconds=600)
    assert model.run(slots, seconds=1200) > (1 - noise / 2) * 0.97 * 200 * MB
    assert set(model.numbers_after(600)) <= {18, 27, 41}


def test_it_stays_near_the_number_above_which_a_link_gets_worse() -> None:
    model = Model(lambda chunks: min(10 * chunks, 4000 / chunks) * MB)  # best with 20
    slots = model.slots(2, 64)
    model.run(slots, seconds=600)
    assert model.run(slots, seconds=1200) > 0.8 * 200 * MB
    assert set(model.numbers_after(600)) <= {12, 18, 27}


def test_a_link_that_one_chunk_fills_keeps_the_floor_but_for_single_steps() -> None:
    model = Model(lambda chunks: 1000 * MB)
    slots = model.slots(2, 64)
    assert model.run(slots, seconds=300) > 0.99 * 1000 * MB
    assert set(model.numbers_after(0)) == {2, 3}


def test_a_fast_link_is_used_up_to_the_ceiling_and_does_not_collapse() -> None:
    """Each chunk gets slower with each step, while all together get faster."""
    model = Model(lambda chunks: 100 * chunks**0.5 * MB)
    slots = model.slots(4, 64)
    model.run(slots, seconds=300)
    model.run(slots, seconds=120)
    assert min(model.numbers_after(300)) >= 48


def test_a_link_that_gets_slower_is_no_cause_for_fewer_chunks() -> None:
    speed = 10.0
    model = Model(lambda chunks: speed * chunks * MB)
    slots = model.slots(4, 64)
    model.run(slots, seconds=300)
    reached = slots.downloads
    speed = 0.5
    slow = model.run(slots, seconds=1200)
    assert min(model.numbers_after(300)) >= reached / 1.5
    assert slow > 0.6 * 0.5 * reached * MB


def test_it_stays_below_what_makes_a_storage_throttle_but_for_rare_tries() -> None:
    model = Model(lambda chunks: 10 * chunks * MB, throttles_above=20)
    slots = model.slots(2, 64)
    model.run(slots, seconds=300)
    goodput = model.run(slots, seconds=3600)
    assert goodput > 0.6 * 200 * MB
    assert set(model.numbers_after(300)) == {18, 27}
    tries = [change for change in model.changes() if change.reason == THROTTLING]
    assert 5 <= len(tries) <= 3900 / (THROTTLED_REST_WINDOWS * WINDOW_SECONDS) + 1


def test_it_grows_again_when_a_storage_has_stopped_throttling() -> None:
    model = Model(lambda chunks: 10 * chunks * MB)
    slots = model.slots(4, 64)
    model.run(slots, seconds=300)
    reached = slots.downloads
    model.throttles_above = 10
    model.run(slots, seconds=300)
    assert slots.downloads < reached / 2
    model.throttles_above = 1000
    model.run(slots, seconds=900)
    assert slots.downloads >= reached / 1.5


def test_a_storage_that_throttles_everything_keeps_the_floor() -> None:
    model = Model(lambda chunks: 10 * chunks * MB, throttles_above=1)
    slots = model.slots(4, 64)
    model.run(slots, seconds=600)
    assert set(model.numbers_after(0)) == {4}


def test_a_slow_stage_behind_the_link_holds_the_number_without_waiting_for_it() -> None:
    """It applies what 13 chunks bring; more would only lie in memory."""
    model = Model(lambda chunks: 10 * chunks * MB, apply_seconds=0.5)
    slots = model.slots(2, 64)
    model.run(slots, seconds=600)
    goodput = model.run(slots, seconds=1800)
    assert goodput > 0.95 * 4 * 16.8 / 0.5 * MB
    assert max(model.numbers_after(600)) <= 41
    assert min(model.numbers_after(600)) >= 12


def test_a_stage_that_gets_slow_brings_the_number_down_to_the_floor() -> None:
    model = Model(lambda chunks: 10 * chunks * MB)
    slots = model.slots(2, 64)
    model.run(slots, seconds=300)
    assert slots.downloads > 40
    model.apply_seconds = 5.0
    model.run(slots, seconds=3 * 3600)
    assert max(model.numbers_after(3 * 3600)) <= 3
    assert BACKLOG in {change.reason for change in model.changes()}
