"""Several things at once: all end, whatever becomes of one of them."""

from __future__ import annotations

import asyncio

import pytest

from restore.flow.together import together


async def test_nothing_to_do_is_done_at_once() -> None:
    await together([])


async def test_all_run_at_the_same_time() -> None:
    everybody = asyncio.Barrier(3)
    await together(everybody.wait() for _ in range(3))


async def test_the_first_error_ends_the_rest_and_is_raised_bare() -> None:
    began, ended = asyncio.Event(), list[str]()

    async def fails() -> None:
        await began.wait()
        raise ValueError("one")

    async def waits() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("waits")

    with pytest.raises(ValueError, match="one"):
        await together([fails(), waits()])
    assert ended == ["waits"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # where a cancellation that nobody asked for would come


async def test_of_two_errors_the_first_in_order_is_raised() -> None:
    async def fails(text: str) -> None:
        raise ValueError(text)

    with pytest.raises(ValueError, match="first"):
        await together([fails("first"), fails("second")])


async def test_a_cancellation_waits_for_the_end_of_all() -> None:
    began, ended = asyncio.Barrier(3), list[int]()

    async def waits(number: int) -> None:
        await began.wait()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    task = asyncio.create_task(together(waits(number) for number in range(2)))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == [0, 1]


async def test_a_cancellation_that_an_error_overtook_comes_again() -> None:
    began, went_on = asyncio.Event(), list[str]()

    async def fails_when_cancelled() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("at the end")

    async def caller() -> None:
        with pytest.raises(ValueError, match="at the end"):
            await together([fails_when_cancelled()])
        await asyncio.sleep(0)
        went_on.append("on")

    task = asyncio.create_task(caller())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert went_on == []
