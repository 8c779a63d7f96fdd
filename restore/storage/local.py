"""A backup in a local folder: the LocalFs layout, read through aiofiles, written durably.

    ROOT/<backup>/<file>             data, proofs, manifests
    ROOT/metadata/<name>.meta        metadata
    ROOT/metadata_backup/<name>.meta retired metadata

Source: spec/backup-format.md 1.1.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar, TypeVarTuple

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO

from cache.atomic import DurableFile, make_directory_durably, sync_folder
from restore.errors import (
    AccessDeniedError,
    DiskFullError,
    EmptyStorageError,
    ManifestError,
    MissingFileError,
    ResourceError,
    RestoreError,
    StorageUnavailableError,
    UnsafePathError,
    UsageError,
)
from restore.flow.threads import in_thread, shielded
from restore.storage.base import (
    PIECE_BYTES,
    UNMETERED,
    BackupHandle,
    FileHandle,
    FileReader,
    FileWriter,
    Payer,
    Piece,
    Storage,
)
from restore.storage.buffers import Buffers, buffer_bytes
from restore.storage.names import METADATA_FOLDER, RETIRED_FOLDER, check_handle, check_name

Opener: TypeAlias = Callable[[str, int], int]
"""As `os.open`: a path and flags, a descriptor."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BUFFERED_BYTES = 16 << 20
"""A file that is not longer is read as a whole, so that it can be unpacked as a whole."""

_ERRORS: dict[int, type[RestoreError]] = {
    errno.ENOENT: MissingFileError,
    errno.ENOTDIR: MissingFileError,
    errno.EISDIR: MissingFileError,
    errno.ENAMETOOLONG: MissingFileError,
    errno.ELOOP: UnsafePathError,
    errno.EEXIST: ManifestError,
    errno.EACCES: AccessDeniedError,
    errno.EPERM: AccessDeniedError,
    errno.EROFS: AccessDeniedError,
    errno.ENOSPC: DiskFullError,
    errno.EDQUOT: DiskFullError,
    errno.EFBIG: DiskFullError,
    errno.EMFILE: ResourceError,
    errno.ENFILE: ResourceError,
    errno.ENOMEM: ResourceError,
}


class LocalFs(Storage):
    """A backup in the folder `root`.

    Args:
        root: the folder.
        opener: opens files for reading; `os.open` unless a test says otherwise.
        buffers: where files go that are read as a whole.

    Cancellation: a call that a thread has begun is awaited to its end; no file stays open.
    Bounds: threads are those of the event loop, which ends them when it is closed.
    """

    def __init__(self, root: Path, *, opener: Opener = os.open, buffers: Buffers | None = None) -> None:
        self._root = root
        self._opener = opener
        self._buffers = buffers or Buffers()

    @property
    def identity(self) -> str:
        """The folder's path, absolute and without links."""
        # A path may be any bytes, and an identity is kept as text.
        path = os.fsencode(os.path.realpath(self._root)).decode(errors="backslashreplace")
        return f"file://{path}"

    @asynccontextmanager
    async def open_for_read(
        self, handle: FileHandle, *, payer: Payer = UNMETERED
    ) -> AsyncIterator[FileReader]:
        """Opens a file for the length of a block; see `Storage`."""
        path = self._root / check_handle(handle)
        opened: list[AsyncFileIO] = []

        def open_inside(_path: str, flags: int) -> int:
            return self._opener(str(self._inside(handle)), flags)

        async def open_file() -> None:
            opened.append(await aiofiles.open(path, "rb", buffering=0, opener=open_inside))

        try:
            with _failures(handle):
                # The result of a shielded call is lost when its caller is cancelled; `opened` keeps the file.
                await shielded(open_file())
            reader = _LocalReader(handle, opened[0], payer, self._buffers)
            try:
                yield reader
            finally:
                reader.close()
        finally:
            for file in opened:
                with _failures(handle):
                    await shielded(file.close())

    async def size_of(self, handle: FileHandle) -> int | None:
        """Bytes of a file; see `Storage`."""
        with _failures(handle):
            return await in_thread(lambda: self._inside(handle).stat().st_size)

    async def create_backup(self, name: str) -> BackupHandle:
        """Creates the backup's folder, durably."""
        with _failures(name):
            await in_thread(make_directory_durably, self._root / check_name(name))
        return name

    @asynccontextmanager
    async def create_for_write(self, backup: BackupHandle, name: str) -> AsyncIterator[FileWriter]:
        """Writes a new file in a block; see `Storage`."""
        handle = f"{check_name(backup)}/{check_name(name)}"
        file = DurableFile(self._root / handle, overwrite=False)
        try:
            with _failures(handle):
                await in_thread(file.open)
            yield _LocalWriter(handle, file)
            with _failures(handle):
                await in_thread(file.publish)
        finally:
            with _failures(handle):
                await in_thread(file.discard)

    async def save_metadata(self, name: str, data: bytes) -> FileHandle:
        """Writes one metadata file; see `Storage`."""
        handle = f"{METADATA_FOLDER}/{check_name(name)}"
        with _failures(handle):
            await in_thread(self._save_new, handle, data)
        return handle

    async def list_metadata(self) -> dict[FileHandle, str]:
        """The handles of all metadata files, sorted, with tags from what the file system knows.

        Raises:
            EmptyStorageError: there is no folder, or none for metadata.
            UnsafePathError: a name that no handle can have.
            AccessDeniedError, StorageUnavailableError: it cannot be listed.
        """
        folder = self._root / METADATA_FOLDER
        with _failures(str(folder)):
            try:
                return await in_thread(_list_metadata, folder)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise EmptyStorageError("storage holds no backup", file=str(folder)) from error

    async def backup_metadata_file(self, handle: FileHandle) -> None:
        """Moves a metadata file to the retired ones, durably.

        Raises:
            UsageError: it is another file's handle.
        """
        folder, _, name = handle.rpartition("/")
        if folder != METADATA_FOLDER:
            raise UsageError("only metadata files can be retired", file=handle)
        with _failures(handle):
            await in_thread(self._retire, check_handle(handle), name)

    def _inside(self, handle: FileHandle) -> Path:
        """Where a handle leads: to a file inside the folder, whatever links lie on the way.

        Raises:
            UnsafePathError: it leaves the folder, or its links never end.
            MissingFileError: what is there is no file.
        """
        path = self._root / check_handle(handle)
        try:
            real = path.resolve(strict=True)
        except RuntimeError as error:  # what Python 3.11 and 3.12 say of a loop of links
            raise UnsafePathError("links never end", file=handle) from error
        if not real.is_relative_to(self._root.resolve()):
            raise UnsafePathError("link leads out of the storage", file=handle, found=real)
        if not stat.S_ISREG(real.stat().st_mode):
            # A folder cannot be read; to open a named pipe would never end.
            raise MissingFileError("not a file", file=handle)
        return real

    def _save_new(self, handle: FileHandle, data: bytes) -> None:
        """Writes a metadata file that may be there already with the same content."""
        path = self._root / handle
        make_directory_durably(path.parent)
        try:
            # Other tools list whatever is in the folder of metadata: unfinished files stay out of it.
            with DurableFile(path, overwrite=False, temporary_folder=self._root) as file:
                file.write(data)
        except FileExistsError:
            if self._inside(handle).read_bytes() != data:
                raise ManifestError(
                    "metadata file exists with other content",
                    hint="it is kept; give the new one another name",
                ) from None

    def _retire(self, handle: FileHandle, name: str) -> None:
        self._inside(handle)
        retired = self._root / RETIRED_FOLDER
        make_directory_durably(retired)
        (self._root / handle).replace(retired / name)
        sync_folder(retired)
        sync_folder(self._root / METADATA_FOLDER)


