"""The peak of `bootstrap-db` over the size of the state: a budget bounds it, and the size does not matter."""

from __future__ import annotations

from functools import partial

from benchmarks.figures import Row
from benchmarks.rounds import in_turn
from benchmarks.sections.state import restore
from benchmarks.settings import Setting
from benchmarks.snapshots.spec import SnapshotSpec
from benchmarks.snapshots.writing import snapshot

OPTIONS = ("--memory-budget", "512M", "--concurrent-downloads", "2")

MUST_FLATNESS = 0.9
"""The smallest state's peak over a larger one's: 1 is flat."""

MEMORY_ROUNDS = 1
"""The peak of a run hardly differs from that of the next."""


def rows(setting: Setting) -> list[Row]:
    """One row for each size, beside the smallest."""
    sizes = setting.sizes
    peaks: dict[int, tuple[float, ...]] = {}
    for items in sizes.memory_items:
        backup, waypoint = snapshot(SnapshotSpec(items, sizes.memory_chunk_bytes), setting.folder)
        runs = in_turn(
            {"restore": partial(restore, backup, waypoint, setting.scratch, *OPTIONS)}, MEMORY_ROUNDS
        )
        peaks[items] = tuple(run.peak_bytes / 1e6 for run in runs["restore"])
    smallest, *larger = sizes.memory_items
    part = f"peak memory: bootstrap-db {' '.join(OPTIONS)}, chunks of {sizes.memory_chunk_bytes >> 20} MiB"
    first = Row(part=part, work=f"{smallest:,} items", unit="MB", ours=peaks[smallest], less_is_better=True)
    others = [
        Row(
            part=part,
            work=f"{items:,} items",
            unit="MB",
            ours=peaks[items],
            rival=first.work,
            rivals=first.ours,
            less_is_better=True,
            must_ratio=MUST_FLATNESS,
        )
        for items in larger
    ]
    return [first, *others]
