"""A backup's metadata files as the source of a mirror."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from cache.errors import VanishedError
from cache.source import Discarded, Event, Fetched, Fetching, ListedAgain, Waiting
from restore.catalog.parsing import ParsedFiles, parse_files
from restore.errors import EmptyStorageError, MissingFileError
from restore.flow.budget import Budget
from restore.flow.threads import in_thread
from restore.report.events import Advanced, Notice, PhaseStarted, Report, silent
from restore.report.figures import show_count, show_seconds
from restore.storage.base import Payer, Storage, read_file

PHASE = "metadata"

MAX_METADATA_BYTES = 16 << 20
"""A line has about 200 bytes: room for 80,000 compacted ones, and still a bound."""

METADATA_BYTES = 32 << 20
"""Of files that are being read or wait to be written, all together, or else of one: twice as much while their
pieces are put together. One line each takes nothing of it; thousands are compacted into some of them."""

PARSED_ON_THE_LOOP_BYTES = 64 << 10
"""A file up to this size is parsed at once, in less than a millisecond; a longer one in a thread."""


class MetadataSource:
    """A backup's metadata files, as a mirror wants them; parsed as they come.

    Args:
        storage: where they are.
        report: is told what the mirror does.

    Attributes:
        parsed: what the files say that the last sync downloaded.
    """

    def __init__(self, storage: Storage, report: Report = silent) -> None:
        self._storage = storage
        self._report = report
        self._memory = Budget("metadata", METADATA_BYTES)
        self._has_begun = False
        self.parsed: dict[str, ParsedFiles] = {}

    @property
    def identity(self) -> str:
        """The storage's."""
        return self._storage.identity

    async def list_files(self) -> Mapping[str, str]:
        """Handles and tags."""
        try:
            return await self._storage.list_metadata()
        except EmptyStorageError:
            return {}  # whether that can be is judged by what was there before

    @asynccontextmanager
    async def fetch(self, name: str) -> AsyncIterator[bytes]:
        """One file, for the length of a block.

        Raises:
            VanishedError: it is there no more.

        Bounds: `METADATA_BYTES` for all that are open, or the oldest.
        """
        async with self._memory.lease() as lease:
            content = await self._read(name, lease)
            files = [(name, content)]
            if len(content) <= PARSED_ON_THE_LOOP_BYTES:
                self.parsed[name] = parse_files(files)
            else:
                self.parsed[name] = await in_thread(parse_files, files)
            yield content

    def begin_again(self) -> None:
        """Says that all is read once more, and counts it anew."""
        self._has_begun = False
        reason = "files were removed or damaged by somebody else while they were read"
        self._report(Notice(f"metadata cache: {reason}; read again"))

    def tell(self, event: Event) -> None:
        """Shows what the mirror does."""
        match event:
            case Fetching() if not self._has_begun:
                self._has_begun = True
                done = event.files - event.missing
                self._report(PhaseStarted(PHASE, "files", event.files, done=done))
            case Fetched():
                self._report(Advanced(PHASE, 1, event.size))
            case ListedAgain():
                vanished = show_count(event.vanished, "files")
                self._report(Notice(f"metadata changed while it was read ({vanished} gone): listed again"))
            case Discarded():
                self._report(Notice(f"metadata cache: {event.reason}; fetched again", warning=True))
            case Waiting():
                seconds = show_seconds(event.seconds)
                self._report(
                    Notice(
                        f"waiting for the metadata cache {event.folder}, {seconds} so far: {event.holders}"
                    )
                )

    async def _read(self, name: str, payer: Payer) -> bytes:
        try:
            return await read_file(
                self._storage, name, max_bytes=MAX_METADATA_BYTES, payer=payer, report=self._report
            )
        except MissingFileError as error:
            raise VanishedError(error.message, file=name) from error
