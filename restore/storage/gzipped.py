"""A storage whose files are packed, as if they were not: unpacked while they are read, packed when written.

Objects of published backups are gzip streams, all of them, and nothing says so: no name, no header. Their
first bytes do. But the first bytes of a proof could, by chance, be the same (one in half a million, of some
proofs). So the first file that is read decides for all: it is text in every command, metadata or a manifest.

Source: spec/backup-format.md 1.2.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, TypeVarTuple

from restore.errors import ManifestError
from restore.flow.threads import Workers, in_thread
from restore.report.stopwatch import timed
from restore.storage.base import (
    PIECE_BYTES,
    UNMETERED,
    WHOLE_BYTES,
    BackupHandle,
    FileHandle,
    FileReader,
    FileWriter,
    Payer,
    Piece,
    Storage,
    read_file,
)
from restore.storage.buffers import Buffers, buffer_bytes
from restore.storage.gunzip import GZIP_MAGIC, MOST_EXPANSION, Gunzip, announced_bytes, unpack_whole
from restore.storage.names import METADATA_FOLDER

SMALL_BYTES = 64 << 10
"""Unpacked on the spot: to hand them to a thread takes as long."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Gzipped(Storage):
    """The files of `storage`, unpacked.

    Args:
        storage: what is packed.
        packs: whether files are packed that are written.
        workers: threads that pack and unpack; the event loop's own if not given.
        buffers: where unpacked files go that are here as a whole.

    Cancellation: a file that a thread unpacks is waited for.
    Bounds: what `storage` needs; besides, for each file open for reading, one piece that its payer pays for.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        packs: bool,
        workers: Workers | None = None,
        buffers: Buffers | None = None,
    ) -> None:
        self._storage = storage
        self._packs = packs
        self._run = _Threads(workers)
        self._buffers = buffers or Buffers()
        self._is_packed: bool | None = None  # until the first file was read

    @property
    def identity(self) -> str:
        """That of what is packed."""
        return self._storage.identity

    @property
    def descriptors_per_file(self) -> int:
        """As many as what is packed needs."""
        return self._storage.descriptors_per_file

    @asynccontextmanager
    async def open_for_read(
        self, handle: FileHandle, *, payer: Payer = UNMETERED
    ) -> AsyncIterator[FileReader]:
        """Opens a file for the length of a block, and reads its first bytes; see `Storage`."""
        async with self._storage.open_for_read(handle, payer=payer) as packed:
            first = await packed.read_piece()
            if self._is_packed is None and first:
                self._is_packed = first[:2] == GZIP_MAGIC
            reader = (
                _UnpackingReader(packed, first, handle, payer, self._run, self._buffers)
                if self._is_packed
                else _PlainReader(packed, first, payer)
            )
            try:
                yield reader
            finally:
                reader.close()

    async def size_of(self, handle: FileHandle) -> int | None:
        """Bytes of a file as it lies in the storage; see `Storage`."""
        return await self._storage.size_of(handle)

    async def create_backup(self, name: str) -> BackupHandle:
        """Makes room for the files of one backup; see `Storage`."""
        return await self._storage.create_backup(name)

    @asynccontextmanager
    async def create_for_write(self, backup: BackupHandle, name: str) -> AsyncIterator[FileWriter]:
        """Writes a new file in a block; see `Storage`."""
        async with self._storage.create_for_write(backup, name) as file:
            if not self._packs:
                yield file
                return
            writer = _PackingWriter(file, self._run)
            yield writer
            await writer.finish()

    async def save_metadata(self, name: str, data: bytes) -> FileHandle:
        """Writes one metadata file; see `Storage`."""
        if not self._packs:
            return await self._storage.save_metadata(name, data)
        try:
            return await self._storage.save_metadata(name, gzip.compress(data, mtime=0))
        except ManifestError:
            # Others pack the same content to other bytes.
            handle = f"{METADATA_FOLDER}/{name}"
            if await read_file(self, handle, max_bytes=WHOLE_BYTES) != data:
                raise
            return handle

    async def list_metadata(self) -> dict[FileHandle, str]:
        """The handles of all metadata files, with tags of what is packed; see `Storage`."""
        return await self._storage.list_metadata()

    async def backup_metadata_file(self, handle: FileHandle) -> None:
        """Moves a metadata file out of the listing; see `Storage`."""
        await self._storage.backup_metadata_file(handle)


class _PlainReader(FileReader):
    """A file whose first piece has been read."""

    def __init__(self, reader: FileReader, first: Piece, payer: Payer) -> None:
        self._reader = reader
        self._first: Piece | None = first
        self._payer = payer

    @property
    def size(self) -> int | None:
        return self._reader.size

    async def read_piece(self) -> Piece:
        first, self._first = self._first, None
        return await self._reader.read_piece() if first is None else first

    def close(self) -> None:
        """Gives back what nobody got."""
        if self._first is not None:
            self._payer.give_back(len(self._first))


class _UnpackingReader(FileReader):
    def __init__(
        self,
        reader: FileReader,
        first: Piece,
        handle: FileHandle,
        payer: Payer,
        run: _Threads,
        buffers: Buffers,
    ) -> None:
        self._reader = reader
        self._payer = payer
        self._run = run
        self._buffers = buffers
        self._gunzip = Gunzip(handle)
        self._packed = first  # paid for
        self._whole: memoryview | None = None  # the buffer of an unpacked file, until its piece is used
        self._begun = self._ended = False
        self._unpacking = 0.0

    @property
    def size(self) -> None:
        """Not known before the end."""
        return

    async def read_piece(self) -> Piece:
        self._let_go_of_whole()
        if not self._begun and (piece := await self._unpack_first()) is not None:
            return piece
        return b"" if self._ended else await self._unpack_next()

    def close(self) -> None:
        """Gives back what was not unpacked, and the buffer of what was."""
        self._let_go_of_packed()
        self._let_go_of_whole()

    async def read_rest(self, watch: Callable[[Piece], object]) -> Piece:
        if self._begun or (piece := await self._unpack_first()) is None:
            return await super().read_rest(watch)
        watch(piece)
        return piece

    @property
    def unpacking(self) -> float:
        return self._unpacking

    async def _unpack_first(self) -> memoryview | None:
        """All of the file, if it can be unpacked as a whole; if not, it is fed to be unpacked as it comes."""
        self._begun = True
        piece = await self._unpack_whole()
        if piece is None:
            self._gunzip.feed(self._packed)
        else:
            self._ended = True
        return piece

    async def _unpack_whole(self) -> memoryview | None:
        """All of the file, if all of it is here and its trailer is honest."""
        packed = memoryview(self._packed)
        size = announced_bytes(packed)
        is_whole = len(packed) == self._reader.size and not packed.readonly
        if not is_whole or not 0 < size <= min(WHOLE_BYTES, MOST_EXPANSION * len(packed)):
            return None
        room = buffer_bytes(size)
        await self._payer.take(room)
        buffer = self._buffers.lend(size)
        kept = 0
        try:
            if not await self._timed(unpack_whole, packed, buffer[:size], size=size):
                return None
            await self._next_packed()  # there is none, and its buffer goes back
            kept = size
        finally:
            self._payer.give_back(room - kept)
            if kept:
                self._whole = buffer
            else:
                self._buffers.give_back(buffer)
        return buffer[:size]

    async def _unpack_next(self) -> bytes:
        await self._payer.take(PIECE_BYTES)
        unpacked = b""
        try:
            while not unpacked and not self._ended:
                unpacked = await self._timed(self._gunzip.take, PIECE_BYTES, size=len(self._packed))
                if not unpacked:
                    await self._feed_next()
        finally:
            self._payer.give_back(PIECE_BYTES - len(unpacked))
        return unpacked

    async def _timed(self, function: Callable[[*Ts], T], *args: *Ts, size: int) -> T:
        result, seconds = await self._run(timed, function, *args, size=size)
        self._unpacking += seconds
        return result

    async def _feed_next(self) -> None:
        await self._next_packed()
        self._gunzip.feed(self._packed)
        if not self._packed:
            self._gunzip.finish()
            self._ended = True

    async def _next_packed(self) -> None:
        """Lets go of the packed bytes in hand, and gets the next ones."""
        self._let_go_of_packed()
        self._packed = await self._reader.read_piece()

    def _let_go_of_packed(self) -> None:
        self._payer.give_back(len(self._packed))
        self._packed = b""

    def _let_go_of_whole(self) -> None:
        if self._whole is not None:
            self._buffers.give_back(self._whole)
            self._whole = None


class _PackingWriter(FileWriter):
    def __init__(self, file: FileWriter, run: _Threads) -> None:
        self._file = file
        self._run = run
        self._packing = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)

    @property
    def handle(self) -> FileHandle:
        return self._file.handle

    async def write(self, data: bytes) -> None:
        await self._file.write(await self._run(self._packing.compress, data, size=len(data)))

    async def finish(self) -> None:
        """Writes the end of the file."""
        await self._file.write(await self._run(self._packing.flush, size=WHOLE_BYTES))


class _Threads:
    """Runs calls in threads, where that is worth it."""

    def __init__(self, workers: Workers | None) -> None:
        self._workers = workers

    async def __call__(self, function: Callable[[*Ts], T], *args: *Ts, size: int) -> T:
        """The result of `function(*args)`, which has about `size` bytes to do."""
        if size <= SMALL_BYTES:
            return function(*args)
        if self._workers is not None:
            return await self._workers.run(function, *args)
        return await in_thread(function, *args)
