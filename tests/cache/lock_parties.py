"""What tests of locks share: tasks whose locks do not count as the test's own, and faults at the kernel."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context
from itertools import product
from pathlib import Path
from typing import TypeVar

import pytest

from cache.lock import Locks, Mode

T = TypeVar("T")

GO_ON = {(Mode.READ, Mode.READ), (Mode.READ, Mode.SYNC), (Mode.SYNC, Mode.READ)}
"""Held and wanted; every other pair waits."""

PAIRS = list(product(Mode, Mode))


async def never(seconds: float) -> None:
    """A pause that must not come."""
    raise AssertionError("it waits")


class Elsewhere:
    """A lock that another task holds, until it is told to release it."""

    def __init__(self, locks: Locks, mode: Mode) -> None:
        self._held = asyncio.Event()
        self._released = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._hold(locks, mode), context=Context())

    @classmethod
    async def begin(cls, folder: Path, mode: Mode) -> Elsewhere:
        """Another task that holds `mode`, which must be free."""
        other = cls(Locks(folder, sleep=never), mode)
        held = asyncio.ensure_future(other._held.wait())
        await asyncio.wait((held, other._task), return_when=asyncio.FIRST_COMPLETED)
        held.cancel()
        if other._task.done():
            other._task.result()
        return other

    async def release(self, seconds: float = 0) -> None:
        """Gives it back; a `sleep` of those that wait for it. Idempotent."""
        self._released.set()
        await asyncio.shield(self._task)

    @property
    def is_held(self) -> bool:
        """Whether it is held, or about to be given back."""
        return self._held.is_set() and not self._task.done()

    async def _hold(self, locks: Locks, mode: Mode) -> None:
        async with locks.hold(mode):
            self._held.set()
            await self._released.wait()


@asynccontextmanager
async def held_elsewhere(folder: Path, mode: Mode) -> AsyncIterator[Elsewhere]:
    """Another task holds `mode` during the block, unless it is released before."""
    other = await Elsewhere.begin(folder, mode)
    try:
        yield other
    finally:
        await other.release()


async def elsewhere(work: Callable[[], Awaitable[T]]) -> T:
    """Does `work` as a task that this one did not start."""

    async def run() -> T:
        return await work()

    return await asyncio.get_running_loop().create_task(run(), context=Context())


async def is_free(folder: Path, mode: Mode = Mode.PRUNE) -> bool:
    """Whether another task could have the lock; as PRUNE it is only if nobody holds anything."""

    async def attempt() -> bool:
        async with Locks(folder).try_hold(mode) as held:
            return held

    return await elsewhere(attempt)


def take(locks: Locks, mode: Mode, *, tries: bool) -> AbstractAsyncContextManager[object]:
    """Either way to take a lock."""
    return locks.try_hold(mode) if tries else locks.hold(mode)


def patch_lock(
    monkeypatch: pytest.MonkeyPatch, around: Callable[[int, int, Callable[[], None]], None]
) -> None:
    """Puts `around(descriptor, operation, lock)` in the place of each system call that locks."""
    flock = fcntl.flock
    monkeypatch.setattr(
        fcntl,
        "flock",
        lambda descriptor, operation: around(descriptor, operation, lambda: flock(descriptor, operation)),
    )
