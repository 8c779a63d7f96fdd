"""Metadata as that of an archive of years that nobody ever compacted: a line a file."""

from __future__ import annotations

import shutil
from pathlib import Path

from restore.catalog.entries import (
    Entry,
    EpochEndingEntry,
    StateSnapshotEntry,
    TransactionEntry,
    encode_entry,
    file_name,
)

VERSIONS = 100_000
"""Of each backup of transactions: their files say numbers of ten digits."""


def make_files(folder: Path, count: int) -> None:
    """Makes `count` metadata files in a folder of their own, whole or not at all; kept for the next run."""
    if folder.exists():
        return
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for number in range(count):
        save_file(unfinished, number)
    unfinished.replace(folder)


def save_file(folder: Path, number: int) -> Path:
    """Makes the file of one entry."""
    entry = _entry(number)
    path = folder / file_name(entry)
    path.write_text(f"{encode_entry(entry)}\n")
    return path


def _entry(number: int) -> Entry:
    """Of ten, seven are of transactions, two of epoch endings and one of a state snapshot."""
    suffix = f"{number * 40_503 % (1 << 16):04x}"
    first, last = number * VERSIONS, (number + 1) * VERSIONS - 1
    match number % 10:
        case 0:
            return StateSnapshotEntry(
                number, last, f"state_epoch_{number}_ver_{last}.{suffix}/state.manifest"
            )
        case 1 | 2:
            return EpochEndingEntry(
                number, number, last, last, f"epoch_ending_{number}-.{suffix}/epoch_ending.manifest"
            )
        case _:
            return TransactionEntry(first, last, f"transaction_{first}-.{suffix}/transaction.manifest")
