"""Locks across processes: who waits and who goes on, and what becomes of the locks of those that die."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.errors import LockTimeoutError
from cache.lock import HOLDERS_FOLDER, Locks, Mode
from cache.presence import remove_dead
from cache.threads import in_thread
from tests.cache.lock_child import Child, running
from tests.cache.lock_parties import GO_ON, PAIRS, never


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One child for all tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("mirror")) as running_child:
        yield running_child


@pytest.mark.parametrize(("held", "wanted"), PAIRS)
async def test_what_another_process_holds_decides_who_goes_on(child: Child, held: Mode, wanted: Mode) -> None:
    assert child.ask(f"hold {held.name}") == "held"
    released = False

    async def release(seconds: float) -> None:
        nonlocal released
        if not released:
            assert child.ask("release") == "released"
        released = True

    goes_on = (held, wanted) in GO_ON
    async with Locks(child.folder, sleep=never).try_hold(wanted) as is_held:
        assert is_held == goes_on
    async with Locks(child.folder, sleep=release).hold(wanted):
        assert released != goes_on
    await release(0)


@pytest.mark.parametrize(("held", "wanted"), PAIRS)
async def test_what_we_hold_decides_whether_another_process_goes_on(
    child: Child, held: Mode, wanted: Mode
) -> None:
    goes_on = (held, wanted) in GO_ON
    async with Locks(child.folder).hold(held):
        tried = child.ask(f"try {wanted.name}")
        assert tried == ("held" if goes_on else "busy")
        if goes_on:
            assert child.ask("release") == "released"
        assert child.ask(f"hold {wanted.name}") == ("held" if goes_on else "waiting")
    if not goes_on:
        assert await in_thread(child.answer) == "held"
    assert child.ask("release") == "released"


async def test_another_process_says_who_it_is(child: Child) -> None:
    assert child.ask("hold READ") == "held"
    assert child.ask("hold SYNC") == "held"
    holders = dict(await Locks(child.folder).holders())
    assert holders.keys() == {Mode.READ, Mode.SYNC}
    for holder in holders.values():
        assert holder.pid == child.process.pid
        assert holder.host == os.uname().nodename
        assert holder.command.startswith("lock_child.py ")
    for _ in holders:
        assert child.ask("release") == "released"
    assert await Locks(child.folder).holders() == []


async def test_sync_inside_read_of_two_processes_waits_without_a_deadlock(child: Child) -> None:
    assert child.ask("hold READ") == "held"
    async with Locks(child.folder).hold(Mode.READ):
        async with Locks(child.folder).hold(Mode.SYNC):
            assert child.ask("hold SYNC") == "waiting"
        assert await in_thread(child.answer) == "held"
    for _ in range(2):
        assert child.ask("release") == "released"


@pytest.mark.parametrize("mode", Mode)
async def test_a_killed_holder_frees_its_locks(tmp_path: Path, mode: Mode) -> None:
    with running(tmp_path) as child:
        assert child.ask(f"hold {mode.name}") == "held"
        killed = False

        async def kill(seconds: float) -> None:
            nonlocal killed
            child.process.kill()
            child.process.wait()
            killed = True

        async with Locks(tmp_path, sleep=kill).hold(Mode.PRUNE):
            assert killed
            holders = await Locks(tmp_path).holders()
            assert [holder.pid for _, holder in holders] == [os.getpid()]
    assert remove_dead(tmp_path / HOLDERS_FOLDER) == 1


async def test_a_stopped_holder_keeps_its_lock_and_is_named(tmp_path: Path) -> None:
    with running(tmp_path) as child:
        assert child.ask("hold SYNC") == "held"
        child.process.send_signal(signal.SIGSTOP)
        await in_thread(os.waitid, os.P_PID, child.process.pid, os.WSTOPPED)
        clock = 100.0

        async def sleep(seconds: float) -> None:
            nonlocal clock
            clock += 1

        locks = Locks(tmp_path, timeout_seconds=5, now=lambda: clock, sleep=sleep)
        with pytest.raises(LockTimeoutError, match=r"^SYNC lock was not free in time: ") as caught:
            async with locks.hold(Mode.SYNC):
                raise AssertionError("it was stopped, not ended")
        assert clock == 105
        assert caught.value.file == str(tmp_path)
        assert caught.value.expected == "within 5 s"
        named = f"SYNC by pid {child.process.pid} on {os.uname().nodename} (lock_child.py {tmp_path}"
        assert caught.value.found is not None
        assert caught.value.found.startswith(named[:60])
        child.process.send_signal(signal.SIGCONT)
        assert child.ask("release") == "released"
        async with Locks(tmp_path, sleep=never).hold(Mode.SYNC):
            pass


@pytest.mark.parametrize(("held", "wanted"), [pair for pair in PAIRS if pair not in GO_ON])
async def test_a_killed_waiter_leaves_nothing(tmp_path: Path, held: Mode, wanted: Mode) -> None:
    with running(tmp_path) as child:
        async with Locks(tmp_path).hold(held):
            assert child.ask(f"hold {wanted.name}") == "waiting"
            child.process.kill()
            child.process.wait()
        async with Locks(tmp_path, sleep=never).hold(Mode.PRUNE):
            assert len(list((tmp_path / HOLDERS_FOLDER).iterdir())) == 1


async def test_a_cancelled_waiter_leaves_the_holder_alone(child: Child) -> None:
    assert child.ask("hold PRUNE") == "held"
    waits = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.set()
        await asyncio.Event().wait()

    async def wait() -> None:
        async with Locks(child.folder, sleep=sleep).hold(Mode.READ):
            raise AssertionError("PRUNE is held")

    waiter = asyncio.create_task(wait())
    await waits.wait()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    async with Locks(child.folder).try_hold(Mode.READ) as held:
        assert not held
    assert child.ask("release") == "released"
    async with Locks(child.folder, sleep=never).hold(Mode.PRUNE):
        pass
