"""Cancellation requests: which are pending, and how they are delivered again."""

from __future__ import annotations

import asyncio

import pytest

from restore.errors import RestoreError
from restore.flow.cancellation import CancelRequests
from tests.flow.steps import no_task_left, settle


def this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def swallow_a_cancellation() -> None:
    this_task().cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)


async def test_only_requests_since_its_making_count() -> None:
    async def body() -> None:
        await swallow_a_cancellation()
        requests = CancelRequests()
        assert not requests.pending
        await swallow_a_cancellation()
        assert requests.pending
        this_task().uncancel()
        assert not requests.pending

    async with no_task_left():
        await asyncio.create_task(body())


async def test_request_is_delivered_again_at_the_next_suspension_and_counts_once() -> None:
    async def body() -> int:
        requests = CancelRequests()
        await swallow_a_cancellation()
        requests.deliver_again()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()
        return this_task().cancelling()

    async with no_task_left():
        assert await asyncio.create_task(body()) == 1


async def test_request_that_was_taken_back_before_the_next_suspension_is_not_delivered() -> None:
    async def body() -> None:
        requests = CancelRequests()
        await swallow_a_cancellation()
        requests.deliver_again()
        this_task().uncancel()
        await settle()

    async with no_task_left():
        await asyncio.create_task(body())


async def test_task_that_ends_before_the_delivery_ends_as_it_wished() -> None:
    async def body() -> str:
        requests = CancelRequests()
        await swallow_a_cancellation()
        requests.deliver_again()
        return "result"

    async with no_task_left():
        task = asyncio.create_task(body())
        assert await task == "result"
        await settle()


async def test_nothing_pending_delivers_nothing() -> None:
    async with no_task_left():
        CancelRequests().deliver_again()
        await settle()


async def test_it_needs_a_task() -> None:
    caught: list[BaseException] = []

    def outside_of_any_task() -> None:
        try:
            CancelRequests()
        except RestoreError as error:
            caught.append(error)

    asyncio.get_running_loop().call_soon(outside_of_any_task)
    await settle()
    assert len(caught) == 1
