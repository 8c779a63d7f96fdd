"""The circuit breaker: what is past its bound stops the run, and who else wants to be heard is heard."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from restore.errors import BoundExceededError, DiskFullError, RestoreError
from restore.flow.monitor import Bounds, Monitor
from restore.flow.threads import shielded
from restore.flow.usage import Usage, peak_memory_bytes, usage_of_process
from restore.report.events import Event, Notice, Report, silent
from tests.flow.steps import no_task_left, settle
from tests.flow.test_usage import open_files

BOUNDS = Bounds(tasks=10, children=10, descriptors=10, memory_bytes=1 << 20)
QUIET = Usage(tasks=1, children=2, descriptors=3, memory_bytes=4)


class Kernel:
    """Tells what it is told to."""

    def __init__(self) -> None:
        self.usage = QUIET
        self.looks = 0

    def __call__(self) -> Usage:
        self.looks += 1
        return self.usage

    async def looked(self) -> None:
        """Returns when it was asked once more."""
        looks = self.looks
        while self.looks == looks:  # noqa: ASYNC110 - a timer of the code under test counts
            await asyncio.sleep(0)


def monitor(kernel: Kernel, report: Report = silent) -> Monitor:
    return Monitor(BOUNDS, report=report, interval=0.0, read=kernel)


async def for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("beyond", "message"),
    [
        (
            replace(QUIET, tasks=11),
            "run holds more tasks than it may: expected at most 10, found 11",
        ),
        (
            replace(QUIET, children=12),
            "run holds more child processes than it may: expected at most 10, found 12",
        ),
        (
            replace(QUIET, descriptors=13),
            "run holds more open descriptors than it may: expected at most 10, found 13",
        ),
        (
            replace(QUIET, memory_bytes=3 << 20),
            "run holds more memory than it may: expected at most 1.0 MiB, found 3.0 MiB",
        ),
    ],
)
async def test_past_a_bound_the_run_stops_and_says_which(beyond: Usage, message: str) -> None:
    kernel, events = Kernel(), list[Event]()
    ended = False

    async def run() -> None:
        nonlocal ended
        async with monitor(kernel, events.append):
            await kernel.looked()
            kernel.usage = beyond
            try:
                await for_ever()
            finally:
                await settle()  # cancelled once: cleaning up is not disturbed
                ended = True

    async with no_task_left():
        with pytest.raises(BoundExceededError) as raised:
            await run()
    assert ended
    assert str(raised.value) == message
    assert events == [Notice(f"stopping: {message}", warning=True)]


async def test_at_its_bounds_a_run_goes_on() -> None:
    kernel = Kernel()
    kernel.usage = Usage(10, 10, 10, 1 << 20)
    async with monitor(kernel):
        await kernel.looked()
        await kernel.looked()
    assert kernel.looks >= 3


async def test_all_tasks_of_the_run_have_ended_when_it_is_told() -> None:
    kernel, gone = Kernel(), list[int]()

    async def work(number: int) -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0)
            gone.append(number)

    async def run() -> None:
        async with monitor(kernel), asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(work(number))
            await settle()
            kernel.usage = replace(QUIET, tasks=11)

    async with no_task_left():
        with pytest.raises(BoundExceededError):
            await run()
        assert sorted(gone) == [0, 1, 2]


async def test_a_run_that_ends_in_spite_of_it_ends_so() -> None:
    kernel = Kernel()
    async with no_task_left():
        async with monitor(kernel):
            kernel.usage = replace(QUIET, tasks=11)
            with suppress(asyncio.CancelledError):
                await for_ever()
        await asyncio.sleep(0)  # and is not cancelled later


async def test_an_error_of_the_run_says_more() -> None:
    kernel = Kernel()

    async def run() -> None:
        async with monitor(kernel):
            kernel.usage = replace(QUIET, tasks=11)
            try:
                await for_ever()
            finally:
                raise DiskFullError("no space left")

    async with no_task_left():
        with pytest.raises(DiskFullError):
            await run()
        await asyncio.sleep(0)  # and is not cancelled later


async def test_an_error_of_the_run_passes_unchanged() -> None:
    error = RestoreError("of the run")
    with pytest.raises(RestoreError) as raised:
        async with monitor(Kernel()):
            raise error
    assert raised.value is error


async def test_a_run_that_is_cancelled_from_outside_is_cancelled() -> None:
    kernel = Kernel()

    async def run() -> None:
        async with monitor(kernel):
            await for_ever()

    task = asyncio.create_task(run())
    await kernel.looked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_that_is_also_cancelled_from_outside_tells_and_is_cancelled_again() -> None:
    kernel, told = Kernel(), list[str]()
    stopping, go_on = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        try:
            async with monitor(kernel):
                try:
                    await for_ever()
                finally:
                    stopping.set()
                    await shielded(go_on.wait())
        except BoundExceededError as error:
            told.append(error.message)
        await for_ever()

    task = asyncio.create_task(run())
    await kernel.looked()
    kernel.usage = replace(QUIET, tasks=11)
    await stopping.wait()
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["run holds more tasks than it may"]


async def test_after_the_block_nobody_looks() -> None:
    kernel = Kernel()
    async with monitor(kernel):
        await kernel.looked()
    looks = kernel.looks
    await settle()
    assert kernel.looks == looks


async def test_peaks_are_of_each_the_most_at_any_look() -> None:
    kernel = Kernel()
    watch = monitor(kernel)
    async with watch:
        for seen in (Usage(1, 9, 2, 5), Usage(7, 0, 3, 6)):
            kernel.usage = seen
            await kernel.looked()
        kernel.usage = Usage(0, 0, 8, 0)  # the last look is when the block is left
    peaks = watch.peaks()
    assert (peaks.tasks, peaks.children, peaks.descriptors) == (7, 9, 8)
    assert peaks.memory_bytes == peak_memory_bytes()


async def test_real_descriptors_past_their_bound_stop_a_run() -> None:
    bound = usage_of_process().descriptors + 10
    bounds = Bounds(tasks=1000, children=1000, descriptors=bound, memory_bytes=1 << 50)

    async def run() -> None:
        async with Monitor(bounds, report=silent, interval=0.01):
            with open_files(20):
                await for_ever()

    with pytest.raises(BoundExceededError, match="open descriptors"):
        await run()
