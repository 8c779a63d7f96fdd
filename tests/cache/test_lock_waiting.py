"""What a waiter hears and says, and locks whose files others replace or keep from being written."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cache.errors import LockTimeoutError
from cache.lock import HOLDERS_FOLDER, Locks, Mode
from cache.presence import Presence
from cache.source import Event, Waiting
from tests.cache.lock_parties import held_elsewhere, is_free, never, patch_lock

SOMEBODY = "a process that did not say who it is"


class Clock:
    """A clock that only pauses advance."""

    def __init__(self, step: float) -> None:
        self.time = 1000.0
        self.pauses: list[float] = []
        self._step = step

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += self._step


def path_of(descriptor: int) -> Path:
    """What a descriptor was opened by."""
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def count_present(folder: Path) -> int:
    """How many holders say who they are."""
    return len(list((folder / HOLDERS_FOLDER).iterdir()))


def modes_of_locks(folder: Path) -> dict[str, int]:
    """The permissions of the lock files."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.glob("*.lock")}


async def time_out(folder: Path, mode: Mode) -> LockTimeoutError:
    """What one raises who cannot wait."""
    with pytest.raises(LockTimeoutError) as caught:
        async with Locks(folder, timeout_seconds=0, sleep=never).hold(mode):
            raise AssertionError("it was not free")
    return caught.value


async def test_pauses_grow_to_a_tenth_of_a_second(tmp_path: Path) -> None:
    clock = Clock(step=1)
    locks = Locks(tmp_path, timeout_seconds=7, now=clock.now, sleep=clock.sleep)
    async with held_elsewhere(tmp_path, Mode.PRUNE):
        with pytest.raises(LockTimeoutError):
            async with locks.hold(Mode.READ):
                raise AssertionError("PRUNE is held")
    assert clock.pauses == [0.005, 0.01, 0.02, 0.04, 0.08, 0.1, 0.1]


@pytest.mark.parametrize("mode", Mode)
async def test_a_free_lock_is_had_without_any_time(tmp_path: Path, mode: Mode) -> None:
    told: list[Event] = []
    async with Locks(tmp_path, timeout_seconds=0, notice_seconds=0, tell=told.append, sleep=never).hold(mode):
        assert not told


async def test_a_long_wait_is_told_of_and_again_each_minute(tmp_path: Path) -> None:
    clock = Clock(step=1)
    told: list[Waiting] = []

    def tell(event: Event) -> None:
        assert isinstance(event, Waiting)
        told.append(event)

    locks = Locks(tmp_path, tell=tell, timeout_seconds=125, now=clock.now, sleep=clock.sleep)
    async with held_elsewhere(tmp_path, Mode.SYNC):
        with pytest.raises(LockTimeoutError):
            async with locks.hold(Mode.SYNC):
                raise AssertionError("SYNC is held")
    assert [event.seconds for event in told] == [2, 62, 122]
    assert {event.wanted for event in told} == {"SYNC"}
    assert {event.folder for event in told} == {str(tmp_path)}
    assert all(event.holders.startswith(f"SYNC by pid {os.getpid()} on ") for event in told)


async def test_a_wait_is_told_of_after_as_long_as_was_asked_for(tmp_path: Path) -> None:
    clock = Clock(step=0.5)
    told: list[Event] = []
    locks = Locks(
        tmp_path, tell=told.append, notice_seconds=3, timeout_seconds=4, now=clock.now, sleep=clock.sleep
    )
    async with held_elsewhere(tmp_path, Mode.PRUNE):
        with pytest.raises(LockTimeoutError):
            async with locks.hold(Mode.READ):
                raise AssertionError("PRUNE is held")
    assert [event.seconds for event in told if isinstance(event, Waiting)] == [3]


async def test_a_listener_that_fails_ends_the_wait_and_nothing_is_held(tmp_path: Path) -> None:
    def tell(event: Event) -> None:
        raise ValueError("of the listener")

    async with held_elsewhere(tmp_path, Mode.SYNC):
        with pytest.raises(ValueError, match="of the listener"):
            async with Locks(tmp_path, tell=tell, notice_seconds=0).hold(Mode.SYNC):
                raise AssertionError("SYNC is held")
    assert await is_free(tmp_path)


async def test_a_time_out_says_what_was_wanted_where_and_who_has_it(tmp_path: Path) -> None:
    async with held_elsewhere(tmp_path, Mode.PRUNE):
        error = await time_out(tmp_path, Mode.READ)
        ((mode, holder),) = await Locks(tmp_path).holders()
    assert mode is Mode.PRUNE
    assert holder.pid == os.getpid()
    assert error.message == "READ lock was not free in time"
    assert error.file == str(tmp_path)
    assert error.expected == "within 0 s"
    assert error.found == f"PRUNE by {holder}"
    assert await Locks(tmp_path).holders() == []


