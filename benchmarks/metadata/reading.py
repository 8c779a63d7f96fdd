"""One reading of all metadata: `python -m benchmarks.metadata.reading WAY WHERE [CACHE] [--sample N]`.

    view URL CACHE        what every command does at its start
    parts URL CACHE       the same step by step, for what each takes
    commands FILE CACHE   as `view`, by the commands of an adapter's configuration
    one-by-one FOLDER     opens, reads and parses each file of a local folder: as fast as Python can
    in-turn FOLDER        reads and parses each file of a local backup, as any file of a backup is read

Prints one JSON object. What came before the reading, imports above all, counts neither as time nor as memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import uvloop

from cache.mirror import Mirror
from cache.sync import SyncOptions
from restore.catalog.entries import Entry
from restore.catalog.mirror import SMALL_FILES_AT_ONCE, MirrorOptions, load_view
from restore.catalog.mirror_source import MAX_METADATA_BYTES, MetadataSource
from restore.catalog.parsing import parse_entries
from restore.catalog.summary import decode_view
from restore.catalog.view import MetadataView
from restore.cli.reading import CHILDREN_BESIDE
from restore.flow.threads import in_thread
from restore.report.events import silent
from restore.storage.base import Storage, read_file
from restore.storage.command import IDLE_SECONDS
from restore.storage.opening import (
    Reach,
    Source,
    Wishes,
    open_storage,
    source_of_config,
    source_of_folder,
    source_of_url,
)

REACH = Reach(silent, SMALL_FILES_AT_ONCE + CHILDREN_BESIDE, IDLE_SECONDS)

Figures = Mapping[str, float]


def main() -> None:
    """Reads, and prints how long it took, how many entries there are, and what memory was needed for them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("where")
    parser.add_argument("cache", type=Path, nargs="?")
    parser.add_argument("--sample", type=int, help="read so many files in turn")
    options = parser.parse_args()
    print(json.dumps(uvloop.run(WAYS[options.way](options))))


async def view(options: argparse.Namespace) -> Figures:
    """Through the cache, over HTTP."""
    return await _measured(source_of_url(options.where, Wishes()), partial(_view, options.cache))


async def parts(options: argparse.Namespace) -> Figures:
    """Through the cache, over HTTP, step by step."""
    return await _measured(source_of_url(options.where, Wishes()), partial(_view_by_parts, options.cache))


async def commands(options: argparse.Namespace) -> Figures:
    """Through the cache, by commands."""
    source = source_of_config(Path(options.where), Wishes(), native=False)
    return await _measured(source, partial(_view, options.cache))


async def one_by_one(options: argparse.Namespace) -> Figures:
    """Without a cache, from a local folder."""
    return await in_thread(_read_one_by_one, options.where)


async def in_turn(options: argparse.Namespace) -> Figures:
    """Without a cache, from a local backup."""
    return await _measured(source_of_folder(Path(options.where)), partial(_view_in_turn, options.sample))


async def _measured(
    source: Source, read: Callable[[Storage], Awaitable[tuple[MetadataView, Figures]]]
) -> Figures:
    async with open_storage(source, REACH) as storage:
        bare = _memory_kib("VmRSS")
        began = time.monotonic()
        found, parts = await read(storage)
        return {**_figures(found, bare, began), **parts}


async def _view(cache: Path, storage: Storage) -> tuple[MetadataView, Figures]:
    return await load_view(storage, MirrorOptions(cache), concurrency=SMALL_FILES_AT_ONCE), {}


async def _view_by_parts(cache: Path, storage: Storage) -> tuple[MetadataView, Figures]:
    source = _TimedMetadata(storage)
    mirror = Mirror(cache, source, SyncOptions(SMALL_FILES_AT_ONCE))
    began = time.monotonic()
    async with mirror.synced() as snapshot:
        synced = time.monotonic()
        found = decode_view(await snapshot.summary() or b"")
    if found is None:
        sys.exit("the cache has no summary: something changed since it was filled")
    return found, {
        "list_seconds": source.list_seconds,
        "sync_seconds": synced - began - source.list_seconds,
        "load_seconds": time.monotonic() - synced,
    }


async def _view_in_turn(sample: int, storage: Storage) -> tuple[MetadataView, Figures]:
    entries: list[Entry] = []
    handles = list(islice(await storage.list_metadata(), sample))
    began = time.monotonic()  # a listing is of all files, and not counted where a sample is read
    for handle in handles:
        entries += parse_entries(await read_file(storage, handle, max_bytes=MAX_METADATA_BYTES), file=handle)
    return MetadataView(entries), {"seconds": time.monotonic() - began}


def _read_one_by_one(folder: str) -> Figures:
    bare = _memory_kib("VmRSS")
    began = time.monotonic()
    entries: list[Entry] = []
    with os.scandir(folder) as files:
        for file in files:
            with open(file.path, "rb") as stream:  # noqa: PTH123 - half as fast through a `Path`
                entries += parse_entries(stream.read(), file=file.name)
    return _figures(MetadataView(entries), bare, began)


class _TimedMetadata(MetadataSource):
    list_seconds = 0.0

    async def list_files(self) -> Mapping[str, str]:
        began = time.monotonic()
        listing = await super().list_files()
        self.list_seconds += time.monotonic() - began
        return listing


def _figures(found: MetadataView, bare_kib: int, began: float) -> Figures:
    return {
        "seconds": time.monotonic() - began,
        "entries": len(found.epoch_endings) + len(found.state_snapshots) + len(found.transactions),
        "memory_kib": _memory_kib("VmHWM") - bare_kib,
    }


def _memory_kib(name: str) -> int:
    """What the kernel says of this process: resident now (VmRSS), or at most so far (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])  # its kB are KiB
    raise ValueError(name)


WAYS: Mapping[str, Callable[[argparse.Namespace], Coroutine[Any, Any, Figures]]] = {
    "view": view,
    "parts": parts,
    "commands": commands,
    "one-by-one": one_by_one,
    "in-turn": in_turn,
}

if __name__ == "__main__":
    main()
