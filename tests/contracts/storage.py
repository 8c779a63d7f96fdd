"""What every storage keeps to: a backend derives its test class from this one and gives `open_storage`.

One that is only read from derives from `reading.ReadingContract`, and places the files itself.
"""

from __future__ import annotations

import asyncio

import pytest

from restore.errors import FormatError, ManifestError, RestoreError, UnsafePathError, UsageError
from restore.storage.base import FileHandle, Storage
from tests.contracts.cancelling import cancel_at_every_wait
from tests.contracts.reading import (
    LINE,
    OpenStorage,
    PlaceFile,
    ReadingContract,
    Unchanged,
    content,
    get,
)

__all__ = ["LINE", "OpenStorage", "ReadingContract", "StorageContract", "content", "get", "put"]

UNSAFE_NAMES = [
    "", "a", "ab", ".", "..", ".hidden", "-m", "a b", "a\nb", "abc\n", "ab?", "a/b", "a\\b", "../abc",
    "x" * 128, "ab\x00", "naïve",
]  # fmt: skip
"""Those of the other tools' tests, and some more."""


async def put(storage: Storage, handle: FileHandle, data: bytes) -> FileHandle:
    """Writes a file whole."""
    backup, name = handle.split("/")
    async with storage.create_for_write(await storage.create_backup(backup), name) as file:
        await file.write(data)
    return file.handle


async def write_and_fail(storage: Storage, handle: FileHandle, error: Exception) -> None:
    """Writes a part of a file and raises."""
    backup, name = handle.split("/")
    async with storage.create_for_write(backup, name) as file:
        await file.write(b"some of it")
        raise error


