"""Locks within one process: who waits, who goes on, and what may be nested."""

from __future__ import annotations

import asyncio
import fcntl
from contextlib import AsyncExitStack
from itertools import product
from pathlib import Path

import pytest

from cache.errors import LockOrderError
from cache.lock import Locks, Mode
from tests.cache.lock_parties import GO_ON, PAIRS, held_elsewhere, is_free, never, patch_lock, take

FORBIDDEN = [
    (Mode.READ, Mode.PRUNE),
    *product([Mode.SYNC, Mode.PRUNE], Mode),
    *((Mode.READ, Mode.SYNC, mode) for mode in Mode),
    (Mode.READ, Mode.READ, Mode.PRUNE),
]
"""What is held, outermost first, and what may not be taken inside it."""


@pytest.mark.parametrize(("held", "wanted"), PAIRS)
async def test_what_one_task_holds_decides_whether_another_goes_on(
    tmp_path: Path, held: Mode, wanted: Mode
) -> None:
    async with held_elsewhere(tmp_path, held) as other:
        async with Locks(tmp_path, sleep=never).try_hold(wanted) as is_held:
            assert is_held == ((held, wanted) in GO_ON)
        async with Locks(tmp_path, sleep=other.release).hold(wanted):
            assert other.is_held == ((held, wanted) in GO_ON)
    assert await is_free(tmp_path)


async def test_one_object_serves_many_tasks(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    holding: list[Mode] = []

    async def work(modes: tuple[Mode, ...]) -> None:
        for mode in modes:
            async with locks.hold(mode):
                assert all((other, mode) in GO_ON for other in holding)
                holding.append(mode)
                await asyncio.sleep(0)
                holding.remove(mode)

    async with asyncio.TaskGroup() as group:
        for first in range(9):
            group.create_task(work((tuple(Mode) * 2)[first % 3 :]))
    assert await is_free(tmp_path)


@pytest.mark.parametrize("tries", [True, False])
@pytest.mark.parametrize("modes", FORBIDDEN)
async def test_a_forbidden_order_raises_at_once(tmp_path: Path, modes: tuple[Mode, ...], tries: bool) -> None:
    *outer, inner = modes
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    async with AsyncExitStack() as stack:
        for mode in outer:
            await stack.enter_async_context(take(Locks(tmp_path, sleep=never), mode, tries=tries))
        with pytest.raises(LockOrderError, match="inside those that are held") as caught:
            async with take(Locks(link, sleep=never), inner, tries=tries):
                raise AssertionError("it must not be held")
        assert caught.value.file == str(tmp_path)
        assert caught.value.found == " inside ".join(mode.name for mode in reversed(modes))
    assert await is_free(tmp_path)


async def test_a_forbidden_order_touches_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Locks(tmp_path).hold(Mode.SYNC):
        with monkeypatch.context() as patched:
            patch_lock(patched, lambda descriptor, operation, lock: pytest.fail("it is locked"))
            with pytest.raises(LockOrderError):
                async with Locks(tmp_path).hold(Mode.READ):
                    pass


async def test_a_task_inside_the_block_counts_as_its_holder(tmp_path: Path) -> None:
    async def nest() -> None:
        async with Locks(tmp_path, sleep=never).hold(Mode.SYNC):
            pass

    async with Locks(tmp_path).hold(Mode.SYNC):
        with pytest.raises(LockOrderError):
            await asyncio.create_task(nest())
    await asyncio.create_task(nest())


async def test_a_task_that_outlives_the_block_is_free(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def live_on() -> None:
        await ended.wait()
        async with Locks(tmp_path, sleep=never).hold(Mode.PRUNE):
            pass

    async with Locks(tmp_path).hold(Mode.SYNC):
        task = asyncio.create_task(live_on())
    ended.set()
    await task


async def test_sync_inside_read_goes_back_to_read(tmp_path: Path) -> None:
    locks = Locks(tmp_path, sleep=never)
    async with locks.hold(Mode.READ):
        for _ in range(2):
            async with locks.hold(Mode.READ), locks.hold(Mode.SYNC):
                assert not await is_free(tmp_path, Mode.SYNC)
            assert await is_free(tmp_path, Mode.SYNC)
            assert not await is_free(tmp_path, Mode.PRUNE)
        with pytest.raises(LockOrderError):
            async with locks.hold(Mode.PRUNE):
                pass
    async with locks.hold(Mode.PRUNE):
        pass


async def test_two_readers_that_both_want_sync_take_turns(tmp_path: Path) -> None:
    async with (
        held_elsewhere(tmp_path, Mode.READ),
        Locks(tmp_path).hold(Mode.READ),
        held_elsewhere(tmp_path, Mode.SYNC) as other,
        Locks(tmp_path, sleep=other.release).hold(Mode.SYNC),
    ):
        assert not other.is_held


async def test_one_who_waits_for_sync_does_not_keep_prune_out(tmp_path: Path) -> None:
    # SYNC's first file is free, the second is not: it must be back before the pause.
    with (tmp_path / "sync.lock").open("wb") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)

        async def pause(seconds: float) -> None:
            assert await is_free(tmp_path, Mode.PRUNE)
            fcntl.flock(busy, fcntl.LOCK_UN)

        async with Locks(tmp_path, sleep=pause).hold(Mode.SYNC):
            pass


async def test_locks_of_other_folders_do_not_count(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with Locks(tmp_path / "a").hold(Mode.PRUNE), Locks(tmp_path / "b", sleep=never).hold(Mode.PRUNE):
        pass


async def test_one_who_tried_in_vain_holds_nothing(tmp_path: Path) -> None:
    async with held_elsewhere(tmp_path, Mode.SYNC), Locks(tmp_path).try_hold(Mode.PRUNE) as held:
        assert not held
        async with Locks(tmp_path, sleep=never).hold(Mode.READ):
            pass


async def test_a_block_that_fails_gives_the_lock_back(tmp_path: Path) -> None:
    for tries in (True, False):
        with pytest.raises(ValueError, match="of the block"):
            async with take(Locks(tmp_path), Mode.PRUNE, tries=tries):
                raise ValueError("of the block")
        assert await is_free(tmp_path)


async def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with Locks(tmp_path / "missing").hold(Mode.READ):
            pass
