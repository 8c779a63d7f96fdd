"""A backup in a local folder: the LocalFs layout, read through aiofiles, written durably.

    ROOT/<backup>/<file>             data, proofs, manifests
    ROOT/metadata/<name>.meta        metadata
    ROOT/metadata_backup/<name>.meta retired metadata

Source: spec/backup-format.md 1.1.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeAlias

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO

from cache.atomic import DurableFile, make_directory_durably, sync_folder
from restore.errors import (
    AccessDeniedError,
    DiskFullError,
    EmptyStorageError,
    ManifestError,
    MissingFileError,
    RestoreError,
    StorageUnavailableError,
    UnsafePathError,
)
from restore.flow.threads import shielded
from restore.storage.base import PIECE_BYTES, BackupHandle, FileHandle, FileReader, FileWriter, Storage
from restore.storage.names import METADATA_FOLDER, check_handle, check_line, check_name

RETIRED_FOLDER = "metadata_backup"

Opener: TypeAlias = Callable[[str, int], int]
"""As `os.open`: a path and flags, a descriptor."""

_ERRORS: dict[int, type[RestoreError]] = {
    errno.ENOENT: MissingFileError,
    errno.ENOTDIR: MissingFileError,
    errno.EISDIR: MissingFileError,
    errno.ELOOP: UnsafePathError,
    errno.EACCES: AccessDeniedError,
    errno.EPERM: AccessDeniedError,
    errno.EROFS: AccessDeniedError,
    errno.ENOSPC: DiskFullError,
    errno.EDQUOT: DiskFullError,
    errno.EFBIG: DiskFullError,
    errno.EEXIST: ManifestError,
}


class LocalFs(Storage):
    """A backup in the folder `root`.

    Args:
        root: the folder.
        opener: opens files for reading; `os.open` unless a test says otherwise.
    """

    def __init__(self, root: Path, *, opener: Opener = os.open) -> None:
        self._root = root
        self._opener = opener

    @property
    def identity(self) -> str:
        """The folder's absolute path."""
        return f"file://{self._root.absolute()}"

    @asynccontextmanager
    async def open_for_read(self, handle: FileHandle) -> AsyncIterator[FileReader]:
        """Opens a file for the length of a block; see `Storage`."""
        path = await asyncio.to_thread(self._path, handle)
        with _failures(handle):
            # Closing is one more hop to a thread: shielded, so that a cancelled reader closes its file too.
            file = await shielded(aiofiles.open(path, "rb", buffering=0, opener=self._opener))
        try:
            with _failures(handle):
                yield _LocalReader(handle, file, os.fstat(file.fileno()).st_size)
        finally:
            await shielded(file.close())

    async def size_of(self, handle: FileHandle) -> int | None:
        """Bytes of a file; see `Storage`."""
        path = await asyncio.to_thread(self._path, handle)
        with _failures(handle):
            return path.stat().st_size

    async def create_backup(self, name: str) -> BackupHandle:
        """Creates the backup's folder, durably."""
        with _failures(name):
            await shielded(asyncio.to_thread(make_directory_durably, self._root / check_name(name)))
        return name

    @asynccontextmanager
    async def create_for_write(self, backup: BackupHandle, name: str) -> AsyncIterator[FileWriter]:
        """Writes a new file in a block; see `Storage`."""
        handle = f"{check_name(backup)}/{check_name(name)}"
        file = DurableFile(self._root / handle, overwrite=False)
        with _failures(handle):
            await shielded(asyncio.to_thread(file.__enter__))
            try:
                yield _LocalWriter(handle, file)
            except BaseException as error:
                await shielded(asyncio.to_thread(file.__exit__, type(error), error, None))
                raise
            await shielded(asyncio.to_thread(file.__exit__, None, None, None))

    async def save_metadata_lines(self, name: str, lines: Sequence[str]) -> FileHandle:
        """Writes one metadata file; see `Storage`."""
        handle = f"{METADATA_FOLDER}/{check_name(name)}"
        data = "".join(f"{check_line(line)}\n" for line in lines).encode()
        with _failures(handle):
            await shielded(asyncio.to_thread(_save_new, self._root / handle, data))
        return handle

    async def list_metadata_files(self) -> list[FileHandle]:
        """The handles of all metadata files, sorted.

        Raises:
            EmptyStorageError: there is no folder, or none for metadata.
            AccessDeniedError, StorageUnavailableError: it cannot be listed.
        """
        folder = self._root / METADATA_FOLDER
        with _failures(str(folder)):
            try:
                names = await asyncio.to_thread(os.listdir, folder)
            except FileNotFoundError as error:
                raise EmptyStorageError("storage holds no backup", file=str(folder)) from error
        return sorted(f"{METADATA_FOLDER}/{name}" for name in names if not name.startswith("."))

    async def backup_metadata_file(self, handle: FileHandle) -> None:
        """Moves a metadata file to the retired ones, durably."""
        path = await asyncio.to_thread(self._path, handle)
        with _failures(handle):
            await shielded(asyncio.to_thread(_retire, path, self._root / RETIRED_FOLDER))

    def _path(self, handle: FileHandle) -> Path:
        """Where a handle leads: inside the folder, whatever links lie on the way.

        Raises:
            UnsafePathError: it leaves the folder, or its links never end.
        """
        path = self._root / check_handle(handle)
        with _failures(handle):
            try:
                real = path.resolve(strict=True)
            except RuntimeError as error:  # what Python 3.11 and 3.12 say of a loop of links
                raise UnsafePathError("links never end", file=handle) from error
            if not real.is_relative_to(self._root.resolve()):
                raise UnsafePathError("link leads out of the storage", file=handle, found=real)
        return real


class _LocalReader(FileReader):
    def __init__(self, handle: FileHandle, file: AsyncFileIO, size: int) -> None:
        self._handle = handle
        self._file = file
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    async def read_piece(self) -> bytes:
        with _failures(self._handle):
            # Shielded: the descriptor must not be closed under a thread that still reads from it.
            return await shielded(self._file.read(PIECE_BYTES))


class _LocalWriter(FileWriter):
    def __init__(self, handle: FileHandle, file: DurableFile) -> None:
        self._handle = handle
        self._file = file

    @property
    def handle(self) -> FileHandle:
        return self._handle

    async def write(self, data: bytes) -> None:
        with _failures(self._handle):
            await shielded(asyncio.to_thread(self._file.write, data))


def _save_new(path: Path, data: bytes) -> None:
    """Writes a file that may be there already with the same content."""
    make_directory_durably(path.parent)
    try:
        with DurableFile(path, overwrite=False) as file:
            file.write(data)
    except FileExistsError:
        if path.read_bytes() != data:
            raise ManifestError(
                "metadata file exists with other content", hint="it is kept; give the new one another name"
            ) from None


def _retire(path: Path, folder: Path) -> None:
    make_directory_durably(folder)
    path.replace(folder / path.name)
    sync_folder(folder)
    sync_folder(path.parent)


@contextmanager
def _failures(file: str) -> Iterator[None]:
    """Turns an `OSError` into its typed error, naming the file."""
    try:
        yield
    except OSError as error:
        kind = _ERRORS.get(error.errno or 0, StorageUnavailableError)
        raise kind(f"cannot use the storage: {error.strerror or error}", file=file) from error
    except RestoreError as error:
        error.file = error.file or file
        raise