class _LocalReader(FileReader):
    def __init__(self, handle: FileHandle, file: AsyncFileIO, payer: Payer, buffers: Buffers) -> None:
        self._handle = handle
        self._file = file
        self._payer = payer
        self._buffers = buffers
        self._buffer: memoryview | None = None  # of the piece that somebody looks at
        self._at = 0

    @property
    def size(self) -> int:
        with _failures(self._handle):
            return os.fstat(self._file.fileno()).st_size

    async def read_piece(self) -> Piece:
        self._let_go()
        size = self.size
        if not self._at and 0 < size <= BUFFERED_BYTES:
            return await self._read_whole(size)
        await self._payer.take(PIECE_BYTES)
        piece = b""
        try:
            with _failures(self._handle):
                # Shielded: the descriptor must not be closed under a thread that still reads from it.
                piece = await shielded(self._file.read(PIECE_BYTES))
        finally:
            self._payer.give_back(PIECE_BYTES - len(piece))
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Gives back the buffer of a piece."""
        self._let_go()

    async def _read_whole(self, size: int) -> Piece:
        """The file, if it is not longer than it was; if it is, the rest comes in pieces."""
        room = buffer_bytes(size)
        await self._payer.take(room)
        self._buffer = self._buffers.lend(size)
        kept = 0
        try:
            with _failures(self._handle):
                while read := await shielded(self._file.readinto(self._buffer[self._at : size])):
                    self._at += read
            kept = self._at
        finally:
            self._payer.give_back(room - kept)
        return self._buffer[:kept]

    def _let_go(self) -> None:
        if self._buffer is not None:
            self._buffers.give_back(self._buffer)
            self._buffer = None


class _LocalWriter(FileWriter):
    def __init__(self, handle: FileHandle, file: DurableFile) -> None:
        self._handle = handle
        self._file = file

    @property
    def handle(self) -> FileHandle:
        return self._handle

    async def write(self, data: bytes) -> None:
        with _failures(self._handle):
            await in_thread(self._file.write, data)


def _list_metadata(folder: Path) -> dict[FileHandle, str]:
    with os.scandir(folder) as entries:
        found = {
            check_handle(f"{METADATA_FOLDER}/{entry.name}"): _tag_of(entry)
            for entry in entries
            if not entry.name.startswith(".")
        }
    return dict(sorted(found.items()))


def _tag_of(entry: os.DirEntry[str]) -> str:
    """Changes when the file is written again, or replaced: maybe by a copy that has its age and its size.

    The time of the last change of status is left out: to link a file, or to give it away, changes that too.
    """
    try:
        told = entry.stat()
    except OSError:
        return ""  # a link that leads nowhere, a file that is gone: reading it says so
    return f"{told.st_mtime_ns}-{told.st_size}-{told.st_ino}"


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
