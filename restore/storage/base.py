"""What a backup storage does: moves bytes behind opaque handles; knows no ledger types.

Source: spec/backup-format.md section 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from restore.errors import FormatError

FileHandle: TypeAlias = str
"""Names a file for good; in all known storages `<folder>/<name>`."""

BackupHandle: TypeAlias = str
"""Names a backup's folder while it is written."""

PIECE_BYTES = 1 << 20
"""A read is this long at most: longer ones gain nothing, shorter ones pay for the hop to a thread."""


class FileReader(ABC):
    """An open file."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """Bytes of the whole file, where the storage knows."""

    @abstractmethod
    async def read_piece(self) -> bytes:
        """The next bytes, at most `PIECE_BYTES`; empty at the end.

        Raises:
            StorageUnavailableError: the storage failed.
        """


class FileWriter(ABC):
    """A file being written."""

    @property
    @abstractmethod
    def handle(self) -> FileHandle:
        """The handle it will have."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Appends `data`.

        Raises:
            DiskFullError: there is no room.
        """


class Storage(ABC):
    """A place that holds backups. Every error is one of `restore.errors`."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Says which storage this is, the same for the same place."""

    @abstractmethod
    def open_for_read(self, handle: FileHandle) -> AbstractAsyncContextManager[FileReader]:
        """Opens a file for the length of a block.

        Raises:
            MissingFileError: it is not there.
            UnsafePathError: the handle leaves the storage.
            AccessDeniedError: it may not be read.

        Cancellation: the file is closed.
        Bounds: one descriptor; one piece in memory.
        """

    @abstractmethod
    async def size_of(self, handle: FileHandle) -> int | None:
        """Bytes of a file, where the storage tells without reading it.

        Raises:
            MissingFileError: it is not there.
        """

    @abstractmethod
    async def create_backup(self, name: str) -> BackupHandle:
        """Makes room for the files of one backup."""

    @abstractmethod
    def create_for_write(self, backup: BackupHandle, name: str) -> AbstractAsyncContextManager[FileWriter]:
        """Writes a new file in a block: visible and durable when it ends well; else nothing remains.

        Raises:
            ManifestError: the file is there already.
        """

    @abstractmethod
    async def save_metadata_lines(self, name: str, lines: Sequence[str]) -> FileHandle:
        """Writes one metadata file; the same content may be there already.

        Raises:
            ManifestError: other content is there.
        """

    @abstractmethod
    async def list_metadata_files(self) -> list[FileHandle]:
        """The handles of all metadata files, sorted; a failed listing raises and is never an empty one."""

    @abstractmethod
    async def backup_metadata_file(self, handle: FileHandle) -> None:
        """Moves a metadata file out of the listing."""


async def read_file(storage: Storage, handle: FileHandle, *, max_bytes: int) -> bytes:
    """Reads a small file whole.

    Raises:
        FormatError: it is longer than `max_bytes`; at most one piece beyond that was read.
    """
    pieces: list[bytes] = []
    room = max_bytes
    async with storage.open_for_read(handle) as reader:
        while piece := await reader.read_piece():
            room -= len(piece)
            if room < 0:
                raise FormatError(
                    "file is too long for what it is", file=handle, expected=f"{max_bytes} bytes at most"
                )
            pieces.append(piece)
    return b"".join(pieces)
