"""Leases: what is leased stays, until its reader ends, however it ends; and a reader hears of a loss."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cache.errors import DamagedFileError, LeaseLostError
from cache.folder import MirrorFolder
from cache.lease import WATCH_SECONDS, Lease, leased, living_leases
from cache.presence import Holder, Presence, remove_dead
from tests.cache.folder_source import FolderSource
from tests.cache.mirror_parties import party_here, party_there
from tests.cache.sources import ScriptedSource
from tests.cache.syncing import Syncing
from tests.conftest import open_descriptors
from tests.contracts.cancelling import cancel_at_every_wait


@pytest.fixture
def mirror(tmp_path: Path) -> Syncing:
    """A mirror with two packs."""
    mirror = Syncing(tmp_path, ScriptedSource({"a": b"1", "b": b"2"}))
    mirror.leave_pack("a")
    mirror.leave_pack("b")
    return mirror


class Looks:
    """A `sleep` that ends when a test wants the lease to look at its files.

    Attributes:
        slept: how long each was to last.
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._sleeps = asyncio.Event()
        self._wakes = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._sleeps.set()
        await self._wakes.acquire()

    async def look(self) -> None:
        """Has it look once, and waits until it sleeps again."""
        await self._sleeps.wait()
        self._sleeps.clear()
        self._wakes.release()
        await self._sleeps.wait()

    def look_soon(self) -> None:
        """Has it look once."""
        self._wakes.release()


def names(mirror: Syncing) -> list[str]:
    return [path.name for path in mirror.packs]


def lease_files(mirror: Syncing) -> list[Path]:
    return list(mirror.folder.leases.iterdir())


async def test_a_lease_says_who_reads_what_and_is_gone_afterwards(mirror: Syncing) -> None:
    descriptors = open_descriptors()
    async with leased(mirror.folder, names(mirror)):
        (lease,) = living_leases(mirror.folder)
        assert lease.files == set(names(mirror))
        assert (lease.holder.pid, lease.holder.host) == (os.getpid(), os.uname().nodename)
        async with leased(mirror.folder, []):
            assert sorted(len(lease.files) for lease in living_leases(mirror.folder)) == [0, 2]
    assert living_leases(mirror.folder) == []
    assert lease_files(mirror) == []
    assert open_descriptors() == descriptors


async def test_a_lease_dies_with_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FolderSource(tmp_path)
    source.put(a="old", b="old")
    async with party_here(tmp_path / "mirrors", source, monkeypatch.setattr) as other:
        with party_there(tmp_path / "mirrors", source) as reader:
            assert await reader.ask("open") == "opened, 2 fetched, 0 discarded"
            source.put(c="new")
            assert await other.ask("open") == "opened, 1 fetched, 0 discarded"
            assert await other.ask("prune") == "0 removed, 1 leased, 0 leftovers"
            await reader.kill()
            assert await other.ask("prune") == "1 removed, 0 leased, 1 leftovers"
            assert await other.ask("read") == "c=new"


# A lease that is lost


def remove_pack(mirror: Syncing) -> None:
    mirror.packs[1].unlink()


def replace_pack(mirror: Syncing) -> None:
    pack = mirror.packs[1]
    copy = pack.with_name("copy")
    shutil.copyfile(pack, copy)
    copy.replace(pack)


def truncate_pack(mirror: Syncing) -> None:
    pack = mirror.packs[1]
    os.truncate(pack, pack.stat().st_size - 1)


def remove_lease(mirror: Syncing) -> None:
    (path,) = lease_files(mirror)
    path.unlink()


def replace_lease(mirror: Syncing) -> None:
    (path,) = lease_files(mirror)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def remove_folder(mirror: Syncing) -> None:
    shutil.rmtree(mirror.folder.path)


LOSSES: dict[Callable[[Syncing], None], str] = {
    remove_pack: "leased file was removed by somebody else",
    replace_pack: "leased file was replaced by somebody else",
    truncate_pack: "leased file was replaced by somebody else",
    remove_lease: "lease was removed by somebody else",
    replace_lease: "lease was removed by somebody else",
    remove_folder: "lease was removed by somebody else",
}


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_loss_cancels_the_work_and_says_what_was_lost(
    mirror: Syncing, lose: Callable[[Syncing], None]
) -> None:
    looks = Looks()
    descriptors = open_descriptors()
    pack = mirror.packs[1].name
    was_cancelled = False

    async def work() -> None:
        nonlocal was_cancelled
        async with leased(mirror.folder, names(mirror), sleep=looks.sleep):
            await looks.look()
            lose(mirror)
            looks.look_soon()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                was_cancelled = True
                raise

    with pytest.raises(LeaseLostError) as loss:
        await work()
    assert was_cancelled
    assert loss.value.message == LOSSES[lose]
    lost = mirror.folder.path if "lease was" in LOSSES[lose] else pack
    assert loss.value.file == str(lost)
    assert set(looks.slept) == {WATCH_SECONDS}
    assert living_leases(mirror.folder) == []
    assert open_descriptors() == descriptors


