"""A backup in a bucket or behind a web server: every request tried again, every transfer watched.

Objects have the names that handles are. They are read part by part (`transfer.py`), each pinned to the
content that the first answer named. What is written is spooled to a nameless temporary file first, for two
reasons: the storage wants to be told its size, and a try that failed can be made again.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import IO, TypeVar

from restore.errors import EmptyStorageError, ManifestError, ThrottledError, TransientStorageError, UsageError
from restore.flow.rate import Rate
from restore.flow.retry import Retry
from restore.flow.threads import in_thread
from restore.report.events import Report
from restore.storage.base import (
    UNMETERED,
    BackupHandle,
    FileHandle,
    FileReader,
    FileWriter,
    Payer,
    Piece,
    Storage,
)
from restore.storage.buffers import Buffers
from restore.storage.names import METADATA_FOLDER, RETIRED_FOLDER, check_handle, check_name
from restore.storage.origin import Origin, Pin
from restore.storage.paging import Page, files_of_pages
from restore.storage.race import Course
from restore.storage.transfer import Means, Part

T = TypeVar("T")


class RemoteStorage(Storage):
    """The objects of `origin` as a storage.

    Args:
        origin: answers requests.
        report: takes events.
        rate: the bandwidth limit for reading, where there is one.
        retry: tries requests again.
        buffers: where bytes go.

    Bounds: for each file open for reading two connections, and one part that its payer pays for; for each one
        open for writing a temporary file of its size.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        report: Report,
        rate: Rate | None = None,
        retry: Retry | None = None,
        buffers: Buffers | None = None,
    ) -> None:
        self._origin = origin
        self._retry = retry or Retry(report)
        self._means = Means(origin, self._retry, Course(report), rate, buffers or Buffers())
        self._opened = 0

    @property
    def identity(self) -> str:
        """The origin's."""
        return self._origin.identity

    @property
    def descriptors_per_file(self) -> int:
        """Two connections: a late transfer is asked for twice."""
        return 2

    @asynccontextmanager
    async def open_for_read(
        self, handle: FileHandle, *, payer: Payer = UNMETERED
    ) -> AsyncIterator[FileReader]:
        """Opens a file for the length of a block, and has its first part here; see `Storage`."""
        check_handle(handle)
        self._opened += 1
        reader = _RemoteReader(self._means, handle, age=self._opened, payer=payer)
        try:
            await reader.begin()
            yield reader
        finally:
            reader.close()

    async def size_of(self, handle: FileHandle) -> int:
        """Bytes of the object; see `Storage`."""
        check_handle(handle)
        pin = await self._tried(handle, lambda: self._origin.head(handle))
        return pin.size

    async def create_backup(self, name: str) -> BackupHandle:
        """Does nothing: objects need no folder."""
        return check_name(name)

    @asynccontextmanager
    async def create_for_write(self, backup: BackupHandle, name: str) -> AsyncIterator[FileWriter]:
        """Writes a new object in a block; see `Storage`."""
        handle = f"{check_name(backup)}/{check_name(name)}"
        with tempfile.TemporaryFile() as spool:
            yield _RemoteWriter(handle, spool)
            await self._put(handle, spool)

    async def save_metadata(self, name: str, data: bytes) -> FileHandle:
        """Writes one metadata file; see `Storage`."""
        handle = f"{METADATA_FOLDER}/{check_name(name)}"
        with tempfile.TemporaryFile() as spool:
            await in_thread(spool.write, data)
            await self._put(handle, spool, may_exist=True)
        return handle

    async def list_metadata(self) -> dict[FileHandle, str]:
        """The handles of all metadata files, sorted, with the tags that the origin lists.

        Raises:
            EmptyStorageError: there is nothing.
            UnsafePathError: a name that no handle can have.
        """

        async def ask(token: str) -> Page:
            return await self._tried(METADATA_FOLDER, lambda: self._origin.list_page(METADATA_FOLDER, token))

        files = await files_of_pages(ask, folder=METADATA_FOLDER)
        if not files:
            raise EmptyStorageError("storage holds no backup", file=f"{self.identity}/{METADATA_FOLDER}")
        return {check_handle(f"{METADATA_FOLDER}/{name}"): tag for name, tag in sorted(files.items())}

    async def backup_metadata_file(self, handle: FileHandle) -> None:
        """Moves a metadata file to the retired ones.

        Raises:
            UsageError: it is another file's handle.
        """
        folder, _, name = handle.rpartition("/")
        if folder != METADATA_FOLDER:
            raise UsageError("only metadata files can be retired", file=handle)
        check_handle(handle)
        await self._tried(handle, lambda: self._origin.move(handle, f"{RETIRED_FOLDER}/{name}"))

    async def _tried(self, file: str, request: Callable[[], Awaitable[T]]) -> T:
        return await self._retry.run(request, file=file)

    async def _put(self, handle: FileHandle, spool: IO[bytes], *, may_exist: bool = False) -> None:
        """Writes what is in `spool`, unless the object is there.

        Raises:
            ManifestError: it is, with other content; or with the same, unless it `may_exist` or we wrote it:
                a try whose answer was lost may have come to its end at the storage.
        """
        size = spool.seek(0, 2)
        ours = may_exist

        async def put() -> None:
            nonlocal ours
            spool.seek(0)
            try:
                await self._origin.put(handle, spool, size, replace=False)
            except (TransientStorageError, ThrottledError):
                ours = True
                raise

        try:
            await self._tried(handle, put)
        except ManifestError:
            if not (ours and await self._holds(handle, spool)):
                raise

    async def _holds(self, handle: FileHandle, spool: IO[bytes]) -> bool:
        """Whether the object's bytes are those in `spool`."""
        spool.seek(0)
        async with self.open_for_read(handle) as reader:
            while piece := await reader.read_piece():
                if await in_thread(spool.read, len(piece)) != piece:
                    return False
        return not await in_thread(spool.read, 1)


class _RemoteReader(FileReader):
    def __init__(self, means: Means, handle: FileHandle, *, age: int, payer: Payer) -> None:
        self._means = means
        self._handle = handle
        self._age = age
        self._payer = payer
        self._part = self._part_at(0, None)
        self._bytes = memoryview(b"")
        self._handed_out = False

    async def begin(self) -> None:
        """Fetches the first part, which shows whether there is such a file."""
        self._bytes = await self._part.fetch()

    @property
    def size(self) -> int | None:
        return None if self._part.pin is None else self._part.pin.size

    async def read_piece(self) -> Piece:
        if self._handed_out:
            part = self._part
            part.close(handed_out=True)
            self._part, self._handed_out = self._part_at(part.start + part.filled, part.pin), False
            self._bytes = await self._part.fetch()
        self._handed_out = True
        return self._bytes

    def close(self) -> None:
        """Lets go of everything."""
        self._part.close(handed_out=self._handed_out)

    def _part_at(self, start: int, pin: Pin | None) -> Part:
        return Part(self._means, self._handle, age=self._age, start=start, pin=pin, payer=self._payer)


class _RemoteWriter(FileWriter):
    def __init__(self, handle: FileHandle, spool: IO[bytes]) -> None:
        self._handle = handle
        self._spool = spool

    @property
    def handle(self) -> FileHandle:
        return self._handle

    async def write(self, data: bytes) -> None:
        await in_thread(self._spool.write, data)
