"""What every storage keeps to that can be read from, whether or not it can be written to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

import pytest

from restore.errors import EmptyStorageError, MissingFileError, RestoreError, UnsafePathError
from restore.storage.base import PIECE_BYTES, UNMETERED, WHOLE_BYTES, FileHandle, Payer, Storage, read_file
from restore.storage.paging import MAX_TAG_CHARACTERS
from restore.storage.transfer import PART_BYTES
from tests.conftest import open_descriptors
from tests.contracts.cancelling import cancel_at_every_wait
from tests.flow.steps import settle_until

OpenStorage: TypeAlias = Callable[[str], Storage]
"""The storage at a place: the same name, the same files."""

PlaceFile: TypeAlias = Callable[[FileHandle, bytes], Awaitable[None]]
"""Puts a file where the fixture `storage` finds it."""

SIZES = [0, 1, 1000, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5]

UNSAFE_HANDLES = [
    "", ".", "..", "/", "/etc/passwd", "../secret", "abc/../../secret", "abc/..", "abc//def", "./abc",
    "abc/.", "abc/", "abc\x00def", "abc\ndef", "abc\\..\\def", "abc/\x1b[31m", "abc/\udc80",
]  # fmt: skip

ODD_HANDLES = [
    "abc.0000/a b+c%25d?e=f&g#h.chunk", "abc.0000/naïve ☃.chunk", "abc.0000/a:b@c;d,e'f\"g(h)!$*~",
    "%2e%2e/%00", "metadata/index of", "abc.0000/-.chunk",
]  # fmt: skip
"""Nobody writes such names, and a manifest may have them."""

LINE = '{"TransactionBackup":{"first_version":0,"last_version":0,"manifest":"a.0000/transaction.manifest"}}'

CLOSING_SECONDS = 10.0
"""What is closed is gone within a few ticks; this only ends a wait in vain."""


def content(size: int, *, seed: int = 1) -> bytes:
    """Bytes that repeat nowhere, the same for the same arguments."""
    return random.Random(f"{seed} {size}").randbytes(size)


async def get(storage: Storage, handle: FileHandle, *, payer: Payer = UNMETERED) -> bytes:
    """Reads a file whole."""
    return await read_file(storage, handle, max_bytes=1 << 30, payer=payer)


@dataclass
class CountingPayer:
    """Counts what is taken; gives nothing while there is no room."""

    taken: int = 0
    peak: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.room.set()

    async def take(self, amount: int) -> None:
        await self.room.wait()
        self.taken += amount
        self.peak = max(self.peak, self.taken)

    def give_back(self, amount: int) -> None:
        self.taken -= amount
        assert self.taken >= 0


class Unchanged:
    """That no descriptor and no task is left which was not there when this was made."""

    def __init__(self) -> None:
        self._descriptors = open_descriptors()
        self._tasks = asyncio.all_tasks()

    async def check(self) -> None:
        async with asyncio.timeout(CLOSING_SECONDS):
            await settle_until(lambda: open_descriptors() <= self._descriptors)
            await settle_until(lambda: asyncio.all_tasks() <= self._tasks)


class ReadingContract:
    """The tests.

    A storage that cannot tell why it was refused has another error where a file is missing; one whose
    listings tell names only has no tags.
    """

    missing: type[RestoreError] = MissingFileError
    lies_as_read: bool = True
    tells_tags: bool = True

    @pytest.fixture
    def open_storage(self) -> OpenStorage:
        """To be given by the backend."""
        raise NotImplementedError

    @pytest.fixture
    def storage(self, open_storage: OpenStorage) -> Storage:
        return open_storage("backups")

    @pytest.fixture
    def place_file(self, storage: Storage) -> PlaceFile:
        """To be given by the backend."""
        raise NotImplementedError

    @pytest.fixture
    def replace_metadata(self, storage: Storage, place_file: PlaceFile) -> PlaceFile:
        """To be given by the backend: places a metadata file where one is, at another time."""
        raise NotImplementedError

    @pytest.mark.parametrize("size", SIZES)
    async def test_a_file_is_read_back_as_it_is(
        self, storage: Storage, place_file: PlaceFile, size: int
    ) -> None:
        data = content(size)
        handle = "epoch_ending_0-.0a1b/0-.chunk"
        await place_file(handle, data)
        assert await get(storage, handle) == data
        if self.lies_as_read:
            assert await storage.size_of(handle) in {size, None}
        async with storage.open_for_read(handle) as reader:
            assert reader.size in {size, None}
            pieces = []
            while piece := await reader.read_piece():
                pieces.append(bytes(piece))
            assert await reader.read_piece() == b""
        assert b"".join(pieces) == data
        assert all(len(piece) <= WHOLE_BYTES for piece in pieces)

    async def test_a_large_file_is_read_within_what_its_payer_paid(
        self, storage: Storage, place_file: PlaceFile
    ) -> None:
        data = content(2 * PART_BYTES + 5)
        await place_file("abc.0000/one.chunk", data)
        payer = CountingPayer()
        position = 0
        async with storage.open_for_read("abc.0000/one.chunk", payer=payer) as reader:
            while piece := await reader.read_piece():
                assert len(piece) <= payer.taken
                assert piece == data[position : position + len(piece)]
                position += len(piece)
                payer.give_back(len(piece))
        assert position == len(data)
        assert payer.taken == 0
        assert 0 < payer.peak <= WHOLE_BYTES

    async def test_many_files_of_many_backups_stay_apart(
        self, storage: Storage, place_file: PlaceFile
    ) -> None:
        files = {
            f"backup_{backup}.000{backup}/file_{number}": content(100 * backup + number, seed=number)
            for backup in range(4)
            for number in range(4)
        }
        for handle, data in files.items():
            await place_file(handle, data)
        read = await asyncio.gather(*(get(storage, handle) for handle in files))
        assert dict(zip(files, read, strict=True)) == files

    async def test_the_longest_name_is_accepted(self, storage: Storage, place_file: PlaceFile) -> None:
        handle = f"{'x' * 127}/{'Y._-9' * 25}zz"
        await place_file(handle, b"data")
        assert await get(storage, handle) == b"data"
        await place_file(f"metadata/{'z' * 127}", b"line\n")
        assert await storage.list_metadata_files() == [f"metadata/{'z' * 127}"]

    @pytest.mark.parametrize("handle", UNSAFE_HANDLES)
    async def test_an_unsafe_handle_is_refused(
        self, storage: Storage, place_file: PlaceFile, handle: str
    ) -> None:
        await place_file("abc/def", b"data")
        with pytest.raises(UnsafePathError) as opening:
            async with storage.open_for_read(handle):
                pass
        with pytest.raises(UnsafePathError) as asking:
            await storage.size_of(handle)
        for refusal in (opening, asking):
            assert refusal.value.exit_code == 20
            assert refusal.value.file is not None
            assert str(refusal.value).isprintable()

    @pytest.mark.parametrize(
        "handle", ["abc.0000/gone.chunk", "gone.0000/0-.chunk", "gone", "abc.0000/one/two"]
    )
    async def test_a_missing_file_is_named(
        self, storage: Storage, place_file: PlaceFile, handle: str
    ) -> None:
        await place_file("abc.0000/one", b"data")
        payer = CountingPayer()
        with pytest.raises(self.missing) as refusal:
            await get(storage, handle, payer=payer)
        assert refusal.value.file == handle
        assert payer.taken == 0
        if self.missing is MissingFileError:
            with pytest.raises(MissingFileError) as refusal:
                await storage.size_of(handle)
            assert refusal.value.file == handle
        else:
            assert await storage.size_of(handle) is None

    async def test_a_folder_is_not_a_file(self, storage: Storage, place_file: PlaceFile) -> None:
        await place_file("abc.0000/one", b"data")
        with pytest.raises(self.missing):
            await get(storage, "abc.0000")

    async def test_readers_do_not_disturb_each_other(self, storage: Storage, place_file: PlaceFile) -> None:
        files = [(f"abc.0000/{number}-.chunk", content(2 * PIECE_BYTES + number)) for number in range(3)]
        for handle, data in files:
            await place_file(handle, data)
        async with AsyncExitStack() as stack:
            readers = [
                (await stack.enter_async_context(storage.open_for_read(handle)), data)
                for handle, data in files * 3
            ]
            # All of them take a piece, and another, so that each is in the midst of its file all the time.
            rounds = []
            for _ in range(10):
                pieces = await asyncio.gather(*(reader.read_piece() for reader, _ in readers))
                rounds.append([bytes(piece) for piece in pieces])
        for number, (_, data) in enumerate(readers):
            assert b"".join(pieces[number] for pieces in rounds) == data

    @pytest.mark.parametrize("count", [0, 1])
    async def test_a_file_left_early_leaves_nothing_open_and_is_paid_back(
        self, storage: Storage, place_file: PlaceFile, count: int
    ) -> None:
        data = content(PART_BYTES + 3 * PIECE_BYTES)
        await place_file("abc.0000/one.chunk", data)
        payer = CountingPayer()
        assert len(await get(storage, "abc.0000/one.chunk")) == len(data)
        before = Unchanged()
        for _ in range(3):
            async with storage.open_for_read("abc.0000/one.chunk", payer=payer) as reader:
                pieces = [bytes(await reader.read_piece()) for _ in range(count)]
            assert payer.taken == sum(len(piece) for piece in pieces)  # those are the receiver's
            payer.give_back(payer.taken)
            assert data.startswith(b"".join(pieces))
        await before.check()
        assert await get(storage, "abc.0000/one.chunk") == data

    async def test_what_a_reader_s_block_raises_passes_unchanged(
        self, storage: Storage, place_file: PlaceFile
    ) -> None:
        await place_file("abc.0000/one.chunk", b"data")
        payer = CountingPayer()
        assert await get(storage, "abc.0000/one.chunk") == b"data"
        before = Unchanged()
        for error in (OSError("not the storage's"), RestoreError("not the storage's"), ValueError("x")):
            with pytest.raises(type(error)) as caught:
                async with storage.open_for_read("abc.0000/one.chunk", payer=payer):
                    raise error
            assert caught.value is error
            assert getattr(error, "file", None) is None
        assert payer.taken == 0
        await before.check()

    async def test_a_reader_cancelled_at_any_wait_leaves_nothing_open_and_is_paid_back(
        self, storage: Storage, place_file: PlaceFile
    ) -> None:
        data = content(2 * PIECE_BYTES)
        await place_file("abc.0000/one.chunk", data)
        payer = CountingPayer()

        async def read() -> None:
            assert await get(storage, "abc.0000/one.chunk", payer=payer) == data
            payer.give_back(len(data))

        async def check() -> None:
            assert payer.taken == 0
            await before.check()

        await read()
        before = Unchanged()
        assert await cancel_at_every_wait(read, check) >= 3
        await check()

    async def test_metadata_is_listed_sorted_and_read(self, storage: Storage, place_file: PlaceFile) -> None:
        files = {
            f"metadata/transaction_{number}-{number}.meta": f"{LINE}\n".encode() * number
            for number in (12, 1, 7, 3)
        }
        for handle, data in files.items():
            await place_file(handle, data)
            assert handle in await storage.list_metadata_files()
        for handle in ("abc.0000/one.meta", "metadata_b/one.meta", "metadata_backup/one.meta"):
            await place_file(handle, b"not metadata")
        assert await storage.list_metadata_files() == sorted(files)
        assert {handle: await get(storage, handle) for handle in files} == files

    async def test_a_tag_stays_as_long_as_the_content_does(
        self, open_storage: OpenStorage, storage: Storage, place_file: PlaceFile
    ) -> None:
        for handle in ("metadata/b.meta", "metadata/c.meta"):
            await place_file(handle, b"line\n")
        tags = await storage.list_metadata()
        assert list(tags) == ["metadata/b.meta", "metadata/c.meta"]
        for handle, tag in tags.items():
            assert bool(tag) is self.tells_tags
            assert len(tag) <= MAX_TAG_CHARACTERS
            assert tag == "" or tag.isprintable()
            await get(storage, handle)
        for handle in ("metadata/a.meta", "metadata/d.meta"):
            await place_file(handle, b"line\n")
        later = await open_storage("backups").list_metadata()
        assert list(later) == [f"metadata/{name}.meta" for name in "abcd"]
        assert {handle: later[handle] for handle in tags} == tags

    async def test_other_content_of_the_same_size_has_another_tag(
        self, storage: Storage, place_file: PlaceFile, replace_metadata: PlaceFile
    ) -> None:
        for handle in ("metadata/changes.meta", "metadata/stays.meta"):
            await place_file(handle, b"line\n")
        before = await storage.list_metadata()
        await replace_metadata("metadata/changes.meta", b"enil\n")
        after = await storage.list_metadata()
        changed = {handle for handle in before if before[handle] != after[handle]}
        assert changed == ({"metadata/changes.meta"} if self.tells_tags else set())
        assert await get(storage, "metadata/changes.meta") == b"enil\n"

    async def test_a_storage_without_metadata_lists_none_or_says_so(
        self, storage: Storage, place_file: PlaceFile
    ) -> None:
        await place_file("abc.0000/one.chunk", b"data")
        with suppress(EmptyStorageError):
            assert await storage.list_metadata_files() == []

    async def test_listing_cancelled_at_any_wait_leaves_nothing_open(
        self, storage: Storage, place_file: PlaceFile
    ) -> None:
        await place_file("metadata/some.meta", b"line\n")

        async def list_files() -> None:
            assert await storage.list_metadata_files() == ["metadata/some.meta"]

        await list_files()
        before = Unchanged()
        assert await cancel_at_every_wait(list_files, before.check) >= 1

    async def test_a_place_has_one_identity(self, open_storage: OpenStorage) -> None:
        assert open_storage("here").identity == open_storage("here").identity
        assert open_storage("here").identity != open_storage("there").identity
