"""Brings a mirror up to date: lists, fetches what is missing, re-validates what is kept, retires the rest.

SYNC is held all the while, so nobody else adds packs, and nobody removes any. Nothing that others may be
reading is changed: packs are only added, and in the end one new index says which of them count.

What is on disk is looked at only after the lock is taken: whoever had it before may have fetched everything
already, or have been killed in between. Packs that no index knows, which a killed sync left, are taken over.

A file that is gone when it is fetched was probably replaced in between: a compaction writes one file in place
of many. So the source is listed again, and what counts is the last listing. Only a file that is listed again
and is gone again is an error.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

import msgspec

from cache.entry import Entry, make_entry
from cache.errors import DamagedFileError, EmptyListingError, UnfetchableError, UnsettledError, VanishedError
from cache.folder import MirrorFolder
from cache.index import (
    PACK_BYTES,
    STATE_BYTES,
    Index,
    PackRecord,
    forget_retired,
    packs_to_merge,
    with_listing,
    with_packs,
    without_packs,
)
from cache.source import Discarded, Fetched, Fetching, ListedAgain, Source, Tell, ignore
from cache.threads import in_thread
from cache.writer import PackWriter

MAX_LISTINGS = 16
"""A source in which after so many listings files are still gone when fetched is not being compacted."""


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """How a sync goes.

    Attributes:
        concurrency: files fetched at once.
        accept_empty: whether a source that had files may list none.
        tell: is told of the work.
        now: the clock, in Unix seconds.
    """

    concurrency: int = 16
    accept_empty: bool = False
    tell: Tell = ignore
    now: Callable[[], float] = time.time


async def sync(
    folder: MirrorFolder, source: Source, options: SyncOptions, *, refetch: Set[str] = frozenset()
) -> Index:
    """Brings the mirror up to date; SYNC is held.

    Args:
        folder: the mirror's.
        source: what it mirrors.
        options: how.
        refetch: files that are fetched even if they are there: what is kept of them proved useless.

    Returns:
        The index, which is saved: exactly the files of the last listing.

    Raises:
        EmptyListingError: the source had files, and lists none.
        UnfetchableError, UnsettledError: see the module.
        Exception: what the source raises, and `OSError`; nothing is retired then.

    Cancellation: what was fetched is written, and counts in the next sync.
    Bounds: `concurrency` fetches, two packs, and about 200 bytes for each file.
    """
    identity = source.identity
    saved, index, discarded = await in_thread(_revalidate, folder, identity, options.now())
    for event in discarded:
        options.tell(event)
    listing = await _list(source, index, options)
    held = index.tags()
    for name in refetch:
        held.pop(name, None)
    writer = PackWriter(folder, identity)
    failed: Set[str] = frozenset()
    for _ in range(MAX_LISTINGS):
        missing = _missing(listing, held)
        options.tell(Fetching(len(listing), len(missing)))
        vanished = await _fetch(source, missing, writer, options)
        if not vanished:
            break
        held |= {name: tag for name, tag in missing.items() if name not in vanished}
        options.tell(ListedAgain(len(vanished)))
        listing = await _list(source, index, options)
        if stuck := sorted(vanished & failed & listing.keys()):
            raise UnfetchableError("file is listed and cannot be fetched", file=stuck[0])
        failed = vanished
    else:
        raise UnsettledError(
            "source changes faster than it can be read",
            file=identity,
            found=f"{MAX_LISTINGS} listings with files that were gone when they were fetched",
        )
    now = options.now()
    if writer.written:
        index = with_packs(index, writer.written, now=now)
    index = with_listing(index, listing, now=now)
    return await in_thread(_finish, folder, saved, index, now)


def _revalidate(
    folder: MirrorFolder, identity: str, now: float
) -> tuple[Index | None, Index, list[Discarded]]:
    """What the index says; what of it is really there, with packs that no index knows; and what is not."""
    discarded: list[Discarded] = []
    saved = None
    try:
        saved = folder.load_index(identity=identity)
    except DamagedFileError as error:
        discarded.append(Discarded("index", str(error)))
    index = saved or Index(identity)
    files = folder.pack_files()
    for pack in index.packs:
        try:
            folder.check_pack(pack.file, pack.size)
        except DamagedFileError as error:
            discarded.append(Discarded(pack.file, str(error)))
    index = without_packs(index, {event.file for event in discarded}, now=now)
    index = forget_retired(index, index.retired.keys() - files)
    known = {pack.file for pack in index.packs} | index.retired.keys()
    if unknown := files - known:
        # The oldest first, but after all that are known, which are older still: where a name is in several
        # packs, the last one counts.
        by_age = sorted(unknown, key=lambda file: folder.stat_pack(file).st_mtime_ns)
        adopted = [_adopt(folder, identity, file, discarded) for file in by_age]
        index = with_packs(index, adopted, now=now)
    return saved, index, discarded


def _adopt(folder: MirrorFolder, identity: str, file: str, discarded: list[Discarded]) -> PackRecord:
    """The record of a pack that no index knows; a damaged one holds nothing."""
    try:
        entries = folder.read_pack(file, identity=identity)
    except DamagedFileError as error:
        discarded.append(Discarded(file, str(error)))
        entries = []
    live = {entry.name: entry.tag for entry in entries}
    return PackRecord(file, folder.stat_pack(file).st_size, len(entries), live)


def _missing(listing: Mapping[str, str], held: Mapping[str, str]) -> dict[str, str]:
    if listing == held:  # mostly, and told at a tenth of the price
        return {}
    return {name: tag for name, tag in listing.items() if held.get(name) != tag}


async def _list(source: Source, index: Index, options: SyncOptions) -> Mapping[str, str]:
    listing = await source.list_files()
    if not listing and index.packs and not options.accept_empty:
        raise EmptyListingError(
            "source had files, and lists none",
            file=source.identity,
            expected=f"some of {len(index.tags())} files",
        )
    return listing


async def _fetch(
    source: Source, missing: Mapping[str, str], writer: PackWriter, options: SyncOptions
) -> Set[str]:
    """Fetches files; returns those that were gone. The first error cancels the others, and is raised."""
    vanished: set[str] = set()
    identity = source.identity
    room = asyncio.Semaphore(options.concurrency)

    async def fetch(name: str, tag: str) -> None:
        try:
            async with source.fetch(name) as content:
                options.tell(Fetched(name, len(content)))
                await writer.add(make_entry(identity, name, tag=tag, content=content))
        except VanishedError:
            vanished.add(name)

    try:
        async with asyncio.TaskGroup() as group:
            for name, tag in missing.items():
                await room.acquire()
                # By a callback: a task that is cancelled before its first step runs no line of its own.
                group.create_task(fetch(name, tag)).add_done_callback(lambda _: room.release())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        await writer.flush()
    return vanished


def _finish(folder: MirrorFolder, saved: Index | None, index: Index, now: float) -> Index:
    """Merges packs where that is due, and saves the index if it says anything new."""
    old = packs_to_merge(index)
    if old:
        merged = _merge(folder, index.identity, old)
        index = with_packs(index, merged, now=now)
    if saved is None or saved.packs != index.packs:
        index = msgspec.structs.replace(index, state=secrets.token_bytes(STATE_BYTES))
    if index == saved:
        folder.touch_index(now)
    else:
        folder.save_index(index)
    return index


def _merge(folder: MirrorFolder, identity: str, old: Sequence[PackRecord]) -> list[PackRecord]:
    """Writes the live entries of `old` packs into as few new ones as they fill."""
    merged: list[PackRecord] = []
    entries: list[Entry] = []
    size = 0
    for pack in old:
        for entry in folder.read_pack(pack.file, identity=identity):
            if entry.name in pack.live:
                entries.append(entry)
                size += len(entry.content)
        if size >= PACK_BYTES:
            merged.append(folder.write_pack(identity, entries))
            entries, size = [], 0
    if entries:
        merged.append(folder.write_pack(identity, entries))
    return merged
