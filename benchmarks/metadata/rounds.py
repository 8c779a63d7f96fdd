"""What one round measures, each in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.metadata.files import save_file

NEW_FILES = 10
"""As many as a backup adds in some hours."""

MOST_SECONDS = 600.0
"""A reading that takes longer hangs."""


@dataclass(frozen=True, slots=True)
class Served:
    """Metadata files at a server.

    Attributes:
        url: of the backup.
        folder: of the metadata files.
        count: how many there are.
    """

    url: str
    folder: Path
    count: int


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of each reading.

    Attributes:
        cold: with a fresh cache.
        commands: of some files, by a shell child for each.
        warm: with nothing changed.
        listing, sync, load: what that is made of, measured apart.
        new_files: with `NEW_FILES` new ones.
        one_by_one: without a cache, from a local folder, by nothing but system calls.
        in_turn: of some files, from the same folder as any file of a backup is read.
    """

    cold: float
    commands: float
    warm: float
    listing: float
    sync: float
    load: float
    new_files: float
    one_by_one: float
    in_turn: float


def measure_round(served: Served, scratch: Path, *, sample: int) -> Round:
    """Measures everything once; `sample` files by commands, and in turn."""
    with _fresh(scratch / "cache") as cache:
        cold = _read("view", served.url, cache, entries=served.count)
        warm = _read("view", served.url, cache, entries=served.count)
        parts = _read("parts", served.url, cache, entries=served.count)
        new = [save_file(served.folder, served.count + number) for number in range(NEW_FILES)]
        try:
            new_files = _read("view", served.url, cache, entries=served.count + NEW_FILES)
        finally:
            for file in new:
                file.unlink()
    with _fresh(scratch / "cache") as cache:
        config = _write_config(served, scratch, sample)
        commands = _read("commands", config, cache, entries=sample)
    one_by_one = _read("one-by-one", served.folder, entries=served.count)
    in_turn = _read("in-turn", served.folder.parent, "--sample", sample, entries=sample)
    return Round(
        cold=cold["seconds"],
        commands=commands["seconds"],
        warm=warm["seconds"],
        listing=parts["list_seconds"],
        sync=parts["sync_seconds"],
        load=parts["load_seconds"],
        new_files=new_files["seconds"],
        one_by_one=one_by_one["seconds"],
        in_turn=in_turn["seconds"],
    )


def measure_memory(served: Served, scratch: Path) -> tuple[int, int]:
    """KiB beyond the bare process, with a fresh cache and with nothing changed."""
    with _fresh(scratch / "cache") as cache:
        cold, warm = (_read("view", served.url, cache, entries=served.count) for _ in range(2))
    return int(cold["memory_kib"]), int(warm["memory_kib"])


def _read(way: str, *arguments: object, entries: int) -> dict[str, float]:
    """Runs `reading` in a process of its own, which must find so many entries; returns its figures."""
    command = [sys.executable, "-m", "benchmarks.metadata.reading", way, *map(str, arguments)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, timeout=MOST_SECONDS, check=True)
    figures: dict[str, float] = json.loads(finished.stdout)
    if figures["entries"] != entries:
        sys.exit(f"{' '.join(command)} found {figures['entries']} entries, not {entries}")
    return figures


def _write_config(served: Served, scratch: Path, sample: int) -> Path:
    """An adapter's configuration that lists some of the files, and reads them as published ones do."""
    names = scratch / "names"
    names.write_text("".join(f"metadata/{file.name}\n" for file in islice(served.folder.iterdir(), sample)))
    read = 'curl --silent --show-error --fail --noproxy "*" "$URL/$FILE_HANDLE"'
    unused = dict.fromkeys(("create_backup", "create_for_write", "save_metadata_line"), "exit 99")
    commands = {"open_for_read": read, "list_metadata_files": 'cat "$NAMES"', **unused}
    variables = [{"key": "URL", "value": served.url}, {"key": "NAMES", "value": str(names)}]
    config = scratch / "adapter.json"
    config.write_text(json.dumps({"env_vars": variables, "commands": commands}))
    return config


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """A folder that is not there before the block, nor after it."""
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
