"""What is fetched becomes packs: when one is closed, who waits for it, and what an error or an end costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import cache.writer
from cache.entry import Entry, make_entry
from cache.folder import MirrorFolder
from cache.index import PackRecord
from cache.threads import in_thread
from cache.writer import FLUSH_SECONDS, PackWriter

IDENTITY = "file:///one"
ENTRIES_OF_A_PACK = 4
BYTES_OF_A_PACK = 1000
SECONDS = 10.0


class HeldFolder(MirrorFolder):
    """Holds the writing of a pack, if it should, until the test lets it go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_holding = False
        self.writes: list[list[str]] = []
        self.errors: list[OSError] = []
        self._begun = threading.Semaphore(0)
        self._going_on = threading.Semaphore(0)

    def write_pack(self, identity: str, entries: Sequence[Entry]) -> PackRecord:
        self.writes.append([entry.name for entry in entries])
        self._begun.release()
        if self.is_holding:
            assert self._going_on.acquire(timeout=SECONDS)
        if self.errors:
            raise self.errors.pop(0)
        return super().write_pack(identity, entries)

    async def begun(self) -> None:
        """Waits until the next pack is about to be written."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=SECONDS)

    def go_on(self, *, writes: int = 1) -> None:
        self._going_on.release(writes)


class Clock:
    """Stands still unless a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs are full soon."""
    monkeypatch.setattr(cache.writer, "PACK_ENTRIES", ENTRIES_OF_A_PACK)
    monkeypatch.setattr(cache.writer, "PACK_BYTES", BYTES_OF_A_PACK)


@pytest.fixture
def folder(tmp_path: Path) -> HeldFolder:
    """A new mirror."""
    made = HeldFolder(tmp_path / "v1" / "mirror")
    made.create()
    return made


def entry(name: object, size: int = 1) -> Entry:
    return make_entry(IDENTITY, str(name), tag="tag", content=bytes(size))


async def add(writer: PackWriter, *names: object, size: int = 1) -> None:
    for name in names:
        await writer.add(entry(name, size))


def written(folder: MirrorFolder, writer: PackWriter) -> list[str]:
    """The names in all packs of the folder, which are just those that the writer knows of."""
    assert {record.file for record in writer.written} == folder.pack_files()
    names = [
        found.name for record in writer.written for found in folder.read_pack(record.file, identity=IDENTITY)
    ]
    return sorted(names)


@asynccontextmanager
async def adding(writer: PackWriter, *names: object) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Tasks that add a file each, once all of them have come as far as they can."""
    tasks = [asyncio.create_task(writer.add(entry(name))) for name in names]
    await settle()
    yield tasks
    await asyncio.gather(*tasks)


async def settle() -> None:
    """Lets everything happen that can happen without anybody else."""
    for _ in range(10):
        await asyncio.sleep(0)


# When a pack is closed.


async def test_a_pack_is_closed_at_so_many_files(folder: HeldFolder) -> None:
    writer = PackWriter(folder, IDENTITY)
    await add(writer, *"abcdefghij", size=0)
    assert folder.writes == [["a", "b", "c", "d"], ["e", "f", "g", "h"]]
    await writer.flush()
    assert folder.writes[2:] == [["i", "j"]]
    assert written(folder, writer) == [*"abcdefghij"]


async def test_a_pack_is_closed_at_so_many_bytes(folder: HeldFolder) -> None:
    writer = PackWriter(folder, IDENTITY)
    await add(writer, "a", size=BYTES_OF_A_PACK - 1)
    assert folder.writes == []
    await add(writer, "b", size=1)
    assert folder.writes == [["a", "b"]]
    await add(writer, "c", size=10 * BYTES_OF_A_PACK)
    assert folder.writes[1:] == [["c"]]
    await add(writer, "d", size=BYTES_OF_A_PACK - 1)
    assert len(folder.writes) == 2, "the size begins anew with each pack"


async def test_a_pack_is_closed_when_its_first_file_has_waited_long(folder: HeldFolder) -> None:
    clock = Clock()
    writer = PackWriter(folder, IDENTITY, now=clock)
    await add(writer, "a")
    clock.seconds += FLUSH_SECONDS - 1
    await add(writer, "b")
    assert folder.writes == []
    clock.seconds += 1
    await add(writer, "c")
    assert folder.writes == [["a", "b", "c"]]
    clock.seconds += 10 * FLUSH_SECONDS
    await add(writer, "d")
    assert len(folder.writes) == 1, "the time begins with the first file of a pack, not with the last pack"
    clock.seconds += FLUSH_SECONDS
    await add(writer, "e")
    assert folder.writes[1:] == [["d", "e"]]


async def test_a_flush_of_nothing_writes_nothing(folder: HeldFolder) -> None:
    writer = PackWriter(folder, IDENTITY)
    await writer.flush()
    await add(writer, "a")
    await writer.flush()
    await writer.flush()
    assert folder.writes == [["a"]]


async def test_records_say_what_was_written(folder: HeldFolder) -> None:
    writer = PackWriter(folder, IDENTITY)
    await add(writer, "a", "b")
    assert writer.written == []
    await writer.flush()
    (record,) = writer.written
    assert (record.entries, record.live) == (2, {"a": "tag", "b": "tag"})
    assert folder.pack_size(record.file) == record.size


# Who waits.


