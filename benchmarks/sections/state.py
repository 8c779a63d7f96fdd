"""Whole commands on a huge state: `verify`, and `bootstrap-db` into a database on disk."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from benchmarks.figures import Row
from benchmarks.processes import Measured, measure
from benchmarks.rounds import in_turn
from benchmarks.sections.commands import (
    PURE_KERNEL,
    command_rows,
    published_row,
    unpack_rate,
    unpacked_bytes,
    unpacking_row,
)
from benchmarks.settings import Setting
from benchmarks.snapshots.spec import SnapshotSpec
from benchmarks.snapshots.writing import snapshot

VERIFY, BOOTSTRAP = "verify", "bootstrap-db"

PUBLISHED_ITEMS = 80_000.0
"""Items a second of the Rust tool, published in 2022."""

MUST_VERIFY, MUST_BOOTSTRAP = 1.2e6, 350e3
"""Items a second on two cores."""

MUST_VERIFY_RATIO = 10.0
"""Over the pure Python path."""


def rows(setting: Setting) -> list[Row]:
    """Measures both commands, and both once more by the pure Python path, of fewer items."""
    sizes = setting.sizes
    backup, waypoint = snapshot(SnapshotSpec(sizes.items), setting.folder)
    small, small_waypoint = snapshot(SnapshotSpec(sizes.pure_items), setting.folder)
    commands = in_turn(
        {
            "verify": partial(_verify, backup, waypoint),
            "pure verify": partial(_verify, small, small_waypoint, kernel=PURE_KERNEL),
            "bootstrap": partial(restore, backup, waypoint, setting.scratch),
            "pure bootstrap": partial(restore, small, small_waypoint, setting.scratch, kernel=PURE_KERNEL),
        },
        sizes.rounds,
    )
    limits = in_turn({"unpack": partial(unpack_rate, backup, setting.scratch)}, sizes.rounds)["unpack"]
    verified, restored = commands["verify"], commands["bootstrap"]
    unpacked = unpacked_bytes(backup)
    return [
        *command_rows(
            VERIFY, "items", verified, commands["pure verify"], must=MUST_VERIFY, must_ratio=MUST_VERIFY_RATIO
        ),
        unpacking_row(VERIFY, verified, unpacked, limits),
        *command_rows(BOOTSTRAP, "items", restored, commands["pure bootstrap"], must=MUST_BOOTSTRAP),
        published_row(BOOTSTRAP, "items", restored, PUBLISHED_ITEMS),
        unpacking_row(BOOTSTRAP, restored, unpacked, limits),
    ]


def restore(backup: Path, waypoint: str, scratch: Path, *options: str, kernel: str | None = None) -> Measured:
    """Restores a backup into a fresh database, which is removed again."""
    target = scratch / "database"
    source = ["--local-fs-dir", str(backup), "--trust-waypoint", waypoint]
    try:
        return measure(["bootstrap-db", *source, "--target-db-dir", str(target), *options], kernel=kernel)
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _verify(backup: Path, waypoint: str, *, kernel: str | None = None) -> Measured:
    source = ["--local-fs-dir", str(backup), "--trust-waypoint", waypoint]
    return measure(["verify", *source, "--start-version", "max"], kernel=kernel)