async def test_a_loss_that_no_look_finds_before_the_work_ends_is_none(mirror: Syncing) -> None:
    async with leased(mirror.folder, names(mirror), sleep=Looks().sleep):
        remove_folder(mirror)


async def test_a_look_that_finds_all_as_it_was_changes_nothing(mirror: Syncing) -> None:
    looks = Looks()
    async with leased(mirror.folder, names(mirror), sleep=looks.sleep):
        await mirror.sync()  # which adds, and retires, and touches
        for _ in range(3):
            await looks.look()
    assert len(looks.slept) >= 3


async def test_a_pack_that_is_gone_when_it_is_to_be_leased_is_lost_at_once(mirror: Syncing) -> None:
    missing = mirror.packs[0]
    leasing = leased(mirror.folder, names(mirror))
    missing.unlink()
    with pytest.raises(LeaseLostError, match=r"^leased file was removed by somebody else: ") as loss:
        async with leasing:
            raise AssertionError("it is leased")
    assert loss.value.file == missing.name
    assert lease_files(mirror) == []


# How work ends


async def test_an_error_of_the_work_passes_as_itself(mirror: Syncing) -> None:
    error = ValueError("of the work")
    with pytest.raises(ValueError, match="of the work") as caught:
        async with leased(mirror.folder, names(mirror)):
            raise error
    assert caught.value is error
    assert lease_files(mirror) == []


async def test_an_error_of_the_work_after_a_loss_is_told_as_the_loss(mirror: Syncing) -> None:
    looks = Looks()

    async def work() -> None:
        async with leased(mirror.folder, names(mirror), sleep=looks.sleep):
            remove_lease(mirror)
            looks.look_soon()
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("of the work")

    with pytest.raises(LeaseLostError, match="removed by somebody else") as caught:
        await work()
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert {type(error) for error in caught.value.__cause__.exceptions} == {LeaseLostError, ValueError}
    assert lease_files(mirror) == []


async def test_a_group_of_errors_of_the_work_passes_as_it_is(mirror: Syncing) -> None:
    group = ExceptionGroup("of the work", [ValueError(), KeyError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with leased(mirror.folder, names(mirror)):
            raise group
    assert caught.value is group


async def test_work_that_is_cancelled_at_any_wait_gives_its_lease_back(mirror: Syncing) -> None:
    descriptors = open_descriptors()

    async def work() -> None:
        async with leased(mirror.folder, names(mirror), sleep=Looks().sleep):
            assert len(lease_files(mirror)) == 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def check() -> None:
        assert lease_files(mirror) == []
        assert open_descriptors() == descriptors

    assert await cancel_at_every_wait(work, check) >= 5


async def test_a_lease_that_cannot_be_made_leaves_nothing(mirror: Syncing) -> None:
    mirror.folder.leases.rmdir()
    descriptors = open_descriptors()
    with pytest.raises(FileNotFoundError):
        async with leased(mirror.folder, names(mirror)):
            raise AssertionError("it is leased")
    assert open_descriptors() == descriptors


# Others' leases


UNREADABLE = {
    "empty": b"",
    "garbage": b"garbage",
    "nothing": b"{}",
    "nobody": b'{"holder":{},"files":[]}',
    "no text": b'{"holder":{"pid":1,"host":"\xff","command":"","since":0},"files":[]}',
    "nested": b'{"more":' + b"[" * 99_999,
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_living_lease_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    folder = MirrorFolder(tmp_path / "v1" / "mirror")
    folder.create()
    presence = Presence(folder.leases, "lease", content)
    presence.appear()
    try:
        with pytest.raises(DamagedFileError, match=r"^lease does not parse: ") as damage:
            living_leases(folder)
        assert damage.value.file == str(presence.file)
    finally:
        presence.vanish()


def test_a_dead_lease_does_not_count_whatever_it_says(tmp_path: Path) -> None:
    folder = MirrorFolder(tmp_path / "v1" / "mirror")
    folder.create()
    lease = Lease(Holder.of_this_process(now=0.0), frozenset({"a"}))
    for number, content in enumerate((b"garbage", msgspec.json.encode(lease))):
        (folder.leases / f"lease-{number}").write_bytes(content)
    assert living_leases(folder) == []
    assert remove_dead(folder.leases) == 2
