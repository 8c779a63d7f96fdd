"""The buffered stream while the number of tasks that may run at once changes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from restore.flow.slots import QUICK, RECEIPTS_PER_CHUNK, Slots
from restore.flow.stream import OrderedStream
from restore.report.events import Received
from tests.flow.links import Clock
from tests.flow.steps import Gates, no_task_left, settle


class Told(Slots):
    """Slots whose number the test says, and which keep what they are told."""

    def __init__(self, downloads: int) -> None:
        super().__init__(downloads)
        self.ends: list[tuple[int, bool]] = []

    def chunk_ended(self, *, running: int, backlog: bool) -> None:
        self.ends.append((running, backlog))


async def test_more_begin_as_soon_as_the_number_grows() -> None:
    clock, gates = Clock(), Gates()
    slots = Slots(2, ceiling=3, clock=clock)

    def pass_window() -> None:
        clock.now += QUICK.window_seconds
        for _ in range(RECEIPTS_PER_CHUNK * slots.downloads):
            slots.report(Received(1000))

    async with no_task_left(), OrderedStream(range(9), gates.work, concurrency=slots) as results:
        await settle()
        pass_window()
        gates.open(0)
        await settle()
        assert await anext(results) == "result 0"
        assert gates.begun == [0, 1, 2]  # that window settled
        pass_window()
        gates.open(1)
        await settle()
        assert slots.downloads == 3
        assert gates.begun == [0, 1, 2, 3, 4]
        assert gates.live == 3


async def test_fewer_begin_nothing_until_fewer_run_and_cancel_nothing() -> None:
    slots, gates = Told(4), Gates()
    async with no_task_left(), OrderedStream(range(9), gates.work, concurrency=slots) as results:
        await settle()
        slots.downloads = 2
        for item in (0, 1):
            gates.open(item)
            assert await anext(results) == f"result {item}"
        await settle()
        assert gates.begun == [0, 1, 2, 3]  # two run, as many as may
        gates.open(2)
        assert await anext(results) == "result 2"
        await settle()
        assert gates.begun == [0, 1, 2, 3, 4]
        assert gates.cancelled == []
    assert sorted(gates.cancelled) == [3, 4]  # by leaving


async def test_fewer_also_means_that_fewer_are_held() -> None:
    slots, gates = Told(3), Gates()
    async with no_task_left(), OrderedStream(range(20), gates.work, concurrency=slots) as results:
        await settle()
        for item in (1, 2, 3):
            gates.open(item)
            await settle()
        assert results.statistics().held == 6
        slots.downloads = 1
        gates.open(0)
        gates.open(4)
        gates.open(5)
        for item in range(4):
            assert await anext(results) == f"result {item}"
            await settle()
            assert len(gates.begun) == 6
        assert await anext(results) == "result 4"
        await settle()
        assert len(gates.begun) == 7


async def test_a_backlog_is_told_when_nothing_may_begin_and_only_the_consumer_is_awaited() -> None:
    slots, gates = Told(2), Gates()
    async with no_task_left(), OrderedStream(range(9), gates.work, concurrency=slots) as results:
        await settle()
        for item in (1, 2, 3):
            gates.open(item)
            await settle()
        assert slots.ends == [(1, False), (1, False), (1, False)]  # the first one is awaited
        gates.open(0)
        await settle()
        assert slots.ends[3:] == [(0, False)]  # and it has only just ended
        assert await anext(results) == "result 0"
        await settle()
        gates.open(4)
        await settle()
        assert slots.ends[4:] == [(0, True)]
        for item in (1, 2, 3):
            assert await anext(results) == f"result {item}"
        await settle()
        gates.open(5)
        await settle()
        assert slots.ends[5:] == [(1, False)]  # there was room, and another runs


async def test_the_next_stream_keeps_the_number_and_measures_anew() -> None:
    clock = Clock()
    slots = Slots(1, ceiling=2, clock=clock)

    async def work(item: int) -> int:
        clock.now += QUICK.window_seconds
        for _ in range(RECEIPTS_PER_CHUNK * slots.downloads):
            slots.report(Received(1000))
        return item

    for chunks, expected in ((1, 1), (1, 1), (2, 2), (1, 2)):  # the first window of each stream settles
        async with OrderedStream(range(chunks), work, concurrency=slots) as results:
            assert [item async for item in results] == list(range(chunks))
        assert slots.downloads == expected


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 12),
    numbers=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    choices=st.lists(st.integers(0, 5), max_size=60),
)
async def test_order_and_bounds_hold_while_the_number_changes(
    count: int, numbers: list[int], choices: list[int]
) -> None:
    """What has begun stays; but nothing begins above the number of that moment."""
    slots, gates = Told(numbers[0]), Gates()
    opened: set[int] = set()
    taken: list[str] = []
    async with no_task_left(), OrderedStream(range(count), gates.work, concurrency=slots) as results:
        await settle()
        for place in range(count * 3):
            before, begun = results.statistics(), len(gates.begun)
            slots.downloads = numbers[place % len(numbers)]
            waiting = [item for item in gates.begun if item not in opened]
            if len(taken) in opened:
                taken.append(await anext(results))
            elif waiting:
                item = waiting[choices[place % len(choices)] % len(waiting)] if choices else waiting[0]
                opened.add(item)
                gates.open(item)
            await settle()
            after = results.statistics()
            assert after.running <= max(before.running, slots.downloads)
            assert after.held <= max(before.held, 2 * slots.downloads)
            if len(gates.begun) > begun:
                assert after.running <= slots.downloads
                assert after.held <= 2 * slots.downloads
        while len(taken) < count:
            if len(taken) not in opened:
                opened.add(len(taken))
                gates.open(len(taken))
            taken.append(await anext(results))
    assert taken == [f"result {item}" for item in range(count)]
