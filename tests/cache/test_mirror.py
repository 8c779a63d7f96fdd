"""Mirrors: what is read is what the source listed, each file is fetched once, and nothing stays behind."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import cache.mirror
from cache.errors import LeaseLostError, LockTimeoutError, NoLocksError
from cache.folder import MirrorFolder, mirror_path
from cache.index import Index
from cache.lease import leased
from cache.lock import Mode
from cache.mirror import Mirror, Snapshot
from cache.source import Discarded, Event, Waiting
from cache.sync import SyncOptions, sync
from tests.cache.folder_source import FolderSource
from tests.cache.lock_parties import held_elsewhere, is_free
from tests.cache.mirror_parties import party_here, party_there
from tests.cache.sources import ScriptedSource
from tests.cache.syncing import DAMAGES
from tests.conftest import open_descriptors
from tests.contracts.cancelling import cancel_at_every_wait

FILES = {"a": b"1", "b": b"22", "c": b"333"}


@pytest.fixture
def source() -> ScriptedSource:
    """Some files."""
    return ScriptedSource(FILES)


def mirror_of(root: Path, source: ScriptedSource, *, events: list[Event] | None = None) -> Mirror:
    return Mirror(root, source, SyncOptions(tell=(events if events is not None else []).append))


def folder_of(root: Path, source: ScriptedSource) -> MirrorFolder:
    return MirrorFolder(mirror_path(root, source.identity))


async def read(snapshot: Snapshot) -> dict[str, bytes]:
    return {entry.name: entry.content async for entries in snapshot.packs() for entry in entries}


async def read_all(root: Path, source: ScriptedSource) -> dict[str, bytes]:
    async with mirror_of(root, source).synced() as snapshot:
        return await read(snapshot)


def file_names(root: Path) -> set[str]:
    return {path.name for path in root.rglob("*") if path.is_file()}


async def nothing_is_held(folder: MirrorFolder, descriptors: int) -> None:
    assert await is_free(folder.path)
    assert list(folder.leases.iterdir()) == []
    assert list(folder.holders.iterdir()) == []
    assert open_descriptors() == descriptors


# What is read.


async def test_a_snapshot_is_what_the_source_listed(tmp_path: Path, source: ScriptedSource) -> None:
    mirror = mirror_of(tmp_path, source)
    async with mirror.synced() as snapshot:
        assert snapshot.names == FILES.keys()
        assert await read(snapshot) == FILES
    source.take_fetches()
    async with mirror.synced() as snapshot:
        assert await read(snapshot) == FILES
    assert source.take_fetches() == []
    async with mirror.synced(refetch={"b"}) as snapshot:
        assert await read(snapshot) == FILES
    assert source.take_fetches() == ["b"]


async def test_a_snapshot_stays_whatever_others_do_meanwhile(tmp_path: Path, source: ScriptedSource) -> None:
    async with mirror_of(tmp_path, source).synced() as snapshot:
        source.files = {"a": b"another", "d": b"4444"}
        assert await read_all(tmp_path, source) == source.files
        pruned = await mirror_of(tmp_path, source).prune()
        assert pruned is not None
        assert pruned.packs == 0
        assert snapshot.names == FILES.keys()
        assert await read(snapshot) == FILES


async def test_what_is_not_wanted_is_left_out(tmp_path: Path, source: ScriptedSource) -> None:
    async with mirror_of(tmp_path, source).synced() as snapshot:
        (entries,) = [entries async for entries in snapshot.packs(besides={"a", "c", "elsewhere"})]
        assert [entry.name for entry in entries] == ["b"]
        folder_of(tmp_path, source).remove_pack(*folder_of(tmp_path, source).pack_files())
        assert [entries async for entries in snapshot.packs(besides=FILES)] == []


async def test_a_source_that_has_nothing_is_mirrored_too(tmp_path: Path) -> None:
    async with mirror_of(tmp_path, ScriptedSource()).synced() as snapshot:
        assert snapshot.names == set()
        assert await read(snapshot) == {}


async def test_two_sources_share_a_folder_and_do_not_see_each_other(tmp_path: Path) -> None:
    one = ScriptedSource({"same": b"one", "one": b"1"}, identity="memory:one")
    other = ScriptedSource({"same": b"other"}, identity="memory:other")
    for _ in range(2):
        async with (
            mirror_of(tmp_path, one).synced() as snapshot,
            mirror_of(tmp_path, other).synced() as other_snapshot,
        ):
            assert await read(snapshot) == one.files
            assert await read(other_snapshot) == other.files
    assert one.take_fetches() == ["one", "same"]
    assert other.take_fetches() == ["same"]


async def test_packs_of_another_source_are_no_use(tmp_path: Path) -> None:
    one = ScriptedSource({"same": b"one"}, identity="memory:one")
    other = ScriptedSource({"same": b"one"}, identity="memory:other")
    assert await read_all(tmp_path, one) == one.files
    path, other_path = (folder_of(tmp_path, source).path for source in (one, other))
    shutil.copytree(path, other_path)
    events: list[Event] = []
    async with mirror_of(tmp_path, other, events=events).synced() as snapshot:
        assert await read(snapshot) == other.files
    assert other.take_fetches() == ["same"]
    assert isinstance(events[0], Discarded)
    assert events[0].file == "index"


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_leased_pack_that_is_damaged_is_a_lost_lease(
    tmp_path: Path, source: ScriptedSource, damage: Callable[[Path], object]
) -> None:
    folder = folder_of(tmp_path, source)
    async with mirror_of(tmp_path, source).synced() as snapshot:
        (file,) = folder.pack_files()
        damage(folder.path / "packs" / file)
        with pytest.raises(LeaseLostError, match=r"^leased file was damaged by somebody else: ") as loss:
            await read(snapshot)
        assert loss.value.file == file
    assert await read_all(tmp_path, source) == FILES


# How often it is fetched.


async def test_tasks_that_come_at_once_fetch_each_file_once(tmp_path: Path, source: ScriptedSource) -> None:
    gate = source.hold("b")
    works = [asyncio.create_task(read_all(tmp_path, source)) for _ in range(3)]
    await gate.reached()
    gate.open()
    assert await asyncio.gather(*works) == [FILES] * 3
    assert source.take_fetches() == sorted(FILES)
    assert source.lists == 3


async def test_processes_that_come_at_once_fetch_each_file_once(tmp_path: Path) -> None:
    """Two restores and a verify, say."""
    source = FolderSource(tmp_path)
    source.put(**{name: content.decode() for name, content in FILES.items()})
    with ExitStack() as stack:
        first, *others = [stack.enter_context(party_there(tmp_path / "mirrors", source)) for _ in range(3)]
        assert await first.ask("halfway in a pack: open") == "halted"
        assert await asyncio.gather(*(other.ask("open") for other in others)) == ["waiting"] * 2
        assert await first.ask("go on") == "opened, 3 fetched, 0 discarded"
        opened = await asyncio.gather(*(other.answer() for other in others))
        assert opened == ["opened, 0 fetched, 0 discarded"] * 2
        assert source.take_fetched() == sorted(FILES)
        for party in (first, *others):
            assert await party.ask("read") == "a=1 b=22 c=333"
        source.put(a="1", d="4")
        for party in (first, *others):
            assert await party.ask("open") == f"opened, {int(party is first)} fetched, 0 discarded"
            assert await party.ask("read") == "a=1 d=4"
        assert source.take_fetched() == ["d"]


async def test_whoever_comes_after_a_killed_one_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FolderSource(tmp_path)
    source.put(a="1", b="2")
    async with party_here(tmp_path / "mirrors", source, monkeypatch.setattr) as other:
        with party_there(tmp_path / "mirrors", source) as party:
            assert await party.ask("halfway in the index: open") == "halted"
            assert await other.ask("open") == "waiting"
            await party.kill()
        assert await other.answer() == "opened, 0 fetched, 0 discarded"
        assert source.take_fetched() == ["a", "b"]
        assert await other.ask("read") == "a=1 b=2"


# Locks and leases.


async def test_whoever_is_waited_for_is_named(tmp_path: Path, source: ScriptedSource) -> None:
    gate = source.hold("a")
    slow = asyncio.create_task(read_all(tmp_path, source))
    await gate.reached()
    waited: list[Waiting] = []

    def hear(event: Event) -> None:
        if isinstance(event, Waiting):
            waited.append(event)
            gate.open()

    clock = itertools.count(0.0, 0.5)
    mirror = Mirror(tmp_path, source, SyncOptions(tell=hear))
    mirror._locks._now = lambda: next(clock)
    mirror._locks._sleep = lambda seconds: asyncio.sleep(0)
    async with mirror.synced() as snapshot:
        assert await read(snapshot) == FILES
    assert await slow == FILES
    assert (waited[0].wanted, waited[0].folder) == ("SYNC", str(folder_of(tmp_path, source).path))
    assert waited[0].holders.startswith(f"SYNC by pid {os.getpid()} on {os.uname().nodename} (")


@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.PRUNE])
async def test_a_lock_that_is_not_free_in_time_is_an_error(
    tmp_path: Path, source: ScriptedSource, mode: Mode
) -> None:
    folder = folder_of(tmp_path, source)
    folder.create()
    descriptors = open_descriptors()
    mirror = Mirror(tmp_path, source, SyncOptions(), timeout_seconds=0)
    async with held_elsewhere(folder.path, mode):
        with pytest.raises(LockTimeoutError):
            async with mirror.synced():
                raise AssertionError("somebody is at work")
        if mode is Mode.PRUNE:
            assert await mirror.prune() is None
    assert source.lists == 0
    await nothing_is_held(folder, descriptors)


async def test_locks_are_held_as_long_as_they_are_needed(
    tmp_path: Path, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mirror_path(tmp_path, source.identity)
    free: list[list[Mode]] = []

    async def look() -> None:
        free.append([mode for mode in Mode if await is_free(path, mode)])

    async def observed_sync(*args: Any, **options: Any) -> Index:
        await look()
        return await sync(*args, **options)

    @asynccontextmanager
    async def observed_leased(*args: Any) -> AsyncIterator[None]:
        await look()
        async with leased(*args):
            yield

    monkeypatch.setattr(cache.mirror, "sync", observed_sync)
    monkeypatch.setattr(cache.mirror, "leased", observed_leased)
    async with mirror_of(tmp_path, source).synced():
        await look()
    assert free == [[Mode.READ], [Mode.READ, Mode.SYNC], list(Mode)]


async def test_a_file_system_that_does_not_lock_is_refused_before_anything_is_fetched(
    tmp_path: Path, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def refuse(folder: Path) -> None:
        assert threading.current_thread() is not threading.main_thread()
        asked.append(folder)
        raise NoLocksError("file system does not lock", file=folder)

    monkeypatch.setattr(cache.mirror, "check_locks", refuse)
    with pytest.raises(NoLocksError):
        async with mirror_of(tmp_path, source).synced():
            raise AssertionError("nothing locks")
    assert asked == [tmp_path / "v1"]
    assert (source.lists, source.take_fetches()) == (0, [])
    assert file_names(tmp_path) == {"CACHEDIR.TAG"}


# What stays.


async def test_nothing_stays_but_the_mirror(tmp_path: Path, source: ScriptedSource) -> None:
    folder = folder_of(tmp_path, source)
    descriptors, tasks = open_descriptors(), asyncio.all_tasks()
    async with mirror_of(tmp_path, source).synced():
        assert len(list(folder.leases.iterdir())) == 1
        assert open_descriptors() == descriptors + 1
    await nothing_is_held(folder, descriptors)
    assert asyncio.all_tasks() == tasks
    assert file_names(tmp_path) == {
        "CACHEDIR.TAG",
        "index",
        "removal.lock",
        "sync.lock",
        *folder.pack_files(),
    }


@pytest.mark.parametrize("where", ["listing", "fetching", "reading"])
async def test_an_error_leaves_nothing_held(tmp_path: Path, source: ScriptedSource, where: str) -> None:
    folder = folder_of(tmp_path, source)
    descriptors = open_descriptors()
    if where == "listing":
        source.listings.append(ConnectionError(where))
    if where == "fetching":
        source.fail("b", ConnectionError(where))
    with pytest.raises(ConnectionError, match=where):
        async with mirror_of(tmp_path, source).synced():
            raise ConnectionError(where)
    await nothing_is_held(folder, descriptors)
    assert await read_all(tmp_path, source) == FILES


async def test_whoever_is_cancelled_at_any_wait_holds_nothing_and_spoils_nothing(
    tmp_path: Path, source: ScriptedSource
) -> None:
    roots = iter(tmp_path / f"{number}" for number in range(1000))
    used: list[Path] = []
    descriptors = open_descriptors()

    async def work() -> None:
        used.append(next(roots))
        async with mirror_of(used[-1], source).synced() as snapshot:
            await read(snapshot)

    async def check() -> None:
        folder = folder_of(used[-1], source)
        if folder.holders.exists():
            await nothing_is_held(folder, descriptors)
        assert await read_all(used[-1], source) == FILES
        source.take_fetches()
        assert await read_all(used[-1], source) == FILES
        assert source.take_fetches() == []

    assert await cancel_at_every_wait(work, check) >= 15


async def test_what_is_held_at_once_is_bounded(
    tmp_path: Path, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two for READ, three for SYNC, and one file."""
    descriptors, seen = open_descriptors(), [0]
    open_file = os.open

    def observed(*args: Any, **options: Any) -> int:
        descriptor = open_file(*args, **options)
        seen.append(open_descriptors() - descriptors)
        return descriptor

    monkeypatch.setattr(os, "open", observed)
    assert await read_all(tmp_path, source) == FILES
    assert max(seen) == 6
