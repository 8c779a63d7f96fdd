"""A source that says in part which content a name has, and small bounds: few files make many packs."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

import cache.index
import cache.lock
import cache.writer
from cache.folder import MirrorFolder, mirror_path
from cache.index import Index
from cache.mirror import Snapshot
from tests.cache.sources import ScriptedSource, tag_of

IDENTITY = "memory:model"

NOW = 4e9
"""Where clocks begin, in Unix seconds: later than the times of all files that tests write."""

BATCH = 3
"""Files in a pack."""

UNTAGGED = "untagged"
"""How the names begin whose content the source does not tell; it never changes."""

NAMES = [*(f"tagged{number}" for number in range(8)), *(f"{UNTAGGED}{number}" for number in range(4))]
"""Few, so that much happens to each."""


def use_small_bounds(set_bound: Callable[[object, str, float], None]) -> None:
    """Has packs closed after `BATCH` files, merged when there are more than two, and locks asked for often.

    Args:
        set_bound: as `setattr`.
    """
    set_bound(cache.writer, "PACK_ENTRIES", BATCH)
    set_bound(cache.index, "MAX_SMALL_PACKS", 2)
    set_bound(cache.lock, "FIRST_PAUSE_SECONDS", 0.001)
    set_bound(cache.lock, "MOST_PAUSE_SECONDS", 0.001)


class ModelSource(ScriptedSource):
    """Shares its files with others; some have tags.

    Attributes:
        listed: the files when they were last listed.
        before_fetch: is called when a file is asked for, and may change the files.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(identity=IDENTITY)
        self.files = files
        self.listed: dict[str, bytes] = {}
        self.before_fetch: Callable[[], None] = lambda: None

    @property
    def listing(self) -> dict[str, str]:
        return {
            name: "" if name.startswith(UNTAGGED) else tag_of(content) for name, content in self.files.items()
        }

    async def list_files(self) -> Mapping[str, str]:
        listing = await super().list_files()
        self.listed = dict(self.files)
        return listing

    @asynccontextmanager
    async def fetch(self, name: str) -> AsyncIterator[bytes]:
        self.before_fetch()
        async with super().fetch(name) as content:
            yield content


def mirror_folder(root: Path) -> MirrorFolder:
    """The folder of the source's mirror."""
    return MirrorFolder(mirror_path(root, IDENTITY))


def saved_index(folder: MirrorFolder) -> Index:
    """The index; an empty one where there is none."""
    return folder.load_index(identity=IDENTITY) or Index(IDENTITY)


async def read(snapshot: Snapshot) -> dict[str, bytes]:
    """All files of a snapshot; none comes twice."""
    entries = [entry async for entries in snapshot.packs() for entry in entries]
    files = {entry.name: entry.content for entry in entries}
    assert len(files) == len(entries)
    assert files.keys() == snapshot.names
    return files


async def check(snapshot: Snapshot, files: Mapping[str, bytes]) -> None:
    """Checks that a snapshot is of exactly these files, and so is the summary; else keeps one."""
    assert await read(snapshot) == files
    summary = msgspec.json.encode(files, order="sorted")
    kept = await snapshot.summary()
    assert kept in (None, summary)
    if kept is None:
        await snapshot.keep_summary(summary)


def pack_paths(folder: MirrorFolder) -> list[Path]:
    """All packs, in an order that does not depend on their random names.

    A pack ends with the content of its last file, so only packs of the same files come in any order.
    """
    return sorted((folder.path / "packs").glob("*.pack"), key=lambda path: path.read_bytes()[::-1])


def is_whole(path: Path) -> bool:
    """Whether a pack is there, and has the bytes that its name says."""
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == path.stem


def files_of(root: Path) -> set[str]:
    """All files under the folder of mirrors, but for the name of the one mirror in it."""
    return {
        str(path.relative_to(root)).replace(mirror_path(root, IDENTITY).name, "mirror")
        for path in root.rglob("*")
        if path.is_file()
    }


def files_of_tidy(root: Path) -> set[str]:
    """All files that should be there when nobody is at work, nothing is retired and nobody was killed."""
    packs = {f"v1/mirror/packs/{pack.file}" for pack in saved_index(mirror_folder(root)).packs}
    own = {f"v1/mirror/{name}" for name in ("index", "summary", "removal.lock", "sync.lock")}
    return {"v1/CACHEDIR.TAG"} | own | packs
