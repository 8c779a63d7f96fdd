"""What a backup storage does: moves bytes behind opaque handles; knows no ledger types.

Source: spec/backup-format.md section 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias, TypeVar

from restore.errors import CorruptAnswerError, FormatError
from restore.report.events import Report, Retried, silent
from restore.storage.names import check_line

FileHandle: TypeAlias = str
"""Names a file for good; in all known storages `<folder>/<name>`."""

BackupHandle: TypeAlias = str
"""Names a backup's folder while it is written."""

Piece: TypeAlias = bytes | bytearray | memoryview
"""Bytes on loan: valid until the reader is asked for the next ones, or closed."""

PIECE_BYTES = 1 << 20
"""Read at once where bytes come as a stream: longer gains nothing, shorter pays for the hop to a thread."""

WHOLE_BYTES = 128 << 20
"""A piece is this long at most: a whole file, where unpacking it in one go is faster."""

CORRUPT_TRIES = 3
"""So often a file is fetched that arrives damaged; what is damaged where it lies stays damaged."""

T = TypeVar("T")


class Payer(Protocol):
    """Pays for the bytes that a reader holds; a `Lease` of the memory budget is one."""

    async def take(self, amount: int) -> None:
        """Takes `amount` bytes more, as soon as there is room."""

    def give_back(self, amount: int) -> None:
        """Gives `amount` bytes back."""


class _Unmetered:
    async def take(self, amount: int) -> None:
        """Counts nothing."""

    def give_back(self, amount: int) -> None:
        """Counts nothing."""


UNMETERED: Payer = _Unmetered()
"""Pays for small files, which are bounded by their kind."""


class FileReader(ABC):
    """An open file."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """Bytes of the whole file as it is read, where the storage knows."""

    @abstractmethod
    async def read_piece(self) -> Piece:
        """The next bytes, at most `WHOLE_BYTES`; empty at the end.

        They were taken from the file's payer, and whoever got them gives them back.

        Raises:
            StorageUnavailableError: the storage failed, after retries.
            CorruptAnswerError: the storage got the bytes wrong; those that came before are not to be used.
        """

    async def read_rest(self, watch: Callable[[Piece], object]) -> Piece:
        """All bytes that are left, in one buffer on loan until the reader is closed; paid for as pieces are.

        Args:
            watch: is shown the buffer each time it has grown, and may raise to stop the reading.

        Raises:
            StorageUnavailableError, CorruptAnswerError: as `read_piece`.
        """
        piece = await self.read_piece()
        if piece and len(piece) == self.size:
            watch(piece)
            return piece
        data = bytearray()
        while piece:
            data += piece
            watch(data)
            piece = await self.read_piece()
        return data

    @property
    def unpacking(self) -> float:
        """Seconds that went into unpacking so far."""
        return 0.0


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
    def open_for_read(
        self, handle: FileHandle, *, payer: Payer = UNMETERED
    ) -> AbstractAsyncContextManager[FileReader]:
        """Opens a file for the length of a block.

        Args:
            handle: the file.
            payer: pays for what the reader holds, and for the pieces until their receiver gives them back.

        Raises:
            MissingFileError: it is not there. A storage that cannot tell says so at the first piece, with the
                error it has.
            UnsafePathError: the handle leaves the storage.
            AccessDeniedError: it may not be read.

        Cancellation: the file is closed, and what the reader held is given back.
        Bounds: `descriptors_per_file`; in memory what `payer` pays for.
        """

    @property
    def descriptors_per_file(self) -> int:
        """Descriptors that one file open for reading needs at most."""
        return 1

    @abstractmethod
    async def size_of(self, handle: FileHandle) -> int | None:
        """Bytes of a file as it lies in the storage, perhaps packed; None where that is not told.

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

    async def save_metadata_lines(self, name: str, lines: Sequence[str]) -> FileHandle:
        """Writes one metadata file; the same content may be there already.

        Raises:
            FormatError: a line has a line break.
            ManifestError: other content is there.
        """
        return await self.save_metadata(name, "".join(f"{check_line(line)}\n" for line in lines).encode())

    @abstractmethod
    async def save_metadata(self, name: str, data: bytes) -> FileHandle:
        """Writes one metadata file, given as bytes; see `save_metadata_lines`."""

    @abstractmethod
    async def list_metadata(self) -> dict[FileHandle, str]:
        """The handles of all metadata files, sorted, each with a tag of its content.

        A tag is opaque text that changes when the content does, as finely as the storage tells: web servers
        tell size and second, or minute, of writing. It is empty where nothing is told. A failed listing
        raises and is never an empty one.
        """

    async def list_metadata_files(self) -> list[FileHandle]:
        """The handles of all metadata files, sorted; see `list_metadata`."""
        return list(await self.list_metadata())

    @abstractmethod
    async def backup_metadata_file(self, handle: FileHandle) -> None:
        """Moves a metadata file out of the listing."""


async def read_file(
    storage: Storage,
    handle: FileHandle,
    *,
    max_bytes: int,
    payer: Payer = UNMETERED,
    report: Report = silent,
) -> bytes:
    """Reads a small file whole; its receiver gives its bytes back to `payer`.

    Args:
        storage: where it is.
        handle: the file.
        max_bytes: what it may have.
        payer: pays for its bytes.
        report: is told of each time that it is fetched again because it came damaged.

    Raises:
        FormatError: it is longer than `max_bytes`; at most one piece beyond that was read.
        CorruptAnswerError: it came damaged `CORRUPT_TRIES` times.
    """

    async def read() -> bytes:
        pieces: list[bytes] = []
        size = 0
        try:
            async with storage.open_for_read(handle, payer=payer) as reader:
                while piece := await reader.read_piece():
                    size += len(piece)
                    if size > max_bytes:
                        raise FormatError(
                            "file is too long for what it is",
                            file=handle,
                            expected=f"{max_bytes} bytes at most",
                        )
                    pieces.append(bytes(piece))
        except BaseException:
            payer.give_back(size)
            raise
        return b"".join(pieces)

    return await read_again_if_damaged(read, file=handle, report=report)


async def read_again_if_damaged(read: Callable[[], Awaitable[T]], *, file: FileHandle, report: Report) -> T:
    """Calls `read` anew as long as a file arrives damaged, `CORRUPT_TRIES` times at most.

    Args:
        read: reads a whole file, and leaves nothing of it behind when it raises.
        file: the file, for the report.
        report: is told of each further try.

    Raises:
        CorruptAnswerError: it came damaged each time.
    """
    for attempt in range(1, CORRUPT_TRIES):
        try:
            return await read()
        except CorruptAnswerError as error:
            report(Retried(file, error.message, attempt=attempt + 1, wait=0))
    return await read()
