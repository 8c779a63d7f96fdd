"""A storage behind the commands of an adapter's configuration: whatever shell programs can reach.

Each operation runs `bash -c "set -o nounset -o errexit -o pipefail; <command>"`. What packs and unpacks is
the command's business. Only an exit status says whether a command worked, and nothing says why it did not: a
file that is missing, one that may not be read and a storage that is down look alike.

Source: spec/backup-format.md 1.2.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from restore.errors import EmptyStorageError, FormatError, ManifestError, StalledError, UsageError
from restore.flow.children import Child, Children, Program
from restore.flow.rate import Rate
from restore.report.events import Report
from restore.storage.adapter_config import OPTIONAL, AdapterConfig, identity_of
from restore.storage.base import (
    UNMETERED,
    BackupHandle,
    FileHandle,
    FileReader,
    FileWriter,
    Payer,
    Storage,
    read_file,
)
from restore.storage.command_reader import CommandReader
from restore.storage.names import METADATA_FOLDER, check_handle, check_name
from restore.storage.repeating import Repeating, Sleep

IDLE_SECONDS = 600.0
"""A published configuration sleeps up to 100 s between its own tries, and downloads whole files silently."""

MOST_HANDLE_BYTES = 4096
"""What a command may print where it prints one handle: names have 127 characters at most."""

MOST_LISTING_BYTES = 256 << 20
"""What a lister may print: a million handles are a quarter of it."""

_STRICT = "set -o nounset -o errexit -o pipefail; "

_PRINTED_BYTES = 1 << 16
"""Read of handles at once."""


class CommandStorage(Storage):
    """A backup behind commands. What only reads is tried again; what writes or moves a file never is.

    Args:
        config: the commands.
        children: runs them.
        report: is told of bytes received, tries and stalls.
        idle_seconds: a command without a byte in or out for so long is given up.
        rate: the bandwidth limit for reading, where there is one. It holds for what commands print: their
            traffic is theirs.
        sleep: waits before the next try; the event loop's unless a test says otherwise.

    Raises:
        UsageError: a time that is not above 0.

    Cancellation: the command is ended with all that it has started, and waited for.
    Bounds: one child for each open file and running call; in memory one piece for each open file.
    """

    def __init__(
        self,
        config: AdapterConfig,
        children: Children,
        *,
        report: Report,
        idle_seconds: float = IDLE_SECONDS,
        rate: Rate | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if not idle_seconds > 0:  # nor is what is no number at all
            raise UsageError("idle time-out of commands must be above 0", found=idle_seconds)
        self._config = config
        self._children = children
        self._report = report
        self._idle_seconds = idle_seconds
        self._rate = rate
        self._repeating = Repeating(report, sleep=sleep)
        self._identity = identity_of(config, os.environ)

    @property
    def identity(self) -> str:
        """A hash of the configuration and of what its commands take from the environment."""
        return self._identity

    @property
    def descriptors_per_file(self) -> int:
        """Three pipes, and one descriptor that stands for the process."""
        return 4

    @asynccontextmanager
    async def open_for_read(
        self, handle: FileHandle, *, payer: Payer = UNMETERED
    ) -> AsyncIterator[FileReader]:
        """Starts to read a file; see `Storage`. Whether it is there shows at the first piece."""
        program = self._program("open_for_read", file=check_handle(handle), FILE_HANDLE=handle)
        async with AsyncExitStack() as running:
            reader = CommandReader(
                program,
                self._children,
                running,
                repeating=self._repeating,
                payer=payer,
                report=self._report,
                rate=self._rate,
            )
            await reader.start()
            yield reader

    async def size_of(self, handle: FileHandle) -> int | None:
        """None: no command tells."""
        check_handle(handle)
        return None

    async def create_backup(self, name: str) -> BackupHandle:
        """Announces the files of one backup.

        Raises:
            UsageError: the command printed something else than a name.
        """
        program = self._program("create_backup", file=check_name(name), BACKUP_NAME=name)
        printed, _ = await self._printed(program, MOST_HANDLE_BYTES)
        return check_name(printed.rstrip())

    @asynccontextmanager
    async def create_for_write(self, backup: BackupHandle, name: str) -> AsyncIterator[FileWriter]:
        """Writes a new file in a block; see `Storage`.

        That nothing remains of a file whose block failed, and that none is overwritten, is up to the command.

        Raises:
            CommandFailedError: it failed, at the end of the block too.
        """
        file = f"{check_name(backup)}/{check_name(name)}"
        program = self._program("create_for_write", file=file, BACKUP_HANDLE=backup, FILE_NAME=name)
        async with self._writing(program) as writer:
            yield writer

    async def save_metadata(self, name: str, data: bytes) -> FileHandle:
        """Writes one metadata file; see `Storage`."""
        handle = f"{METADATA_FOLDER}/{check_name(name)}"
        # The command overwrites what is there, so whether something is has to be found out before.
        listed, _ = await self._list()
        if handle in listed:
            await self._compare(handle, data)
            return handle
        async with self._writing(self._program("save_metadata_line", file=handle, FILE_NAME=name)) as writer:
            await writer.write(data)
        return writer.handle

    async def list_metadata(self) -> dict[FileHandle, str]:
        """The handles of all metadata files, sorted; no command tells of their content.

        Raises:
            EmptyStorageError: the command listed none.
            UnsafePathError: what it printed is no handle.
            CommandFailedError, StalledError: it failed.
        """
        handles, last_words = await self._list()
        if not handles:
            raise EmptyStorageError(
                "storage lists no metadata files",
                file=self._config.file,
                found=f"exit status 0{last_words}",
                hint="many configurations hide that their lister failed (`||:`): run list_metadata_files by "
                "hand without it, and check bucket, folder and credentials",
            )
        return dict.fromkeys(handles, "")

    async def backup_metadata_file(self, handle: FileHandle) -> None:
        """Moves a metadata file to the retired ones.

        Raises:
            UsageError: it is another file's handle, or the command is not configured.
        """
        folder, _, name = handle.rpartition("/")
        if folder != METADATA_FOLDER:
            raise UsageError("only metadata files can be retired", file=handle)
        check_handle(handle)
        if OPTIONAL not in self._config.commands:
            raise UsageError(
                "adapter configuration lacks a key", file=self._config.file, expected=f"commands.{OPTIONAL}"
            )
        await self._printed(self._program(OPTIONAL, file=handle, FILE_NAME=name), MOST_LISTING_BYTES)

    async def _list(self) -> tuple[list[FileHandle], str]:
        """What is listed, and the last words of the lister."""
        program = self._program("list_metadata_files", file=f"{METADATA_FOLDER}/")
        printed, last_words = await self._repeating.run(
            lambda: self._printed(program, MOST_LISTING_BYTES), file=program.file
        )
        lines = (line.removesuffix("\r") for line in printed.split("\n"))
        # What ends in a slash is a folder, or the empty object that some consoles make in its place.
        handles = sorted(check_handle(line) for line in lines if line and not line.endswith("/"))
        return handles, last_words

    async def _compare(self, handle: FileHandle, data: bytes) -> None:
        try:
            same = await read_file(self, handle, max_bytes=len(data)) == data
        except FormatError:
            same = False  # it is longer
        if not same:
            raise ManifestError(
                "metadata file exists with other content",
                file=handle,
                hint="it is kept; give the new one another name",
            )

    @asynccontextmanager
    async def _writing(self, program: Program) -> AsyncIterator[FileWriter]:
        async with self._children.run(program) as child:
            try:
                printed = await _print(child, program, MOST_HANDLE_BYTES)
            except StalledError as error:
                error.hint = (
                    "a command that writes prints the handle and closes stdout (exec 1>&-) before it reads"
                )
                raise
            if not printed.strip():
                await child.check_well()
                raise UsageError(f"{program.name} printed no handle", file=program.file)
            yield _CommandWriter(check_handle(printed.rstrip()), child)
            await child.finish()

    async def _printed(self, program: Program, most_bytes: int) -> tuple[str, str]:
        """What a program prints that ends well, and its last words."""
        async with self._children.run(program) as child:
            printed = await _print(child, program, most_bytes)
            await child.finish()
            return printed, child.last_words()

    def _program(self, name: str, *, file: str, **parameters: str) -> Program:
        return Program(
            name=f"command {name}",
            file=file,
            argv=("bash", "-c", _STRICT + self._config.commands[name]),
            environment={**os.environ, **self._config.variables, **parameters},
            idle_seconds=self._idle_seconds,
        )


class _CommandWriter(FileWriter):
    def __init__(self, handle: FileHandle, child: Child) -> None:
        self._handle = handle
        self._child = child

    @property
    def handle(self) -> FileHandle:
        return self._handle

    async def write(self, data: bytes) -> None:
        await self._child.write(data)


async def _print(child: Child, program: Program, most_bytes: int) -> str:
    """What the program writes to stdout until it closes it."""
    printed = bytearray()
    buffer = memoryview(bytearray(_PRINTED_BYTES))
    while size := await child.read_into(buffer):
        printed += buffer[:size]
        if len(printed) > most_bytes:
            raise FormatError(
                f"{program.name} prints too much", file=program.file, expected=f"{most_bytes} bytes at most"
            )
    # Undecodable bytes survive as what no name and no handle may contain.
    return printed.decode("utf-8", "surrogateescape")
