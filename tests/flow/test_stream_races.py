"""The buffered stream, where two things happen within one tick of the loop: both orders each time."""

from __future__ import annotations

import asyncio

import pytest

from restore.errors import ProofError, RestoreError
from restore.flow.stream import OrderedStream
from tests.flow.steps import Gates, no_task_left, settle

BOTH_ORDERS = pytest.mark.parametrize("error_first", [True, False], ids=["error first", "error second"])


async def test_task_cancelled_before_its_first_step_leaks_nothing() -> None:
    gates = Gates()
    discarded: list[str] = []
    async with no_task_left():
        async with OrderedStream(range(9), gates.work, concurrency=3, discard=discarded.append) as results:
            await asyncio.sleep(0)  # the feeder has started three tasks; none of them has run
        assert results.statistics().started == 3
        assert results.statistics().running == results.statistics().held == 0
        assert gates.begun == discarded == []


@BOTH_ORDERS
async def test_failed_front_and_woken_consumer_in_one_tick_give_one_error(error_first: bool) -> None:
    gates = Gates()
    gates.open(0)
    wake = asyncio.get_running_loop().create_future()

    async def consume() -> None:
        async with OrderedStream(range(3), gates.work, concurrency=2) as results:
            await anext(results)
            await wake  # then it asks for item 1, which fails just now
            await anext(results)

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await settle()
        if error_first:
            gates.fail(1, ProofError("bad chunk"))
            wake.set_result(None)
        else:
            wake.set_result(None)
            gates.fail(1, ProofError("bad chunk"))
        with pytest.raises(ProofError, match="bad chunk"):  # not a group that holds it twice
            await consumer


async def test_no_result_is_delivered_after_a_failure_even_if_it_was_ready() -> None:
    gates = Gates()
    delivered: list[str] = []
    discarded: list[str] = []
    wake = asyncio.get_running_loop().create_future()

    async def consume() -> None:
        async with OrderedStream(range(3), gates.work, concurrency=3, discard=discarded.append) as results:
            await wake
            delivered.append(await anext(results))

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await settle()
        gates.open(0)
        await settle()
        gates.fail(1, ProofError("bad chunk"))
        wake.set_result(None)
        with pytest.raises(ProofError):
            await consumer
        assert delivered == []
        assert discarded == ["result 0"]


@BOTH_ORDERS
async def test_leaving_and_failing_in_one_tick_raises_what_work_raised(error_first: bool) -> None:
    gates = Gates()
    leave = asyncio.get_running_loop().create_future()

    async def consume() -> None:
        async with OrderedStream(range(3), gates.work, concurrency=2):
            await leave

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await settle()
        if error_first:
            gates.fail(1, ProofError("bad chunk"))
            leave.set_result(None)
            with pytest.raises(ProofError, match="bad chunk"):
                await consumer
        else:
            leave.set_result(None)
            gates.fail(1, ProofError("bad chunk"))
            await consumer  # work was cancelled before it could see its gate fail
            assert sorted(gates.cancelled) == [0, 1]


