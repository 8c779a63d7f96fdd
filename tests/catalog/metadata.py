"""Small backups of metadata alone, and a folder that says what was read of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from restore.catalog.entries import Entry, TransactionEntry, encode_entry
from restore.storage.base import UNMETERED, FileHandle, FileReader, Payer, Storage
from restore.storage.local import LocalFs


class Observed(LocalFs):
    """Counts open files; each is kept open for some turns of the event loop, so that they meet."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.open = 0
        self.most_open = 0
        self.opened: list[FileHandle] = []

    @asynccontextmanager
    async def open_for_read(
        self, handle: FileHandle, *, payer: Payer = UNMETERED
    ) -> AsyncIterator[FileReader]:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.opened.append(handle)
        try:
            async with super().open_for_read(handle, payer=payer) as reader:
                for _ in range(20):
                    await asyncio.sleep(0)
                yield reader
        finally:
            self.open -= 1

    def told(self) -> list[FileHandle]:
        """What was opened since this was asked last, sorted."""
        opened, self.opened = sorted(self.opened), []
        return opened


def versions(first: int, last: int) -> TransactionEntry:
    """A backup of transactions."""
    return TransactionEntry(first, last, f"transaction_{first}-.0000/transaction.manifest")


async def save(storage: Storage, name: str, *entries: Entry) -> FileHandle:
    """Writes a metadata file of these entries."""
    return await storage.save_metadata_lines(name, [encode_entry(entry) for entry in entries])


async def save_some(storage: Storage, count: int) -> list[TransactionEntry]:
    """Writes `count` metadata files of one line each: `metadata/0.meta`, …"""
    entries = [versions(10 * number, 10 * number + 9) for number in range(count)]
    for number, entry in enumerate(entries):
        await save(storage, f"{number}.meta", entry)
    return entries
