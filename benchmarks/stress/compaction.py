"""Rewrites the metadata of a backup again and again, as a compaction does once a day.

The lines of one kind go into files of so many lines each, under other names; the files that they replace are
moved away, but not before `REMOVE_SECONDS`. So every listing is complete that takes less than that: whoever
does not see a replaced file any more began to list after the new ones were there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from typing import Any, Generic

from restore.catalog.entries import BackupEntry
from restore.catalog.view import MetadataView
from restore.catalog.writer import BackupWriter
from restore.storage.base import FileHandle, Storage

REMOVE_SECONDS = 1.5
"""Other tools wait a day; a listing of some hundred files takes milliseconds, even on busy CPUs."""

FACTORS = (2, 5, 1, 3, 8, 4, 13, 6)
"""Lines of a file in turn: with 1 the single files come back. A name comes back only after eight steps of its
kind, so no sync finds one gone, listed, and gone again."""


class Compaction:
    """What is done to the metadata of one backup; one at a time.

    Args:
        storage: of the backup.
        view: all that its metadata says: it still says just that after each step.
    """

    def __init__(self, storage: Storage, view: MetadataView) -> None:
        self._storage = storage
        self._writer = BackupWriter(storage)
        self._kinds: tuple[_Kind[Any], ...] = (
            _Kind(self._writer, view.epoch_endings),
            _Kind(self._writer, view.state_snapshots),
            _Kind(self._writer, view.transactions),
        )
        self._turns = cycle(self._kinds)
        self._replaced: dict[FileHandle, float] = {}

    async def step(self) -> Counter[str]:
        """Rewrites one kind, and moves away what was replaced long ago."""
        kind = next(self._turns)
        await kind.rewrite()
        removed = await self._remove() if all(kind.files for kind in self._kinds) else 0
        return Counter(
            {"compactions": 1, "metadata files written": len(kind.files), "metadata files removed": removed}
        )

    async def _remove(self) -> int:
        now = time.monotonic()
        current = {handle for kind in self._kinds for handle in kind.files}
        listed = await self._storage.list_metadata()
        self._replaced = {handle: self._replaced.get(handle, now) for handle in listed.keys() - current}
        due = [handle for handle, since in self._replaced.items() if now - since >= REMOVE_SECONDS]
        for handle in due:
            await self._storage.backup_metadata_file(handle)
        return len(due)


class _Kind(Generic[BackupEntry]):
    """The entries of one kind, and the files that they were last written to."""

    def __init__(self, writer: BackupWriter, entries: Sequence[BackupEntry]) -> None:
        self.files: frozenset[FileHandle] = frozenset()
        self._writer = writer
        self._entries: Sequence[BackupEntry] = entries
        self._factors = cycle(FACTORS)

    async def rewrite(self) -> None:
        factor = next(self._factors)
        if factor == 1:
            self.files = frozenset([await self._writer.save_metadata(entry) for entry in self._entries])
        else:
            self.files = frozenset(await self._writer.save_compacted(self._entries, factor=factor))
