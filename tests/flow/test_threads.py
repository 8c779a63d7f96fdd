"""Worker threads and shielded awaits: the caller waits for what it began, then the cancellation goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from restore.errors import DiskFullError, RestoreError, UsageError
from restore.flow.threads import Workers, shielded
from tests.flow.steps import no_task_left, settle, settle_until


class Job:
    """A function for a worker thread that begins and ends when the test says so."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = threading.Event()
        self.finish = threading.Event()
        self.finished = False
        self._error = error

    def __call__(self) -> str:
        self.begun.set()
        self.finish.wait()
        self.finished = True
        if self._error is not None:
            raise self._error
        return "result"


async def test_result_and_error_of_the_function_come_back() -> None:
    async with no_task_left(), Workers(2) as workers:
        assert await workers.run(divmod, 7, 2) == (3, 1)
        assert await workers.run(threading.current_thread) is not threading.current_thread()
        with pytest.raises(ZeroDivisionError):
            await workers.run(divmod, 7, 0)


async def test_no_more_calls_run_at_once_than_there_are_threads() -> None:
    jobs = [Job() for _ in range(5)]
    async with no_task_left(), Workers(2) as workers, asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(workers.run(job))
        await settle_until(lambda: jobs[0].begun.is_set() and jobs[1].begun.is_set())
        assert threading.active_count() >= 3
        assert not any(job.begun.is_set() for job in jobs[2:])
        jobs[1].finish.set()
        await settle_until(jobs[2].begun.is_set)
        assert not any(job.begun.is_set() for job in jobs[3:])
        for job in jobs:
            job.finish.set()


async def test_cancelled_caller_waits_for_its_thread_however_often_it_is_cancelled() -> None:
    job = Job()
    async with no_task_left(), Workers(1) as workers:
        caller = asyncio.create_task(workers.run(job))
        await settle_until(job.begun.is_set)
        for _ in range(3):
            caller.cancel("stop")
            await settle()
            assert not caller.done()
        job.finish.set()
        with pytest.raises(asyncio.CancelledError, match="stop"):
            await caller
        assert job.finished


async def test_error_of_the_thread_is_not_lost_to_the_cancellation_nor_the_other_way_round() -> None:
    job = Job(DiskFullError("no space left"))
    seen: list[str] = []

    async def caller_that_would_go_on() -> None:
        try:
            await workers.run(job)
        except DiskFullError:
            seen.append("error")
        await asyncio.Event().wait()
        seen.append("went on")

    async with no_task_left(), Workers(1) as workers:
        caller = asyncio.create_task(caller_that_would_go_on())
        await settle_until(job.begun.is_set)
        caller.cancel()
        await settle()
        job.finish.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert seen == ["error"]


async def test_error_of_the_thread_of_a_cancelled_sibling_reaches_the_group() -> None:
    job = Job(DiskFullError("no space left"))

    async def fail_and_finish() -> None:
        await settle_until(job.begun.is_set)
        asyncio.get_running_loop().call_soon(job.finish.set)
        raise OSError("first")

    async def run_both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(workers.run(job))
            group.create_task(fail_and_finish())
            await asyncio.Event().wait()

    async with no_task_left(), Workers(1) as workers:
        with pytest.raises(ExceptionGroup) as caught:
            await run_both()
        assert [type(error) for error in caught.value.exceptions] == [OSError, DiskFullError]


async def time_out_first(limit: asyncio.Timeout, job: Job) -> None:
    """Lets `limit` expire while `job` runs, and then `job` finish."""
    await settle_until(job.begun.is_set)
    limit.reschedule(0)  # the loop's clock is past it
    job.finish.set()


async def test_time_out_around_a_thread_that_fails_leaves_no_stray_cancellation() -> None:
    job = Job(DiskFullError("no space left"))
    limit = asyncio.timeout(None)
    async with no_task_left(), Workers(1) as workers:
        timer = asyncio.create_task(time_out_first(limit, job))
        with pytest.raises(DiskFullError):
            async with limit:
                await workers.run(job)
        assert limit.expired()
        await timer
        await settle()  # would be cancelled here


async def test_time_out_around_a_thread_that_ends_well_stays_a_time_out() -> None:
    job = Job()
    limit = asyncio.timeout(None)
    async with no_task_left(), Workers(1) as workers:
        timer = asyncio.create_task(time_out_first(limit, job))
        with pytest.raises(TimeoutError):
            async with limit:
                await workers.run(job)
        assert job.finished
        await timer


async def test_queued_call_of_a_cancelled_caller_never_begins() -> None:
    running, queued = Job(), Job()
    async with no_task_left(), Workers(1) as workers:
        first = asyncio.create_task(workers.run(running))
        await settle_until(running.begun.is_set)
        second = asyncio.create_task(workers.run(queued))
        await settle()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second  # while the first still runs
        running.finish.set()
        assert await first == "result"
        assert not queued.begun.is_set()


async def test_call_of_a_task_cancelled_before_its_first_step_is_never_made() -> None:
    job = Job()
    async with no_task_left(), Workers(1) as workers:
        caller = asyncio.create_task(workers.run(job))
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    assert not job.begun.is_set()


async def test_function_that_raises_stop_iteration_does_not_hang_its_caller() -> None:
    async with no_task_left(), Workers(1) as workers:
        with pytest.raises(RestoreError, match="raised StopIteration"):
            await workers.run(next, iter(()))


async def test_no_thread_is_left_after_the_block() -> None:
    before = set(threading.enumerate())
    async with Workers(3) as workers:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(workers.run(sum, range(1000)))
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


async def test_workers_outside_their_block_are_refused() -> None:
    workers = Workers(1)
    with pytest.raises(RestoreError, match="outside their block"):
        await workers.run(int)
    async with workers:
        assert await workers.run(int) == 0
    with pytest.raises(RestoreError, match="outside their block"):
        await workers.run(int)
    with pytest.raises(UsageError, match="at least 1"):
        Workers(0)


async def test_shielded_coroutine_runs_to_its_end() -> None:
    steps: list[str] = []
    gate = asyncio.Event()

    async def save() -> None:
        steps.append("begun")
        await gate.wait()
        steps.append("durable")

    async with no_task_left():
        caller = asyncio.create_task(shielded(save()))
        await settle()
        caller.cancel()
        await settle()
        assert not caller.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert steps == ["begun", "durable"]


async def test_shielded_gives_result_and_error_when_nobody_cancels() -> None:
    async def value() -> int:
        return 7

    async def fail() -> None:
        raise OSError

    async with no_task_left():
        assert await shielded(value()) == 7
        with pytest.raises(OSError):
            await shielded(fail())


async def test_shielded_future_that_is_itself_cancelled_tells_so() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    caller = asyncio.create_task(shielded(future))
    await settle()
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


def _succeed(future: asyncio.Future[str]) -> None:
    future.set_result("result")


def _fail(future: asyncio.Future[str]) -> None:
    future.set_exception(DiskFullError("no space left"))


@pytest.mark.parametrize("cancel_first", [True, False], ids=["cancelled first", "done first"])
@pytest.mark.parametrize(
    ("end", "expected"), [(_succeed, asyncio.CancelledError), (_fail, DiskFullError)], ids=["result", "error"]
)
async def test_done_and_cancelled_in_one_tick_are_the_same_in_both_orders(
    end: Callable[[asyncio.Future[str]], None], expected: type[BaseException], cancel_first: bool
) -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with no_task_left():
        caller = asyncio.create_task(shielded(future))
        await settle()
        if cancel_first:
            caller.cancel()
            end(future)
        else:
            end(future)
            caller.cancel()
        with pytest.raises(expected):
            await caller
