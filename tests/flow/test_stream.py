"""The buffered stream: order, bounds, errors, leaving."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import ProofError, RestoreError, UsageError
from restore.flow.stream import OrderedStream
from tests.conftest import open_descriptors
from tests.flow.steps import Gates, no_task_left, settle


async def echo(item: int) -> int:
    return item


async def test_results_come_in_item_order_whatever_order_work_ends_in() -> None:
    gates = Gates()
    async with no_task_left(), OrderedStream(range(4), gates.work, concurrency=4) as results:
        await settle()
        for item in (3, 1, 2, 0):
            gates.open(item)
            await settle()
        assert [result async for result in results] == [f"result {item}" for item in range(4)]


async def test_no_items_give_no_results() -> None:
    async with no_task_left(), OrderedStream((), echo, concurrency=2) as results:
        assert [result async for result in results] == []


async def test_more_items_than_may_be_held_all_arrive() -> None:
    async with no_task_left(), OrderedStream(range(100), echo, concurrency=3) as results:
        assert [result async for result in results] == list(range(100))
    assert results.statistics().peak_running <= 3
    assert results.statistics().peak_held <= 6


async def test_items_are_pulled_only_when_there_is_room_to_start_them() -> None:
    gates = Gates()
    pulled: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            pulled.append(item)
            yield item

    async with no_task_left(), OrderedStream(items(), gates.work, concurrency=2) as results:
        assert pulled == []
        await settle()
        assert pulled == gates.begun == [0, 1]  # two run
        gates.open(1)
        await settle()
        assert pulled == [0, 1, 2]  # the finished one waits for the first
        gates.open(2)
        await settle()
        assert pulled == [0, 1, 2, 3]  # four held, two of them finished
        gates.open(3)
        await settle()
        assert pulled == [0, 1, 2, 3]  # only one runs, but four are held
        gates.open(0)
        await settle()
        assert pulled == [0, 1, 2, 3]  # all are finished; the consumer has taken none
        assert await anext(results) == "result 0"
        await settle()
        assert pulled == [0, 1, 2, 3, 4]
        statistics = results.statistics()
        assert (statistics.started, statistics.delivered, statistics.running, statistics.held) == (5, 1, 1, 4)
        assert (statistics.peak_running, statistics.peak_held) == (2, 4)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 12),
    concurrency=st.integers(1, 4),
    choices=st.lists(st.integers(0, 5), max_size=60),
)
async def test_bounds_hold_in_any_order_of_ends_and_takes(
    count: int, concurrency: int, choices: list[int]
) -> None:
    gates = Gates()
    opened: set[int] = set()
    taken: list[str] = []

    async with no_task_left(), OrderedStream(range(count), gates.work, concurrency=concurrency) as results:

        async def consume() -> None:
            taken.extend([result async for result in results])

        async def open_one(choice: int) -> None:
            waiting = [item for item in gates.begun if item not in opened]
            if waiting:
                opened.add(item := waiting[choice % len(waiting)])
                gates.open(item)
            await settle()

        for choice in choices:
            if choice == 0 and opened and min(opened) == len(taken) == 0:
                taken.append(await anext(results))
            else:
                await open_one(choice)
            assert gates.live == results.statistics().running <= concurrency
            assert results.statistics().held <= 2 * concurrency
        while len(taken) < count:
            if len(taken) in opened:
                taken.append(await anext(results))
            else:
                await open_one(0)
        await consume()
    assert taken == [f"result {item}" for item in range(count)]


async def test_first_error_cancels_the_others_and_waits_for_each() -> None:
    gates = Gates()
    unwound: list[int] = []
    last_word = asyncio.Event()

    async def work(item: int) -> str:
        try:
            return await gates.work(item)
        finally:
            if item == 2:
                await last_word.wait()
            unwound.append(item)

    async def consume() -> None:
        async with OrderedStream(range(10), work, concurrency=4) as results:
            async for _ in results:
                pass

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await settle()
        error = ProofError("range proof does not hold")
        gates.fail(1, error)
        await settle()
        assert sorted(unwound) == [0, 1, 3]  # a group cancels in no order
        assert not consumer.done()  # item 2 still unwinds
        last_word.set()
        with pytest.raises(ProofError) as caught:
            await consumer
        assert caught.value is error
        assert unwound[-1] == 2
        assert gates.begun == [0, 1, 2, 3]


async def test_consumer_busy_in_its_own_await_sees_the_error() -> None:
    gates = Gates()
    gates.open(0)
    busy = asyncio.Event()

    async def consume() -> None:
        async with OrderedStream(range(4), gates.work, concurrency=2) as results:
            async for _ in results:
                busy.set()
                await asyncio.Event().wait()  # nothing but a cancellation ends this

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await busy.wait()
        gates.fail(2, ProofError("leaf hash differs"))
        with pytest.raises(ProofError, match="leaf hash differs"):
            await consumer
        assert not consumer.cancelled()


async def test_error_keeps_its_cause_and_context() -> None:
    cause, context = KeyError("cause"), KeyError("context")

    async def work(item: int) -> int:
        try:
            raise context
        except KeyError:
            raise ProofError("no such leaf") from cause

    async with no_task_left():
        with pytest.raises(ProofError) as caught:
            async with OrderedStream(range(3), work, concurrency=1) as results:
                await anext(results)
        assert caught.value.__cause__ is cause
        assert caught.value.__context__ is context


async def test_several_errors_stay_a_group() -> None:
    async def work(item: int) -> int:
        if item == 1:
            raise ProofError("first")
        try:
            await asyncio.Event().wait()
        finally:
            if item == 0:
                raise OSError("second")
        return item

    async with no_task_left():
        with pytest.raises(ExceptionGroup) as caught:
            async with OrderedStream(range(3), work, concurrency=3) as results:
                await anext(results)
        assert [str(error) for error in caught.value.exceptions] == ["first", "second"]


async def test_group_of_one_raised_by_work_is_unwrapped_too() -> None:
    async def fail() -> None:
        raise ProofError("deep")

    async def work(item: int) -> int:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
        return item

    async with no_task_left():
        with pytest.raises(ProofError, match="deep"):
            async with OrderedStream(range(3), work, concurrency=1) as results:
                await anext(results)


async def test_error_before_work_returns_its_awaitable_counts_as_an_error_of_work() -> None:
    def work(item: int) -> asyncio.Future[int]:
        raise ProofError("not even begun")

    async with no_task_left():
        with pytest.raises(ProofError, match="not even begun"):
            async with OrderedStream(range(3), work, concurrency=1) as results:
                await anext(results)


async def test_error_of_the_items_cancels_what_runs() -> None:
    gates = Gates()

    def items() -> Iterator[int]:
        yield 0
        raise ProofError("manifest ends early")

    async with no_task_left():
        with pytest.raises(ProofError, match="manifest ends early"):
            async with OrderedStream(items(), gates.work, concurrency=3) as results:
                await anext(results)
        assert gates.live == 0


async def test_error_of_the_body_cancels_what_runs_and_is_raised_as_it_was() -> None:
    gates = Gates()
    error = OSError("disk full")

    async def consume() -> None:
        async with OrderedStream(range(5), gates.work, concurrency=3):
            await settle()
            raise error

    async with no_task_left():
        with pytest.raises(OSError) as caught:
            await consume()
        assert caught.value is error
        assert error.__context__ is None
        assert sorted(gates.cancelled) == [0, 1, 2]
        assert gates.live == 0


async def test_error_of_the_body_and_error_of_clean_up_are_both_raised() -> None:
    async def work(item: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            raise ProofError("clean-up")
        return item

    async def consume() -> None:
        async with OrderedStream(range(1), work, concurrency=1):
            await settle()
            raise OSError("body")

    async with no_task_left():
        with pytest.raises(ExceptionGroup) as caught:
            await consume()
        assert sorted(str(error) for error in caught.value.exceptions) == ["body", "clean-up"]


async def test_leaving_early_cancels_what_runs_and_waits_for_it() -> None:
    gates = Gates()
    for item in (0, 2):
        gates.open(item)
    discarded: list[str] = []
    async with no_task_left():
        stream = OrderedStream(range(50), gates.work, concurrency=4, discard=discarded.append)
        async with stream as results:
            async for result in results:
                assert result == "result 0"
                await settle()
                break
        assert gates.live == 0
        assert gates.begun == [0, 1, 2, 3, 4, 5]
        assert sorted(gates.cancelled) == [1, 3, 4, 5]
        assert discarded == ["result 2"]


async def test_leaving_without_taking_anything_is_fine() -> None:
    gates = Gates()
    async with no_task_left():
        async with OrderedStream(range(50), gates.work, concurrency=4):
            pass
        assert gates.begun == []  # not even the feeder had its first step
        async with OrderedStream(range(50), gates.work, concurrency=4):
            await settle()
        assert gates.live == 0


async def test_every_result_is_either_delivered_or_discarded_when_one_fails() -> None:
    gates = Gates()
    delivered: list[str] = []
    discarded: list[str] = []
    for item in (0, 1, 3):
        gates.open(item)
    gates.fail(4, ProofError("bad chunk"))

    async def consume() -> None:
        async with OrderedStream(range(9), gates.work, concurrency=3, discard=discarded.append) as results:
            while True:
                delivered.append(await anext(results))

    async with no_task_left():
        with pytest.raises(ProofError):
            await consume()
        assert delivered == ["result 0", "result 1"]
        assert discarded == ["result 3"]


async def test_error_in_one_of_many_chunks_leaves_no_task_and_no_file(tmp_path: Path) -> None:
    for item in range(200):
        (tmp_path / str(item)).write_bytes(b"chunk")
    gates = Gates()
    for item in range(40):
        gates.open(item)
    live_at_error: list[int] = []

    async def work(item: int) -> int:
        with (tmp_path / str(item)).open("rb"):
            await gates.work(item)
        return item

    before = open_descriptors()
    taken: list[int] = []
    stream = OrderedStream(range(200), work, concurrency=16)

    async def consume() -> None:
        async with stream as results:
            async for item in results:
                taken.append(item)
                if item == 39:
                    await settle()
                    live_at_error.append(gates.live)
                    assert open_descriptors() == before + 16
                    gates.fail(47, ProofError("chunk 47"))

    async with no_task_left():
        with pytest.raises(ProofError, match="chunk 47"):
            await consume()
        assert taken == list(range(40))
        assert live_at_error == [16]
        assert gates.live == 0
        assert len(gates.cancelled) == 15
        assert open_descriptors() == before
        assert stream.statistics().peak_running == 16
        assert stream.statistics().peak_held <= 32


async def test_streams_nest() -> None:
    async def inner(item: int) -> list[int]:
        async with OrderedStream(range(item), echo, concurrency=2) as results:
            return [result async for result in results]

    async with no_task_left(), OrderedStream(range(5), inner, concurrency=2) as results:
        assert [result async for result in results] == [list(range(item)) for item in range(5)]


async def test_concurrency_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="concurrency must be at least 1: found 0"):
        OrderedStream(range(3), echo, concurrency=0)


async def test_iterating_a_stream_that_was_left_early_is_refused() -> None:
    async with OrderedStream(range(3), echo, concurrency=1) as results:
        pass
    with pytest.raises(RestoreError, match="goes on after"):
        await anext(results)
