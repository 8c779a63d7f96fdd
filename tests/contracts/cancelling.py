"""Cancels work at each place where it, or a task that it started, waits: one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

MOST_WAITS = 1000

_counting: ContextVar[_Count] = ContextVar("counting")
"""Tasks inherit it from the one that starts them; a server's, on the same loop, do not have it."""


class _Count:
    """Counts waits, and cancels `task` at the wait number `step`."""

    def __init__(self, step: int) -> None:
        self.cancelled = False
        self.task: asyncio.Task[object] | None = None
        self._left = step

    def wait(self) -> None:
        """Called when a task is about to suspend: a cancellation of this one takes effect just there."""
        if self._left == 0 and self.task is not None:
            self.cancelled = self.task.cancel()
        self._left -= 1


class _Counted(Coroutine[Any, Any, Any]):
    """`work`, whose waits are counted."""

    def __init__(self, work: Coroutine[Any, Any, Any], count: _Count) -> None:
        self._work = work
        self._count = count

    def send(self, value: Any) -> Any:
        waited_for = self._work.send(value)
        self._count.wait()
        return waited_for

    def throw(self, *error: Any) -> Any:
        waited_for = self._work.throw(*error)
        self._count.wait()
        return waited_for

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._work.__await__()


async def cancel_at_every_wait(
    work: Callable[[], Coroutine[Any, Any, object]], check: Callable[[], Awaitable[None]]
) -> int:
    """Runs `work` over and over, cancelled at its first wait, then at its second, until it ends uncancelled.

    Calls `check` after each cancelled run, and returns how many there were.
    """
    for step in range(MOST_WAITS):
        count = _Count(step)
        with _tasks_counted(count):
            count.task = asyncio.create_task(work())
            await asyncio.wait((count.task,))
        if not count.cancelled:
            count.task.result()
            return step
        assert count.task.cancelled(), f"cancelled at wait {step}, it went on: {count.task!r}"
        await check()
    raise AssertionError("work waits for ever")


@contextmanager
def _tasks_counted(count: _Count) -> Iterator[None]:
    """The tasks that are started in the block, and those that they start, are counted."""
    loop = asyncio.get_running_loop()

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        counting = _counting.get(None)
        return asyncio.Task(work if counting is None else _Counted(work, counting), loop=loop, **options)

    before = loop.get_task_factory()
    token = _counting.set(count)
    loop.set_task_factory(factory)
    try:
        yield
    finally:
        loop.set_task_factory(before)
        _counting.reset(token)