async def test_files_are_taken_while_a_pack_is_written_until_the_next_is_full(folder: HeldFolder) -> None:
    folder.is_holding = True
    writer = PackWriter(folder, IDENTITY)
    await add(writer, *"abc")
    async with adding(writer, "d") as full:
        await folder.begun()
        await add(writer, *"efg")
        async with adding(writer, "h", "i") as waiting:
            assert not any(task.done() for task in (*full, *waiting))
            assert folder.writes == [["a", "b", "c", "d"]], "one at a time"
            folder.go_on(writes=2)
    assert folder.writes == [["a", "b", "c", "d"], ["e", "f", "g", "h", "i"]]
    assert written(folder, writer) == [*"abcdefghi"]


async def test_those_who_waited_leave_a_pack_alone_that_is_not_full(folder: HeldFolder) -> None:
    folder.is_holding = True
    writer = PackWriter(folder, IDENTITY)
    await add(writer, *"abc")
    async with adding(writer, "d"):
        await folder.begun()
        await add(writer, *"efg")
        async with adding(writer, "h", "i"):
            folder.go_on()
            await folder.begun()
            await add(writer, "j")
            folder.go_on(writes=2)
    assert folder.writes == [["a", "b", "c", "d"], ["e", "f", "g", "h", "i"]]


async def test_those_who_waited_write_no_empty_pack(folder: HeldFolder) -> None:
    """However long the pack took that they waited for."""
    clock = Clock()
    folder.is_holding = True
    writer = PackWriter(folder, IDENTITY, now=clock)
    await add(writer, *"abc")
    async with adding(writer, "d"):
        await folder.begun()
        await add(writer, "e")
        clock.seconds += FLUSH_SECONDS
        async with adding(writer, "f", "g"):
            folder.go_on()
            await folder.begun()
            clock.seconds += FLUSH_SECONDS
            folder.go_on(writes=2)
    assert folder.writes == [["a", "b", "c", "d"], ["e", "f", "g"]]


async def test_a_flush_waits_for_the_pack_that_is_being_written(folder: HeldFolder) -> None:
    folder.is_holding = True
    writer = PackWriter(folder, IDENTITY)
    await add(writer, *"abc")
    async with adding(writer, "d"):
        await folder.begun()
        flush = asyncio.create_task(writer.flush())
        await settle()
        assert not flush.done()
        folder.go_on()
        await flush
    assert written(folder, writer) == [*"abcd"]


async def test_many_at_once_lose_nothing(folder: HeldFolder) -> None:
    writer = PackWriter(folder, IDENTITY)
    names = [f"{number:03}" for number in range(101)]
    async with adding(writer, *names):
        pass
    await writer.flush()
    assert written(folder, writer) == names
    assert all(writes for writes in folder.writes)


# Errors and ends.


async def test_a_pack_that_cannot_be_written_is_an_error_and_costs_just_its_files(folder: HeldFolder) -> None:
    folder.errors = [OSError(28, "No space left on device")]
    writer = PackWriter(folder, IDENTITY)
    await add(writer, *"abc")
    with pytest.raises(OSError, match="No space"):
        await add(writer, "d")
    await add(writer, "e")
    await writer.flush()
    assert folder.writes == [["a", "b", "c", "d"], ["e"]]
    assert written(folder, writer) == ["e"]


async def test_a_flush_that_cannot_write_is_an_error(folder: HeldFolder) -> None:
    folder.errors = [OSError(28, "No space left on device")]
    writer = PackWriter(folder, IDENTITY)
    await add(writer, "a")
    with pytest.raises(OSError, match="No space"):
        await writer.flush()
    assert written(folder, writer) == []


async def test_those_who_waited_for_a_pack_that_failed_write_their_own(folder: HeldFolder) -> None:
    folder.is_holding = True
    folder.errors = [OSError(28, "No space left on device")]
    writer = PackWriter(folder, IDENTITY)
    await add(writer, *"abc")
    failing = asyncio.create_task(writer.add(entry("d")))
    await folder.begun()
    await add(writer, *"efg")
    async with adding(writer, "h"):
        folder.go_on(writes=2)
    with pytest.raises(OSError, match="No space"):
        await failing
    assert written(folder, writer) == [*"efgh"]


@pytest.mark.parametrize("is_flush", [False, True])
async def test_a_cancelled_write_ends_first_and_is_known(folder: HeldFolder, is_flush: bool) -> None:
    folder.is_holding = True
    writer = PackWriter(folder, IDENTITY)
    await add(writer, *"abc")
    work = asyncio.create_task(writer.flush() if is_flush else writer.add(entry("d")))
    await folder.begun()
    for _ in range(3):  # somebody impatient
        work.cancel()
        await settle()
        assert not work.done()
    folder.go_on()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert written(folder, writer) == ([*"abc"] if is_flush else [*"abcd"])


async def test_what_a_cancelled_one_had_added_is_written_by_the_next(folder: HeldFolder) -> None:
    folder.is_holding = True
    writer = PackWriter(folder, IDENTITY)
    await add(writer, *"abc")
    async with adding(writer, "d"):
        await folder.begun()
        await add(writer, *"efg")
        waiting = asyncio.create_task(writer.add(entry("h")))
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        folder.go_on(writes=2)
    await writer.flush()
    assert written(folder, writer) == [*"abcdefgh"]


async def test_the_loop_goes_on_while_a_pack_is_written(folder: HeldFolder) -> None:
    folder.is_holding = True
    writer = PackWriter(folder, IDENTITY)
    await add(writer, "a")
    flush = asyncio.create_task(writer.flush())
    await folder.begun()
    assert await in_thread(lambda: 7) == 7
    assert not flush.done()
    folder.go_on()
    await flush