class StorageContract(ReadingContract):
    """The tests.

    A storage that cannot tell why it was refused has another error where a file is missing or in the way.
    """

    existing: type[RestoreError] = ManifestError

    @pytest.fixture
    def place_file(self, storage: Storage) -> PlaceFile:
        """Written as any other."""

        async def place(handle: FileHandle, data: bytes) -> None:
            folder, _, name = handle.rpartition("/")
            if folder == "metadata":
                assert await storage.save_metadata(name, data) == handle
            else:
                assert await put(storage, handle, data) == handle

        return place

    @pytest.fixture
    def replace_metadata(self, storage: Storage, place_file: PlaceFile) -> PlaceFile:
        """Nothing is overwritten, so the one that is there is retired."""

        async def replace(handle: FileHandle, data: bytes) -> None:
            await storage.backup_metadata_file(handle)
            await place_file(handle, data)

        return replace

    async def is_there(self, storage: Storage, handle: FileHandle) -> bool:
        """Whether the file can be read."""
        try:
            async with storage.open_for_read(handle) as reader:
                await reader.read_piece()
                return True
        except self.missing:
            return False

    async def test_writes_are_joined(self, storage: Storage) -> None:
        backup = await storage.create_backup("abc.0000")
        parts = [content(size, seed=2) for size in (5, 0, 70_000, 1)]
        async with storage.create_for_write(backup, "one.chunk") as file:
            for part in parts:
                await file.write(part)
            assert file.handle == "abc.0000/one.chunk"
        assert await get(storage, "abc.0000/one.chunk") == b"".join(parts)

    async def test_a_backup_may_be_created_again(self, storage: Storage) -> None:
        await put(storage, "abc.0000/one.chunk", b"one")
        assert await storage.create_backup("abc.0000") == "abc.0000"
        assert await get(storage, "abc.0000/one.chunk") == b"one"

    @pytest.mark.parametrize("name", UNSAFE_NAMES)
    async def test_an_unsafe_name_is_refused(self, storage: Storage, name: str) -> None:
        backup = await storage.create_backup("abc.0000")
        with pytest.raises(UsageError):
            await storage.create_backup(name)
        with pytest.raises(UsageError):
            async with storage.create_for_write(backup, name):
                pass
        with pytest.raises(UsageError):
            async with storage.create_for_write(name, "one.chunk"):
                pass
        with pytest.raises(UsageError):
            await storage.save_metadata_lines(name, [LINE])

    async def test_a_file_cannot_be_seen_before_its_block_has_ended(self, storage: Storage) -> None:
        backup = await storage.create_backup("abc.0000")
        async with storage.create_for_write(backup, "one.chunk") as file:
            await file.write(b"some of it")
            assert not await self.is_there(storage, file.handle)
        assert await self.is_there(storage, file.handle)

    async def test_nothing_remains_of_a_file_whose_block_fails(self, storage: Storage) -> None:
        await storage.create_backup("abc.0000")
        assert not await self.is_there(storage, "abc.0000/one.chunk")  # a connection that stays open
        before = Unchanged()
        for error in (OSError("not the storage's"), RestoreError("not the storage's"), ValueError("x")):
            with pytest.raises(type(error)) as caught:
                await write_and_fail(storage, "abc.0000/one.chunk", error)
            assert caught.value is error
            assert getattr(error, "file", None) is None
            assert not await self.is_there(storage, "abc.0000/one.chunk")
        await before.check()
        await put(storage, "abc.0000/one.chunk", b"all of it")
        assert await get(storage, "abc.0000/one.chunk") == b"all of it"

    async def test_a_file_is_never_overwritten(self, storage: Storage) -> None:
        handle = await put(storage, "abc.0000/one.chunk", b"first")
        with pytest.raises(self.existing) as refusal:
            await put(storage, handle, b"second")
        assert refusal.value.file == handle
        assert await get(storage, handle) == b"first"

    async def test_of_two_writers_of_one_file_the_first_to_end_wins(self, storage: Storage) -> None:
        backup = await storage.create_backup("abc.0000")
        with pytest.raises(self.existing):
            async with storage.create_for_write(backup, "one.chunk") as late:
                await put(storage, late.handle, b"early")
        assert await get(storage, "abc.0000/one.chunk") == b"early"

    async def test_a_writer_cancelled_at_any_wait_leaves_all_or_nothing(self, storage: Storage) -> None:
        data = content(100_000)
        tries = iter(range(1000))
        handle = ""

        async def write() -> None:
            nonlocal handle
            handle = f"abc.0000/{next(tries)}-.chunk"
            async with storage.create_for_write("abc.0000", handle.split("/")[1]) as file:
                await file.write(data[:70_000])
                await file.write(data[70_000:])

        async def check() -> None:
            await before.check()
            if await self.is_there(storage, handle):
                assert await get(storage, handle) == data

        await get(storage, await put(storage, "abc.0000/other.chunk", b"data"))  # connections that stay open
        before = Unchanged()
        assert await cancel_at_every_wait(write, check) >= 3
        assert await get(storage, handle) == data
        await check()

    async def test_metadata_is_listed_and_read_line_by_line(self, storage: Storage) -> None:
        files = {f"transaction_{number}-{number}.meta": [LINE] * number for number in (12, 1, 7, 3)}
        handles = [await storage.save_metadata_lines(name, lines) for name, lines in files.items()]
        assert handles == [f"metadata/{name}" for name in files]
        assert await storage.list_metadata_files() == sorted(handles)
        for name, lines in files.items():
            data = await get(storage, f"metadata/{name}")
            assert data == "".join(f"{line}\n" for line in lines).encode()

    async def test_files_written_at_once_are_all_there_and_listed_at_once(self, storage: Storage) -> None:
        names = [f"some_{number}.meta" for number in range(12)]
        files = {f"abc.0000/{number}-.chunk": content(10_000 + number) for number in range(6)}
        await asyncio.gather(
            *(storage.save_metadata_lines(name, [LINE]) for name in names),
            *(put(storage, handle, data) for handle, data in files.items()),
        )
        assert await storage.list_metadata_files() == sorted(f"metadata/{name}" for name in names)
        assert {handle: await get(storage, handle) for handle in files} == files

    async def test_a_line_may_hold_any_characters_but_a_break(self, storage: Storage) -> None:
        lines = ["", " ", "naïve ☃ \t \x0b \x0c \x1c \x85 \u2028", "x" * 5000]
        handle = await storage.save_metadata_lines("some.meta", lines)
        assert (await get(storage, handle)).decode().split("\n") == [*lines, ""]
        for line in ("a\nb", "a\r", "\n"):
            with pytest.raises(FormatError):
                await storage.save_metadata_lines("other.meta", [line])
        assert await storage.list_metadata_files() == [handle]

    async def test_the_same_metadata_may_be_saved_again(self, storage: Storage) -> None:
        for _ in range(2):
            assert await storage.save_metadata_lines("some.meta", [LINE]) == "metadata/some.meta"
        assert await storage.list_metadata_files() == ["metadata/some.meta"]

    @pytest.mark.parametrize("lines", [[], ["other"], [LINE, LINE], [LINE[:-1]]])
    async def test_other_metadata_is_never_overwritten(self, storage: Storage, lines: list[str]) -> None:
        handle = await storage.save_metadata_lines("some.meta", [LINE])
        with pytest.raises(ManifestError) as refusal:
            await storage.save_metadata_lines("some.meta", lines)
        assert (refusal.value.exit_code, refusal.value.file) == (20, handle)
        assert await get(storage, handle) == f"{LINE}\n".encode()

    async def test_saving_metadata_cancelled_at_any_wait_leaves_all_or_nothing(
        self, storage: Storage
    ) -> None:
        tries = iter(range(1000))
        names: list[str] = []

        async def save() -> None:
            names.append(f"some_{next(tries)}.meta")
            await storage.save_metadata_lines(names[-1], [LINE])

        async def check() -> None:
            await before.check()
            listed = await storage.list_metadata_files()
            assert set(listed) <= {"metadata/first.meta", *(f"metadata/{name}" for name in names)}
            for handle in listed:
                assert await get(storage, handle) == f"{LINE}\n".encode()

        await get(storage, await storage.save_metadata_lines("first.meta", [LINE]))
        before = Unchanged()
        assert await cancel_at_every_wait(save, check) >= 1
        assert f"metadata/{names[-1]}" in await storage.list_metadata_files()

    async def test_a_retired_metadata_file_is_no_longer_listed(self, storage: Storage) -> None:
        first, second = [
            await storage.save_metadata_lines(name, [LINE]) for name in ("first.meta", "second.meta")
        ]
        await storage.backup_metadata_file(first)
        assert await storage.list_metadata_files() == [second]
        assert not await self.is_there(storage, first)
        assert await get(storage, "metadata_backup/first.meta") == f"{LINE}\n".encode()

    async def test_only_a_metadata_file_that_is_there_can_be_retired(self, storage: Storage) -> None:
        data = await put(storage, "abc.0000/one.chunk", b"data")
        await storage.save_metadata_lines("some.meta", [LINE])
        with pytest.raises(self.missing):
            await storage.backup_metadata_file("metadata/other.meta")
        for handle in (
            data,
            "some.meta",
            "metadata",
            "metadata/../metadata/some.meta",
            "metadata_backup/x.meta",
        ):
            with pytest.raises(UsageError):
                await storage.backup_metadata_file(handle)
        with pytest.raises(UnsafePathError):
            await storage.backup_metadata_file("metadata/..")
        assert await storage.list_metadata_files() == ["metadata/some.meta"]
        assert await get(storage, data) == b"data"
