"""Makes packs of what is fetched: one is written when it is full, or when its first file has waited long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from cache.entry import Entry
from cache.folder import MirrorFolder
from cache.index import PACK_BYTES, PackRecord
from cache.threads import in_thread

PACK_ENTRIES = 8192
"""A pack is closed at this many files as well: empty ones count too."""

FLUSH_SECONDS = 30.0
"""A file waits so long for others, and for the next one to come: what a killed sync fetches again from a slow
source."""


class PackWriter:
    """Collects entries, and writes them as packs.

    Args:
        folder: where to.
        identity: of the source.
        now: a monotonic clock, in seconds.

    Bounds: entries of two packs, one filling and one being written; whoever adds to a third waits, with its
        own entry.
    """

    def __init__(
        self, folder: MirrorFolder, identity: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._now = now
        self._pending: list[Entry] = []
        self._size = 0
        self._since = 0.0
        self._writing = asyncio.Lock()
        self.written: list[PackRecord] = []

    async def add(self, entry: Entry) -> None:
        """Takes an entry; writes a pack if it is time."""
        if not self._pending:
            self._since = self._now()
        self._pending.append(entry)
        self._size += len(entry.content)
        if self._is_due():
            async with self._writing:
                # Whoever waited here may find that others have written meanwhile what it waited with.
                if self._is_due():
                    await self._write()

    async def flush(self) -> None:
        """Writes what there is."""
        async with self._writing:
            if self._pending:
                await self._write()

    def _is_due(self) -> bool:
        if not self._pending:
            return False
        is_full = self._size >= PACK_BYTES or len(self._pending) >= PACK_ENTRIES
        return is_full or self._now() - self._since >= FLUSH_SECONDS

    async def _write(self) -> None:
        entries, self._pending, self._size = self._pending, [], 0
        # The thread keeps the record, since a cancelled caller gets no result: the pack is there.
        await in_thread(lambda: self.written.append(self._folder.write_pack(self._identity, entries)))
