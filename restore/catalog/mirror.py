"""Reads all metadata of a backup through a mirror in a local folder, which any number of processes may share.

    view = await load_view(storage, MirrorOptions(folder), concurrency=16, report=report)

`cache` keeps the files and knows nothing of what they are; here they are parsed, those that are downloaded as
they come. Only the modules `mirror*` of this package know both sides.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cache.errors import LeaseLostError, MirrorError
from cache.mirror import Mirror, Snapshot
from cache.sync import SyncOptions
from restore.catalog.mirror_errors import typed_errors
from restore.catalog.mirror_source import PHASE, MetadataSource
from restore.catalog.parsing import parse_files
from restore.catalog.summary import decode_view, encode_view
from restore.catalog.view import MetadataView
from restore.errors import EmptyStorageError, RestoreError, UsageError
from restore.flow.threads import in_thread
from restore.report.events import PhaseFinished, Report, silent
from restore.storage.base import Storage
from restore.storage.local import LocalFs
from restore.storage.names import METADATA_FOLDER

SMALL_FILES_AT_ONCE = 16
"""At least: what a small file costs is the time of a request, neither the link nor the CPUs."""

LOCK_SECONDS = 3600.0
"""So long another process is waited for: its sync may take that long if a command brings each file."""


@dataclass(frozen=True, slots=True)
class MirrorOptions:
    """Where metadata is kept.

    Attributes:
        folder: a folder that processes share, and later runs; None for one of this run alone.
        lock_seconds: how long another process is waited for.
    """

    folder: Path | None = None
    lock_seconds: float = LOCK_SECONDS


PRIVATE = MirrorOptions()
"""A folder of this run alone."""


async def load_view(
    storage: Storage, options: MirrorOptions = PRIVATE, *, concurrency: int, report: Report = silent
) -> MetadataView:
    """Reads all metadata: from the mirror what is there, the rest from the storage.

    Lines that do not parse are `problems` of the view, once they were fetched anew.

    Raises:
        EmptyStorageError: there is none; or there was, and now there is none.
        MissingFileError: a file is listed, and cannot be read.
        LockedError: another process works in the folder for too long.
        UsageError: the folder's file system does not lock, or it lies in the backup's metadata.
        ResourceError, AccessDeniedError: the folder cannot be used.

    Cancellation: what was downloaded is kept for the next run.
    Bounds: `concurrency` files at once, or `SMALL_FILES_AT_ONCE`, and `METADATA_BYTES` of them; two packs of
        the mirror; about 1 KiB for each file while index, listing and entries meet, of which the entries
        stay, about 300 bytes.
    """
    source = MetadataSource(storage, report)
    sync_options = SyncOptions(concurrency=max(concurrency, SMALL_FILES_AT_ONCE), tell=source.tell)
    with typed_errors(options.folder):
        async with _root(options.folder) as root:
            await in_thread(_check_place, root, storage.identity)
            mirror = Mirror(root, source, sync_options, timeout_seconds=options.lock_seconds)
            view = await _Loading(mirror, source, is_kept=options.folder is not None).load()
            with suppress(MirrorError, OSError):  # the work is done, and the next command prunes as well
                await mirror.prune()
    report(PhaseFinished(PHASE))
    return view


def _check_place(root: Path, identity: str) -> None:
    """Refuses a folder where every reader of the backup would list the mirror as part of its metadata.

    Raises:
        UsageError: it is one.
    """
    if f"{LocalFs(root).identity}/".startswith(f"{identity}/{METADATA_FOLDER}/"):
        raise UsageError(
            "metadata cache lies in the metadata of the backup",
            file=str(root),
            hint="give a --metadata-cache-dir outside of the backup",
        )


class _Loading:
    """Synchronises, and makes the view of what is there then."""

    def __init__(self, mirror: Mirror, source: MetadataSource, *, is_kept: bool) -> None:
        self._mirror = mirror
        self._source = source
        self._is_kept = is_kept

    async def load(self) -> MetadataView:
        """Loads; once more if something of the mirror was damaged or removed meanwhile, or is useless.

        A kept file that does not parse may have been damaged on its way here, and its name says nothing of
        that.
        """
        try:
            view = await self._load()
        except (LeaseLostError, FileNotFoundError):
            self._source.begin_again()
            return await self._load()
        bad = {problem.file for problem in view.problems if problem.file is not None}
        useless = bad - self._source.parsed.keys()
        return await self._load(refetch=useless) if useless else view

    async def _load(self, *, refetch: Set[str] = frozenset()) -> MetadataView:
        # What an earlier sync brought may have been replaced since, and brought by another process.
        self._source.parsed.clear()
        async with self._mirror.synced(refetch=refetch) as snapshot:
            if not snapshot.names:
                raise EmptyStorageError("storage holds no backup", file=self._source.identity)
            summary = await snapshot.summary()
            view = None if summary is None else await in_thread(decode_view, summary)
            if view is None:
                view = await self._parse(snapshot)
                if self._is_kept and not view.problems:
                    await snapshot.keep_summary(await in_thread(encode_view, view))
            return view

    async def _parse(self, snapshot: Snapshot) -> MetadataView:
        """The view of all files: those that just came are parsed already, the others are read."""
        done = self._source.parsed
        parts = [parsed for name, parsed in done.items() if name in snapshot.names]
        async for entries in snapshot.packs(besides=done):
            files = [(entry.name, entry.content) for entry in entries]
            parts.append(await in_thread(parse_files, files))
        everything = [entry for part in parts for entry in part.entries]
        problems = [problem for part in parts for problem in part.problems]
        return await in_thread(MetadataView, everything, problems)


@asynccontextmanager
async def _root(folder: Path | None) -> AsyncIterator[Path]:
    """The folder of mirrors; a private one goes when the block ends."""
    if folder is not None:
        yield folder
        return
    private = _PrivateFolder()
    try:
        await in_thread(private.make)
        yield private.path
    finally:
        await in_thread(private.remove)


class _PrivateFolder:
    """A temporary folder; it knows its path even if whoever had it made was cancelled meanwhile."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def path(self) -> Path:
        if self._folder is None:
            raise RestoreError("private folder is used before it is made")
        return Path(self._folder.name)

    def make(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="aptos-restore-", ignore_cleanup_errors=True)

    def remove(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