async def test_only_those_are_named_who_are_waited_for(tmp_path: Path) -> None:
    async with held_elsewhere(tmp_path, Mode.READ), held_elsewhere(tmp_path, Mode.SYNC):
        assert len(await Locks(tmp_path).holders()) == 2
        for_sync = await time_out(tmp_path, Mode.SYNC)
        for_prune = await time_out(tmp_path, Mode.PRUNE)
    assert for_sync.found is not None
    assert for_sync.found.startswith("SYNC by ")
    assert "READ" not in for_sync.found
    assert for_prune.found is not None
    assert [part.split()[0] for part in for_prune.found.split("; ")] == ["READ", "SYNC"]


async def test_a_holder_that_said_nothing_is_somebody(tmp_path: Path) -> None:
    with (tmp_path / "removal.lock").open("wb") as silent:
        fcntl.flock(silent, fcntl.LOCK_EX)
        assert (await time_out(tmp_path, Mode.READ)).found == SOMEBODY


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b'{"pid": "1"}', b"\xff"])
async def test_a_holder_that_says_garbage_is_somebody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / HOLDERS_FOLDER).mkdir()
    garbage = [Presence(tmp_path / HOLDERS_FOLDER, name, content) for name in ("sync", "other", "")]
    try:
        for presence in garbage:
            presence.appear()
        with (tmp_path / "sync.lock").open("wb") as busy:
            fcntl.flock(busy, fcntl.LOCK_EX)
            assert (await time_out(tmp_path, Mode.SYNC)).found == f"SYNC by {SOMEBODY}"
        assert await Locks(tmp_path).holders() == []
    finally:
        for presence in garbage:
            presence.vanish()


async def test_a_holder_that_cannot_say_who_it_is_holds_the_lock_all_the_same(tmp_path: Path) -> None:
    (tmp_path / HOLDERS_FOLDER).touch()  # so nothing can be made in it
    async with held_elsewhere(tmp_path, Mode.SYNC):
        assert (await time_out(tmp_path, Mode.SYNC)).found == SOMEBODY
    assert await is_free(tmp_path)


async def test_a_presence_that_others_removed_does_not_keep_the_lock(tmp_path: Path) -> None:
    async with held_elsewhere(tmp_path, Mode.PRUNE):
        shutil.rmtree(tmp_path / HOLDERS_FOLDER)
    assert await is_free(tmp_path)


async def test_the_presence_is_there_only_while_the_lock_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present: list[int] = []

    def count(descriptor: int, operation: int, lock: Callable[[], None]) -> None:
        if path_of(descriptor).suffix == ".lock":
            present.append(count_present(tmp_path))
        lock()

    assert await is_free(tmp_path)
    with monkeypatch.context() as patched:
        patch_lock(patched, count)
        async with Locks(tmp_path).hold(Mode.SYNC):
            present.append(count_present(tmp_path))
    assert present == [0, 0, 1, 0, 0]  # two parts taken, the block, two parts given back


async def test_a_lock_ends_although_a_forked_child_still_has_its_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[int] = []

    def copy(descriptor: int, operation: int, lock: Callable[[], None]) -> None:
        lock()
        copies.append(os.dup(descriptor))  # as a child has it between fork and exec

    with monkeypatch.context() as patched:
        patch_lock(patched, copy)
        async with Locks(tmp_path).hold(Mode.PRUNE):
            pass
    try:
        assert copies
        assert await is_free(tmp_path)
    finally:
        for descriptor in copies:
            os.close(descriptor)


@pytest.mark.parametrize("name", ["removal.lock", "sync.lock"])
async def test_a_lock_file_that_is_replaced_before_it_is_locked_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    replaced: list[float] = []

    def replace(descriptor: int, operation: int, lock: Callable[[], None]) -> None:
        if path_of(descriptor) == tmp_path / name and not replaced:
            (tmp_path / name).unlink()
        lock()

    async def pause(seconds: float) -> None:
        replaced.append(seconds)

    with monkeypatch.context() as patched:
        patch_lock(patched, replace)
        async with Locks(tmp_path, sleep=pause).hold(Mode.SYNC):
            assert len(replaced) == 1
            assert not await is_free(tmp_path, Mode.SYNC)
            assert not await is_free(tmp_path, Mode.PRUNE)


async def test_a_waiter_finds_the_files_of_a_folder_that_was_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    folder.mkdir()

    async def make_anew(seconds: float) -> None:
        shutil.rmtree(folder)
        folder.mkdir()

    async with held_elsewhere(folder, Mode.PRUNE), Locks(folder, sleep=make_anew).hold(Mode.PRUNE):
        assert not await is_free(folder, Mode.READ)


async def test_a_waiter_whose_folder_was_removed_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    folder.mkdir()

    async def remove(seconds: float) -> None:
        shutil.rmtree(folder)

    async with held_elsewhere(folder, Mode.PRUNE):
        with pytest.raises(FileNotFoundError):
            async with Locks(folder, sleep=remove).hold(Mode.READ):
                raise AssertionError("there is nothing to lock")


async def test_lock_files_may_be_opened_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        assert await is_free(tmp_path, Mode.SYNC)
    finally:
        os.umask(before)
    assert modes_of_locks(tmp_path) == {"removal.lock": 0o664, "sync.lock": 0o664}
