"""Whoever is cancelled, wherever that is, keeps no lock: neither one that was won in the same moment."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from cache.lock import HOLDERS_FOLDER, Locks, Mode
from tests.cache.lock_parties import GO_ON, PAIRS, Elsewhere, is_free, never, patch_lock, take
from tests.conftest import open_descriptors
from tests.contracts.cancelling import cancel_at_every_wait


async def nothing_is_held(folder: Path, descriptors: int) -> None:
    assert await is_free(folder)
    assert await Locks(folder).holders() == []
    assert list((folder / HOLDERS_FOLDER).iterdir()) == []
    assert open_descriptors() == descriptors


@pytest.mark.parametrize("tries", [True, False])
@pytest.mark.parametrize("mode", Mode)
async def test_whoever_is_cancelled_at_any_wait_gives_back_what_was_won(
    tmp_path: Path, mode: Mode, tries: bool
) -> None:
    assert await is_free(tmp_path)
    descriptors = open_descriptors()

    async def work() -> None:
        async with take(Locks(tmp_path, sleep=never), mode, tries=tries):
            await asyncio.sleep(0)

    waits = await cancel_at_every_wait(work, lambda: nothing_is_held(tmp_path, descriptors))
    assert waits >= 4  # where the folder is, winning, the block itself, giving back


async def test_whoever_is_cancelled_inside_read_gives_all_back(tmp_path: Path) -> None:
    assert await is_free(tmp_path)
    descriptors = open_descriptors()

    async def work() -> None:
        async with Locks(tmp_path).hold(Mode.READ), Locks(tmp_path).hold(Mode.SYNC):
            await asyncio.sleep(0)

    assert await cancel_at_every_wait(work, lambda: nothing_is_held(tmp_path, descriptors)) >= 7


@pytest.mark.parametrize(("held", "wanted"), [pair for pair in PAIRS if pair not in GO_ON])
async def test_a_waiter_that_is_cancelled_at_any_wait_leaves_the_holder_alone(
    tmp_path: Path, held: Mode, wanted: Mode
) -> None:
    assert await is_free(tmp_path)
    descriptors = open_descriptors()
    other = await Elsewhere.begin(tmp_path, held)

    async def work() -> None:
        pauses = iter((asyncio.sleep, other.release))
        locks = Locks(tmp_path, notice_seconds=0, sleep=lambda seconds: next(pauses)(0))
        async with locks.hold(wanted):
            assert not other.is_held

    async def check() -> None:
        nonlocal other
        await other.release()
        await nothing_is_held(tmp_path, descriptors)
        other = await Elsewhere.begin(tmp_path, held)

    assert await cancel_at_every_wait(work, check) >= 8
    await nothing_is_held(tmp_path, descriptors)


@pytest.mark.parametrize("mode", Mode)
async def test_a_lock_that_is_won_in_the_tick_of_the_cancellation_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    assert await is_free(tmp_path)
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()

    async def work() -> None:
        async with Locks(tmp_path).hold(mode):
            raise AssertionError("it was cancelled")

    def cancel() -> None:
        task.cancel()
        cancelled.set()

    def win_and_cancel(descriptor: int, operation: int, lock: Callable[[], None]) -> None:
        lock()
        if not cancelled.is_set():  # the first lock is won, and the loop does not know yet
            loop.call_soon_threadsafe(cancel)
            assert cancelled.wait(10)

    with monkeypatch.context() as patched:
        patch_lock(patched, win_and_cancel)
        task = asyncio.create_task(work())
        with pytest.raises(asyncio.CancelledError):
            await task
    assert cancelled.is_set()
    assert await is_free(tmp_path)


async def test_a_cancellation_that_is_repeated_while_a_lock_is_given_back_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    holding = asyncio.Event()

    async def work() -> None:
        async with Locks(tmp_path).hold(Mode.PRUNE):
            holding.set()
            await asyncio.Event().wait()

    async def cancel() -> None:
        task.cancel()

    def cancel_again(descriptor: int, operation: int, lock: Callable[[], None]) -> None:
        if operation == fcntl.LOCK_UN:
            asyncio.run_coroutine_threadsafe(cancel(), loop).result(10)
        lock()

    task = asyncio.create_task(work())
    await holding.wait()
    with monkeypatch.context() as patched:
        patch_lock(patched, cancel_again)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await is_free(tmp_path)


async def test_an_error_of_the_file_system_passes_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await is_free(tmp_path)
    descriptors = open_descriptors()
    calls: list[int] = []

    def fail_second(descriptor: int, operation: int, lock: Callable[[], None]) -> None:
        calls.append(operation)
        if len(calls) == 2:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        lock()

    with monkeypatch.context() as patched:
        patch_lock(patched, fail_second)
        with pytest.raises(OSError, match="No locks available"):
            async with Locks(tmp_path).hold(Mode.SYNC):
                raise AssertionError("sync.lock could not be locked")
    await nothing_is_held(tmp_path, descriptors)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_ends_waits_for_those_that_are_about_to_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    winning = threading.Event()
    cancelled = threading.Event()

    def win_late(descriptor: int, operation: int, lock: Callable[[], None]) -> None:
        if not winning.is_set():
            winning.set()
            assert cancelled.wait(10)
        lock()

    async def work() -> None:
        async with Locks(tmp_path).hold(Mode.PRUNE):
            raise AssertionError("it was cancelled")

    async def see_cancellation() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):  # more steps than anyone needs who does not wait for the thread
                await asyncio.sleep(0)
            cancelled.set()

    async def main() -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(work()), asyncio.create_task(see_cancellation())]
        await asyncio.to_thread(winning.wait, 10)
        return tasks

    with monkeypatch.context() as patched, asyncio.Runner(loop_factory=new_loop) as runner:
        patch_lock(patched, win_late)
        tasks = runner.run(main())
        runner.close()
    assert all(task.cancelled() for task in tasks)
    assert asyncio.run(is_free(tmp_path))
