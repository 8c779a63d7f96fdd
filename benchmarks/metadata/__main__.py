"""Measures the metadata cache with 50,000 files, over HTTP from the loopback.

    python -m benchmarks.metadata
    python -m benchmarks.metadata --files 5000 --rounds 1

Each round measures everything once, in processes of their own: with a fresh cache, by one shell child for
each of some files, with nothing changed (as a whole, and by parts), with 10 new files, and without a cache
from a local folder, where each file is opened, read and parsed: by nothing but system calls, and as any file
of a backup is read. Ratios are within a round, and the median of
all rounds counts. At the end memory is measured at several numbers of files.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from benchmarks.metadata.files import make_files
from benchmarks.metadata.rounds import NEW_FILES, Round, Served, measure_memory, measure_round
from benchmarks.storage.objects import BUCKET
from benchmarks.storage.servers import serving
from restore.storage.names import METADATA_FOLDER

WARM_SECONDS_GOAL = 1.0
"""With 50,000 files and nothing changed."""

RATIO_GOAL = 10.0
"""So many times faster than parsing one by one."""

COLUMNS = "{:<44} {:>9} {:>10}"


def main() -> None:
    """Measures and prints; `--json` writes the figures too."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sample", type=int, default=1000, help="files that are read in slow ways, at most")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "aptos-restore-benchmarks"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    files, sample = options.files, min(options.sample, options.files)
    root = options.folder / "metadata"
    sizes = (files // 5, files, 2 * files)
    folders = {size: root / BUCKET / str(size) / METADATA_FOLDER for size in sizes}
    for size, folder in folders.items():
        make_files(folder, size)
    with tempfile.TemporaryDirectory(dir=options.folder) as name, serving(root, Path(name)) as servers:
        if servers.http is None:
            sys.exit("nginx is not installed (Debian: apt install nginx-light)")
        scratch = Path(name)
        served = {size: Served(f"{servers.http}/{size}", folders[size], size) for size in sizes}
        rounds = []
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            rounds.append(measure_round(served[files], scratch, sample=sample))
        memory = {size: measure_memory(served[size], scratch) for size in sizes}
    print(f"{files:,} files, medians of {len(rounds)} rounds, {os.cpu_count()} CPUs\n")
    _print_times(rounds, files, sample)
    print()
    _print_ratios(rounds, files, sample)
    print()
    _print_memory(memory)
    if options.json:
        figures = {"rounds": [asdict(one) for one in rounds], "memory_kib": memory}
        options.json.write_text(json.dumps(figures, indent=1))


def _print_times(rounds: Sequence[Round], files: int, sample: int) -> None:
    print(COLUMNS.format("what", "seconds", "files/s"))
    for name, seconds, count in (
        ("fresh cache, over HTTP", lambda one: one.cold, files),
        (f"fresh cache, a shell child for each of {sample:,}", lambda one: one.commands, sample),
        ("nothing changed", lambda one: one.warm, files),
        ("  of which: listing", lambda one: one.listing, files),
        ("  sync besides", lambda one: one.sync, files),
        ("  reading what is kept", lambda one: one.load, files),
        (f"{NEW_FILES} new files", lambda one: one.new_files, files),
        ("one by one from a local folder", lambda one: one.one_by_one, files),
        (f"  as files of a backup are read, {sample:,}", lambda one: one.in_turn, sample),
    ):
        value = median(map(seconds, rounds))
        print(COLUMNS.format(name, f"{value:.3f}", f"{count / value:,.0f}"))


def _print_ratios(rounds: Sequence[Round], files: int, sample: int) -> None:
    print(COLUMNS.format("ratio or goal", "value", "must"))
    commands = median(one.commands / sample / (one.cold / files) for one in rounds)
    warm = median(one.warm for one in rounds)
    faster = median(one.one_by_one / one.warm for one in rounds)
    local = median(one.one_by_one / (one.sync + one.load) for one in rounds)
    in_turn = median(one.in_turn / sample / (one.warm / files) for one in rounds)
    print(COLUMNS.format("fresh cache: HTTP faster than shell children", f"{commands:.1f}", ""))
    print(COLUMNS.format("nothing changed: seconds", f"{warm:.2f}", f"< {WARM_SECONDS_GOAL:g}"))
    print(COLUMNS.format("nothing changed: faster than one by one", f"{faster:.1f}", f">= {RATIO_GOAL:g}"))
    print(COLUMNS.format("  the same without the listing", f"{local:.1f}", ""))
    print(COLUMNS.format("  than as files of a backup are read", f"{in_turn:.1f}", f">= {RATIO_GOAL:g}"))


def _print_memory(memory: Mapping[int, tuple[int, int]]) -> None:
    print(COLUMNS.format("KiB beyond the bare process", "fresh", "unchanged"))
    for size, (cold, warm) in memory.items():
        print(COLUMNS.format(f"{size:,} files", f"{cold:,}", f"{warm:,}"))


if __name__ == "__main__":
    main()
