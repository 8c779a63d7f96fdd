"""Means to fix the order of tasks without time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any

SETTLE_TICKS = 30
"""More ticks than any chain of wake-ups in these tests is long."""


async def settle() -> None:
    """Returns when every other task has gone as far as it can."""
    for _ in range(SETTLE_TICKS):
        await asyncio.sleep(0)


async def settle_until(done: Callable[[], bool]) -> None:
    """Returns when `done()` holds; for what a thread reports. The test's time limit ends a wait in vain."""
    while not done():  # noqa: ASYNC110 - a thread cannot set an asyncio.Event
        await asyncio.sleep(0)


@asynccontextmanager
async def no_task_left() -> AsyncIterator[None]:
    """Checks that the block leaves no task behind and no request to cancel this one."""
    task = asyncio.current_task()
    assert task is not None
    before, requests = asyncio.all_tasks(), task.cancelling()
    yield
    assert asyncio.all_tasks() <= before
    assert task.cancelling() == requests


class Gates:
    """Work whose end the test decides: each item waits for its gate."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.cancelled: list[Any] = []
        self.live = 0
        self._gates: dict[Hashable, asyncio.Future[None]] = {}

    def gate(self, item: Hashable) -> asyncio.Future[None]:
        """The gate of `item`, made by whoever needs it first."""
        if item not in self._gates:
            self._gates[item] = asyncio.get_running_loop().create_future()
        return self._gates[item]

    def open(self, item: Hashable) -> None:
        """Lets the work on `item` end well."""
        self.gate(item).set_result(None)

    def fail(self, item: Hashable, error: Exception) -> None:
        """Lets the work on `item` fail."""
        self.gate(item).set_exception(error)

    async def work(self, item: Any) -> str:
        """Waits for the gate and returns a text made from `item`."""
        self.begun.append(item)
        self.live += 1
        try:
            await self.gate(item)
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        finally:
            self.live -= 1
        return f"result {item}"
