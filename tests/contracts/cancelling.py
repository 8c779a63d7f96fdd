"""Cancels work at each place where it waits, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

MOST_WAITS = 1000


class _CancelledAt:
    """Awaits `work`, and cancels the task at the work's wait number `step`."""

    def __init__(self, work: Coroutine[Any, Any, object], step: int) -> None:
        self.cancelled = False
        self._work = work
        self._step = step

    def __await__(self) -> Generator[Any, Any, object]:
        task = asyncio.current_task()
        assert task is not None
        waits = 0
        error: BaseException | None = None
        while True:
            try:
                waited_for = self._work.send(None) if error is None else self._work.throw(error)
            except StopIteration as stop:
                return stop.value
            if waits == self._step:
                # Takes effect when the task suspends, which is next: just here, in no other place.
                self.cancelled = task.cancel()
            waits += 1
            error = None
            try:
                yield waited_for
            except BaseException as raised:  # noqa: BLE001 - whatever it is, the work handles it
                error = raised


async def cancel_at_every_wait(
    work: Callable[[], Coroutine[Any, Any, object]], check: Callable[[], Awaitable[None]]
) -> int:
    """Runs `work` over and over, cancelled at its first wait, then at its second, until it ends uncancelled.

    Calls `check` after each cancelled run, and returns how many there were.
    """
    for step in range(MOST_WAITS):
        run = _CancelledAt(work(), step)
        task = asyncio.create_task(_to_coroutine(run))
        await asyncio.wait((task,))
        if not run.cancelled:
            task.result()
            return step
        assert task.cancelled(), f"cancelled at wait {step}, it went on: {task!r}"
        await check()
    raise AssertionError("work waits for ever")


async def _to_coroutine(work: Awaitable[object]) -> object:
    return await work
