"""A mirror whose syncs a test looks at: what they told, and what is on the disk then."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Callable, Set
from pathlib import Path
from typing import TypeVar

from cache.entry import Entry, make_entry
from cache.folder import MirrorFolder, mirror_path
from cache.index import Index
from cache.source import Discarded, Event
from cache.sync import SyncOptions, sync
from tests.cache.sources import ScriptedSource, tag_of

AnEvent = TypeVar("AnEvent")


class Syncing:
    """A mirror of one source, brought up to date as often as a test likes.

    Args:
        root: the folder of mirrors.
        source: what is mirrored.

    Attributes:
        folder: the mirror's.
        index: what the last sync returned.
        events: what the last sync told.
        now: the clock.
    """

    def __init__(self, root: Path, source: ScriptedSource) -> None:
        self.source = source
        self.folder = MirrorFolder(mirror_path(root, source.identity))
        self.folder.create()
        self.index = Index(source.identity)
        self.events: list[Event] = []
        self.now = 1000.0
        self._root = root
        self._left_at = 1000

    @property
    def index_path(self) -> Path:
        return self.folder.path / "index"

    @property
    def packs(self) -> list[Path]:
        """All packs."""
        return [self.folder.path / "packs" / file for file in sorted(self.folder.pack_files())]

    def copied_to(self, root: Path, source: ScriptedSource) -> Syncing:
        """The same mirror in another folder."""
        shutil.copytree(self._root, root)
        return Syncing(root, source)

    async def sync(
        self, *, concurrency: int = 4, accept_empty: bool = False, refetch: Set[str] = frozenset()
    ) -> dict[str, bytes]:
        """Brings the mirror up to date; returns what it holds, once it is all checked."""
        self.events = []
        options = SyncOptions(
            concurrency=concurrency,
            accept_empty=accept_empty,
            tell=self._listener(),
            now=lambda: self.now,
        )
        self.index = await sync(self.folder, self.source, options, refetch=refetch)
        assert self.folder.load_index(identity=self.source.identity) == self.index
        return self.held()

    def held(self) -> dict[str, bytes]:
        """All that counts, read as a reader reads it."""
        held = {}
        for pack in self.index.packs:
            for entry in self.folder.read_pack(pack.file, identity=self.source.identity):
                if entry.name in pack.live:
                    assert entry.name not in held
                    held[entry.name] = entry.content
        return held

    def told(self, kind: type[AnEvent]) -> list[AnEvent]:
        """Events of a kind that the last sync told."""
        return [event for event in self.events if isinstance(event, kind)]

    def discarded(self) -> list[str]:
        """What the last sync found useless."""
        return sorted(event.file for event in self.told(Discarded))

    def written(self) -> set[tuple[str, str]]:
        """Name and tag of all that is on the disk, whether it counts or not; all of it is sound."""
        files = self.folder.pack_files()
        packs = [self.folder.read_pack(file, identity=self.source.identity) for file in files]
        return {(entry.name, entry.tag) for entry in itertools.chain.from_iterable(packs)}

    def leave_pack(self, *names: str, identity: str | None = None) -> Path:
        """Writes files of the source into a pack that no index knows, as a killed sync leaves it."""
        identity = self.source.identity if identity is None else identity
        record = self.folder.write_pack(identity, [self._entry(name, identity) for name in names])
        path = self.folder.path / "packs" / record.file
        # A file system's clock stands still for milliseconds, and the age of packs counts.
        self._left_at += 1
        os.utime(path, (self._left_at, self._left_at))
        return path

    def _entry(self, name: str, identity: str) -> Entry:
        content = self.source.files[name]
        return make_entry(identity, name, tag=tag_of(content), content=content)

    def _listener(self) -> Callable[[Event], None]:
        thread = threading.get_ident()

        def listen(event: Event) -> None:
            assert threading.get_ident() == thread, "it is told in the thread of the loop"
            self.events.append(event)

        return listen


# What may befall a file.


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\x00")


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = (flip, cut, extend, empty, Path.unlink)
