"""The number of chunks at once: what each decision rests on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import UsageError
from restore.flow.slots import (
    CAREFUL,
    QUICK,
    QUICK_TRIES,
    RECEIPTS_PER_CHUNK,
    REST_WINDOWS,
    THROTTLED_REST_WINDOWS,
    Slots,
)
from restore.report.events import ConcurrencyChanged, Event, Notice, Received, Throttled
from tests.flow.links import Clock

MORE = "more at once may bring more"
NO_MORE = "more at once brought no more"
BACKLOG = "chunks wait to be applied"
THROTTLING = "the storage throttles"


class Windows:
    """Slots that begin, and windows that the test fills.

    Attributes:
        pace: how long the windows are.
    """

    def __init__(self, floor: int = 4, *, ceiling: int = 64) -> None:
        self.pace = QUICK
        self.clock = Clock()
        self.events: list[Event] = []
        self.slots = Slots(floor, ceiling=ceiling, report=self.events.append, clock=self.clock)

    def pass_one(self, goodput: float = 0.0, *, backlog: bool = False, running: int = 0) -> None:
        """Passes one window, at so many bytes per second."""
        receipts = RECEIPTS_PER_CHUNK * self.slots.downloads
        self.receive(receipts, round(goodput * self.pace.window_seconds / receipts))
        self.clock.now += self.pace.window_seconds
        self.slots.chunk_ended(running=running, backlog=backlog)

    def measure(self, goodput: float, *, backlog: bool = False) -> None:
        """Passes a window that settles, and one that counts."""
        self.settle()
        self.pass_one(goodput, backlog=backlog)

    @property
    def lowered(self) -> bool:
        """The last change was a step down."""
        changes = [event for event in self.events if isinstance(event, ConcurrencyChanged)]
        return bool(changes) and changes[-1].reason != MORE

    def settle(self) -> None:
        """Passes the window that settles."""
        if self.pace is CAREFUL or self.lowered:
            self.pass_one()
        else:
            self.receive(self.slots.downloads)

    def receive(self, receipts: int, size: int = 0) -> None:
        """Tells of so many transfers of `size` bytes."""
        for _ in range(receipts):
            self.slots.report(Received(size))

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


def careful(floor: int = 4) -> Windows:
    """Slots at their floor, whose first steps were in vain long ago."""
    windows = Windows(floor)
    for _ in range(2 * QUICK_TRIES):
        windows.measure(1e6)
    windows.pace = CAREFUL
    for _ in range(1 + REST_WINDOWS):
        windows.pass_one(1e6)
    windows.slots.begin()
    assert windows.changes() == QUICK_TRIES * [(2 * floor, MORE), (floor, NO_MORE)]
    return windows


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


def test_each_first_step_doubles_the_number_until_a_second_is_in_vain() -> None:
    windows = Windows(2)
    for goodput in (900e6, 200e6, 100e6, 180e6, 300e6, 300e6):
        windows.measure(goodput)
    assert windows.changes() == [
        (4, MORE),
        (2, NO_MORE),  # since what came before was large
        (4, MORE),
        (8, MORE),
        (16, MORE),
        (8, NO_MORE),
    ]
    windows.pace = CAREFUL
    for _ in range(1 + REST_WINDOWS):
        windows.pass_one(300e6)
    assert windows.changes() == []
    windows.pass_one(300e6)
    assert windows.changes() == [(12, MORE)]


def test_a_step_that_doubles_ends_at_the_ceiling() -> None:
    windows = Windows(3, ceiling=5)
    windows.measure(100e6)
    windows.measure(200e6)
    assert windows.changes() == [(5, MORE)]


def test_a_first_step_settles_as_long_as_one_transfer_of_each_chunk() -> None:
    windows = Windows(4)
    windows.receive(3, 9000)
    windows.clock.now += 3600
    windows.receive(1, 9000)  # the last to settle
    windows.pass_one(100e6)
    windows.receive(8, 9000)
    windows.pass_one(100e6)
    assert windows.changes() == [(8, MORE), (4, NO_MORE)]


def test_a_first_step_counts_for_a_short_time() -> None:
    windows = Windows(4)
    windows.settle()
    windows.receive(RECEIPTS_PER_CHUNK * 4, 1000)
    windows.clock.now += 0.75 * QUICK.window_seconds
    windows.slots.chunk_ended(running=0, backlog=False)
    assert windows.changes() == []
    windows.clock.now += 0.25 * QUICK.window_seconds
    windows.slots.chunk_ended(running=0, backlog=False)
    assert windows.changes() == [(8, MORE)]


def test_a_first_step_needs_the_bytes_of_all_that_was_under_way_however_long_that_takes() -> None:
    windows = Windows(4)
    windows.settle()
    windows.receive(RECEIPTS_PER_CHUNK * 4 - 1, 1000)
    windows.clock.now += 3600
    windows.slots.chunk_ended(running=0, backlog=False)
    assert windows.changes() == []
    windows.receive(1, 1000)
    windows.slots.chunk_ended(running=0, backlog=False)
    assert windows.changes() == [(8, MORE)]


@pytest.mark.parametrize(
    ("gain", "expected"), [(QUICK.gain + 0.01, (16, MORE)), (QUICK.gain - 0.01, (4, NO_MORE))]
)
def test_a_first_step_has_to_bring_more_than_noise(gain: float, expected: tuple[int, str]) -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.measure(gain * 100e6)
    assert windows.changes() == [(8, MORE), expected]


def test_a_first_step_that_is_taken_back_settles_until_no_more_run_than_it_allows() -> None:
    windows = Windows(2)
    for _ in range(2):
        windows.measure(100e6)
    windows.pass_one(900e6, running=3)
    windows.pass_one(900e6, running=2)  # settled
    windows.pass_one(100e6)
    windows.measure(180e6)
    assert windows.changes() == [(4, MORE), (2, NO_MORE), (4, MORE), (8, MORE)]


def test_throttling_while_a_first_step_settles_is_not_forgotten() -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.slots.report(Throttled(1.0))
    windows.settle()
    windows.slots.chunk_ended(running=7, backlog=False)
    assert windows.changes() == [(8, MORE), (4, THROTTLING)]


def test_throttling_ends_the_steps_that_double() -> None:
    windows = Windows(4)
    windows.measure(100e6)
    windows.throttle()
    assert windows.changes() == [(8, MORE), (4, THROTTLING)]
    windows.pace = CAREFUL
    for _ in range(2 + THROTTLED_REST_WINDOWS):
        windows.pass_one(100e6)
    assert windows.changes() == [(6, MORE)]


def test_one_window_with_a_backlog_ends_the_steps_that_double() -> None:
    windows = Windows(4)
    windows.measure(100e6, backlog=True)
    windows.pass_one(100e6)  # too short by now
    assert windows.changes() == []
    windows.pace = CAREFUL
    windows.pass_one(100e6)
    assert windows.changes() == [(6, MORE)]


def test_the_next_stream_goes_on_at_the_pace_of_the_one_before() -> None:
    windows = Windows(2)
    windows.measure(100e6)
    windows.slots.begin()
    for _ in range(4):
        windows.measure(100e6)
    assert windows.changes() == [(4, MORE), (8, MORE), (4, NO_MORE), (8, MORE), (4, NO_MORE)]
    windows.slots.begin()
    windows.pace = CAREFUL
    for _ in range(2 + REST_WINDOWS):
        windows.pass_one(100e6)
    assert windows.changes() == [(6, MORE)]


def test_steps_up_go_on_while_each_brings_clearly_more() -> None:
    windows = careful(4)
    windows.measure(100e6)
    windows.measure(150e6)
    windows.measure(225e6)
    assert windows.changes() == [(6, MORE), (9, MORE), (14, MORE)]


@pytest.mark.parametrize(
    ("gain", "expected"), [(CAREFUL.gain + 0.01, (9, MORE)), (CAREFUL.gain - 0.01, (4, NO_MORE))]
)
def test_a_step_that_brings_little_is_taken_back(gain: float, expected: tuple[int, str]) -> None:
    windows = careful(4)
    windows.measure(100e6)
    windows.measure(gain * 100e6)
    assert windows.changes() == [(6, MORE), expected]


def test_bytes_of_the_window_that_settles_do_not_count() -> None:
    windows = careful(4)
    windows.measure(100e6)
    windows.pass_one(900e6)
    assert windows.changes() == [(6, MORE)]
    windows.pass_one(100e6)
    assert windows.changes() == [(4, NO_MORE)]


def test_after_a_step_in_vain_the_next_waits_and_has_to_beat_the_best_until_then() -> None:
    windows = careful(4)
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
    windows = careful(4)
    windows.pass_one()
    windows.receive(RECEIPTS_PER_CHUNK * 4, 1000)
    windows.slots.chunk_ended(running=0, backlog=False)
    assert windows.changes() == []  # too soon
    windows.slots.begin()
    windows.pass_one()
    windows.clock.now += CAREFUL.window_seconds
    windows.receive(RECEIPTS_PER_CHUNK * 4 - 1, 1000)
    windows.slots.chunk_ended(running=0, backlog=False)
    assert windows.changes() == []  # too few
    windows.receive(1, 1000)
    windows.slots.chunk_ended(running=0, backlog=False)
    assert windows.changes() == [(6, MORE)]


def test_a_storage_that_tells_of_no_bytes_teaches_nothing() -> None:
    windows = careful(4)
    for _ in range(100):
        windows.clock.now += CAREFUL.window_seconds
        windows.slots.chunk_ended(running=3, backlog=True)
    assert windows.changes() == []


def test_throttling_lowers_the_number_with_the_next_chunk_and_for_long() -> None:
    windows = careful(4)
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
    windows = careful(4)
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
    windows = careful(4)
    windows.measure(100e6)
    windows.throttle()
    assert windows.changes() == [(6, MORE), (4, THROTTLING)]


def test_a_backlog_for_a_whole_rest_lowers_the_number_by_a_step() -> None:
    windows = careful(4)
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
    windows = careful(4)
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
    windows = careful(4)
    windows.measure(100e6)
    windows.slots.begin()
    windows.clock.now += 3600
    windows.measure(1e6)
    windows.measure(2e6)
    assert windows.changes() == [(6, MORE), (9, MORE), (14, MORE)]


def test_a_backlog_of_the_stream_before_does_not_count() -> None:
    windows = careful(4)
    windows.measure(100e6)
    windows.changes()
    for _ in range(2):
        windows.slots.begin()
        windows.pass_one()  # settles
        for _ in range(REST_WINDOWS - 1):
            windows.pass_one(100e6, backlog=True)
    assert windows.changes() == []


def test_a_backlog_is_one_only_if_most_chunks_saw_it() -> None:
    windows = careful(4)
    windows.pass_one()
    for backlog in (True, False):
        windows.slots.chunk_ended(running=0, backlog=backlog)
    windows.pass_one(100e6)
    assert windows.changes() == [(6, MORE)]


def test_a_backlog_does_not_shorten_the_rest_that_throttling_asks_for() -> None:
    windows = careful(4)
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
