"""How much is measured: quickly while one works on the code, or in full to be told to others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large everything is.

    Attributes:
        rounds: of everything; a figure of one round says nothing of its noise.
        items: of the state, for whole commands.
        pure_items: the same for the pure Python path, which takes ten times as long for each.
        transactions: for whole commands.
        pure_transactions: the same for the pure Python path.
        epochs: of the history.
        memory_items: of the states whose memory is compared.
        memory_chunk_bytes: unpacked bytes of their chunks.
        storage: options of `benchmarks.storage`.
        metadata_files: that the metadata cache holds.
        part_seconds: for each part in each round.
        table_rows: of each table file.
    """

    rounds: int
    items: int
    pure_items: int
    transactions: int
    pure_transactions: int
    epochs: int
    memory_items: tuple[int, ...]
    memory_chunk_bytes: int
    storage: tuple[str, ...]
    metadata_files: int
    part_seconds: float
    table_rows: int


QUICK = Sizes(
    rounds=2,
    items=500_000,
    pure_items=60_000,
    transactions=60_000,
    pure_transactions=10_000,
    epochs=200,
    memory_items=(400_000, 800_000),
    memory_chunk_bytes=16 << 20,
    storage=("--scale", "0.05", "--only", "G1"),
    metadata_files=2_000,
    part_seconds=0.1,
    table_rows=50_000,
)

FULL = Sizes(
    rounds=5,
    items=4_000_000,
    pure_items=400_000,
    transactions=200_000,
    pure_transactions=20_000,
    epochs=2_000,
    memory_items=(1_000_000, 2_000_000, 4_000_000, 8_000_000),
    memory_chunk_bytes=128 << 20,
    storage=("--scale", "0.5", "--only", "G1,G2,G4,G5,G6"),
    metadata_files=50_000,
    part_seconds=0.5,
    table_rows=200_000,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a section measures, and how much.

    Attributes:
        sizes: how much.
        folder: where samples are kept for the next run.
        scratch: for what nobody needs afterwards; on a disk, as databases are.
    """

    sizes: Sizes
    folder: Path
    scratch: Path


class SkippedError(Exception):
    """A section cannot be measured here; says why."""
