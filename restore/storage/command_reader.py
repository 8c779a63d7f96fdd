"""Reads a file from a command's stdout, and goes on where it was when the command fails in the midst.

A command always begins at the first byte. So the one that takes over is read as far as the failed one had
come, and must have said the same: the checksums of both are compared before another byte is given out.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from isal.isal_zlib import crc32

from restore.errors import CorruptAnswerError, TransientStorageError
from restore.flow.children import Child, Children, Program
from restore.flow.rate import Rate
from restore.report.events import Received, Report
from restore.storage.base import PIECE_BYTES, FileReader, Payer, Piece
from restore.storage.repeating import Repeating

SKIPPED_BYTES = 1 << 16
"""Read at once of what is not wanted: what a pipe holds."""


class CommandReader(FileReader):
    """A file that comes from a command.

    Args:
        program: the command.
        children: runs it.
        running: holds its child; closed by whoever opened the file.
        repeating: how often it is run.
        payer: pays for the buffer while it is filled; for what is in it, until the receiver gives that back.
        report: is told of the bytes received, those read a second time included.
        rate: the bandwidth limit, where there is one.
    """

    def __init__(
        self,
        program: Program,
        children: Children,
        running: AsyncExitStack,
        *,
        repeating: Repeating,
        payer: Payer,
        report: Report,
        rate: Rate | None,
    ) -> None:
        self._program = program
        self._children = children
        self._running = running
        self._repeating = repeating
        self._payer = payer
        self._report = report
        self._rate = rate
        self._buffer = memoryview(bytearray(PIECE_BYTES))
        self._child: Child | None = None
        self._runs = 0
        self._reached = 0  # bytes received, of the buffer too
        self._checksum = 0  # of those bytes
        self._ended = False

    @property
    def size(self) -> None:
        """Not known before the end."""
        return

    async def start(self) -> Child:
        """Runs the command, and skips what has been received.

        Raises:
            CorruptAnswerError: it says something else than before.
            CommandFailedError, StalledError: it failed.
        """
        self._runs += 1
        child = await self._running.enter_async_context(self._children.run(self._program))
        left, checksum = self._reached, 0
        skipped = memoryview(bytearray(min(left, SKIPPED_BYTES)))
        while left:
            size = await self._receive(child, skipped[:left])
            if not size:
                await child.finish()
                raise self._another(f"{self._reached - left} bytes")
            checksum = crc32(skipped[:size], checksum)
            left -= size
        if checksum != self._checksum:
            raise self._another("other ones")
        self._child = child
        return child

    async def read_piece(self) -> Piece:
        """The next bytes; see `FileReader`. The piece is full unless it is the last."""
        if self._ended:
            return b""
        await self._payer.take(PIECE_BYTES)
        size = 0
        try:
            # A command that is faster than we are never makes us wait, and others want to run.
            await asyncio.sleep(0)
            size = await self._fill()
        finally:
            self._payer.give_back(PIECE_BYTES - size)
        return self._buffer[:size]

    async def _fill(self) -> int:
        filled = 0
        while True:
            try:
                child = self._child or await self.start()
                while filled < PIECE_BYTES:
                    size = await self._receive(child, self._buffer[filled:])
                    if not size:
                        # The end of stdout is the end of the file only if the command worked.
                        await child.finish()
                        self._ended = True
                        break
                    self._checksum = crc32(self._buffer[filled : filled + size], self._checksum)
                    self._reached += size
                    filled += size
            except TransientStorageError as error:
                self._child = None
                await self._running.aclose()
                await self._repeating.pause(error, self._runs, file=self._program.file)
            else:
                return filled

    async def _receive(self, child: Child, view: memoryview) -> int:
        size = await child.read_into(view)
        if size:
            self._report(Received(size))
            if self._rate is not None:
                await self._rate.spend(size)  # meanwhile nobody waits for the command: it cannot stall
        return size

    def _another(self, found: str) -> CorruptAnswerError:
        return CorruptAnswerError(
            f"{self._program.name} brought something else when it was run again",
            file=self._program.file,
            expected=f"the same first {self._reached} bytes",
            found=found,
        )