async def test_error_of_clean_up_after_leaving_is_raised_and_cancels_nobody_else() -> None:
    async def work(item: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            raise ProofError("clean-up")
        return item

    async with no_task_left():  # which also counts the requests to cancel this task
        with pytest.raises(ProofError, match="clean-up"):
            async with OrderedStream(range(1), work, concurrency=1):
                await settle()
        await settle()


async def test_cancel_request_left_over_from_the_body_is_not_mistaken_for_a_new_one() -> None:
    """A plain TaskGroup leaves one (until Python 3.13) when a task fails after the end of its block."""

    async def body() -> None:
        async with OrderedStream(range(1), Gates().work, concurrency=1):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(0)

    async with no_task_left():
        task = asyncio.create_task(body())
        await task
        assert task.cancelling() == 1


@pytest.mark.parametrize("place", ["front", "body", "exit"])
async def test_cancellation_from_outside_stays_a_cancellation(place: str) -> None:
    gates = Gates()
    gates.open(0)
    discarded: list[str] = []
    unwind = asyncio.Event()

    async def work(item: int) -> str:
        try:
            return await gates.work(item)
        finally:
            if item == 1:
                await unwind.wait()

    async def consume() -> None:
        async with OrderedStream(range(9), work, concurrency=2, discard=discarded.append) as results:
            await anext(results)
            if place == "front":
                await anext(results)
            if place == "body":
                await asyncio.Event().wait()

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await settle()
        consumer.cancel()
        await settle()
        assert not consumer.done()  # item 1 still unwinds
        unwind.set()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        assert consumer.cancelled()
        assert gates.live == 0


@pytest.mark.parametrize("ticks", [1, 2])
async def test_result_that_comes_just_before_the_cancellation_is_discarded(ticks: int) -> None:
    """1: the task has its result, the consumer is not woken yet; 2: it is woken, and has not run."""
    gates = Gates()
    discarded: list[str] = []

    async def consume() -> None:
        async with OrderedStream(range(2), gates.work, concurrency=1, discard=discarded.append) as results:
            await anext(results)

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await settle()
        gates.open(0)
        for _ in range(ticks):
            await asyncio.sleep(0)
        consumer.cancel()
        await settle()
        assert consumer.cancelled()
        assert discarded == ["result 0"]


async def test_cancellation_that_comes_just_before_the_result_leaves_no_result() -> None:
    gates = Gates()
    discarded: list[str] = []

    async def consume() -> None:
        async with OrderedStream(range(2), gates.work, concurrency=1, discard=discarded.append) as results:
            await anext(results)

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await settle()
        consumer.cancel()
        gates.open(0)
        await settle()
        assert consumer.cancelled()
        # The consumer leaves and cancels the task, whose wake-up by the gate is only queued.
        assert gates.cancelled == [0]
        assert discarded == []


@pytest.mark.parametrize("ticks", range(5))
async def test_error_and_then_cancellation_from_outside_lose_neither(ticks: int) -> None:
    """0: work has yet to fail; 1: the group has yet to hear of it; 2 and more: it is already unwinding."""
    gates = Gates()
    seen: list[str] = []

    async def consume() -> None:
        try:
            async with OrderedStream(range(3), gates.work, concurrency=2) as results:
                await anext(results)
        except ProofError:
            seen.append("error")
        await asyncio.Event().wait()  # a caller that would go on
        seen.append("went on")

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await settle()
        gates.fail(1, ProofError("bad chunk"))
        for _ in range(ticks):
            await asyncio.sleep(0)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        assert seen == ["error"]


async def test_cancellation_from_outside_and_then_an_error_of_clean_up_lose_neither() -> None:
    seen: list[str] = []

    async def work(item: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            raise ProofError("clean-up")
        return item

    async def consume() -> None:
        try:
            async with OrderedStream(range(1), work, concurrency=1) as results:
                await anext(results)
        except ProofError:
            seen.append("error")
        await asyncio.Event().wait()

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await settle()
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        assert seen == ["error"]


async def test_cancellation_while_the_body_s_error_unwinds_is_delivered_afterwards() -> None:
    unwind = asyncio.Event()
    seen: list[str] = []

    async def work(item: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            await unwind.wait()
        return item

    async def consume() -> None:
        try:
            async with OrderedStream(range(1), work, concurrency=1):
                await settle()
                raise OSError("disk full")
        except OSError:
            seen.append("error")
        await asyncio.Event().wait()

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await settle()
        await settle()
        consumer.cancel()
        await settle()
        assert not consumer.done()
        unwind.set()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        assert seen == ["error"]


async def test_time_out_around_a_stream_that_fails_leaves_no_stray_cancellation() -> None:
    """The error comes to work as it is cancelled by the time-out, so both reach the consumer."""

    async def work(item: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            raise ProofError("bad chunk")
        return item

    async def consume() -> None:
        async with asyncio.timeout(None) as limit, OrderedStream(range(3), work, concurrency=1) as results:
            await settle()
            limit.reschedule(0)  # the loop's clock is past it
            await anext(results)

    async with no_task_left():
        with pytest.raises(ProofError):
            await consume()
        await settle()  # would be cancelled here


async def test_time_out_around_a_stream_stays_a_time_out() -> None:
    gates = Gates()
    async with no_task_left():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), OrderedStream(range(3), gates.work, concurrency=2) as results:
                await anext(results)
        assert gates.live == 0


async def test_work_that_leaks_a_cancellation_is_an_error_and_no_hang() -> None:
    async def work(item: int) -> int:
        raise asyncio.CancelledError

    async with no_task_left():
        with pytest.raises(RestoreError, match="failed or was cancelled"):
            async with OrderedStream(range(3), work, concurrency=2) as results:
                await anext(results)


async def test_body_that_swallows_the_cancellation_gets_an_error_and_no_hang() -> None:
    gates = Gates()
    gates.open(0)

    async def consume() -> None:
        async with OrderedStream(range(9), gates.work, concurrency=2) as results:
            async for _ in results:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    continue

    async with no_task_left():
        consumer = asyncio.create_task(consume())
        await settle()
        gates.fail(1, ProofError("bad chunk"))
        with pytest.raises(ExceptionGroup) as caught:
            await consumer
        kinds = [type(error) for error in caught.value.exceptions]
        assert kinds == [ProofError, RestoreError]
