"""What the rows of whole commands have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.figures import Row
from benchmarks.processes import PURE, Measured
from benchmarks.storage.measuring import measure as measure_reading
from benchmarks.storage.objects import unpacked_size

PURE_KERNEL = "hashlib"
"""What `APTOS_RESTORE_KERNEL` says for the pure Python path."""

LIBDEFLATE = "libdeflate alone, 2 threads"
"""Unpacks the same files and does nothing else: what nobody can exceed."""

WAITS = ("budget", "turn")
"""Stages in which a chunk waits: no work is done in them."""


PUBLISHED = "Rust tool, as published"
"""What its authors told of larger machines: no measurement of ours, and the same in each round."""


def count_of(run: Measured, unit: str) -> int:
    """How many items or transactions a command told of."""
    count: int = run.result["state_items" if unit == "items" else unit]
    return count


def rate(run: Measured, unit: str) -> float:
    """Items or transactions a second, by the time that the command tells; its start has rows of its own."""
    return count_of(run, unit) / float(run.result["seconds"])


def rates(runs: Sequence[Measured], unit: str) -> tuple[float, ...]:
    """The same for each round."""
    return tuple(rate(run, unit) for run in runs)


def command_rows(
    command: str,
    unit: str,
    ours: Sequence[Measured],
    pure: Sequence[Measured],
    *,
    must: float | None = None,
    must_ratio: float | None = None,
) -> Iterator[Row]:
    """The rate of one command, its CPU time, and the time of its stages for each item.

    Args:
        command: as it is called.
        unit: "items" or "transactions".
        ours: one run for each round.
        pure: the same by the pure Python path, perhaps of fewer items.
        must: the rate that was promised, if any was.
        must_ratio: over the pure Python path, if any was promised.
    """
    work = f"{count_of(ours[0], unit):,} {unit}"
    yield Row(
        part=command,
        work=work,
        unit=f"{unit}/s",
        ours=rates(ours, unit),
        rival=PURE,
        rivals=rates(pure, unit),
        must=must,
        must_ratio=must_ratio,
    )
    yield Row(
        part=command,
        work="CPU time of all threads",
        unit=f"us/{unit.rstrip('s')}",
        ours=_micros([run.cpu_seconds for run in ours], ours, unit),
        rival=PURE,
        rivals=_micros([run.cpu_seconds for run in pure], pure, unit),
        less_is_better=True,
    )
    yield from _stage_rows(unit, command, ours, pure)


def published_row(command: str, unit: str, runs: Sequence[Measured], published: float) -> Row:
    """The rate of a command beside the one that was published for the Rust tool."""
    return Row(
        part=command,
        work=f"{count_of(runs[0], unit):,} {unit}",
        unit=f"{unit}/s",
        ours=rates(runs, unit),
        rival=PUBLISHED,
        rivals=(published,) * len(runs),
    )


def unpacking_row(command: str, runs: Sequence[Measured], unpacked: float, limits: Sequence[float]) -> Row:
    """Unpacked bytes a second of a command beside what unpacking alone allows.

    Args:
        command: as it is called.
        runs: one for each round.
        unpacked: bytes of all chunks, which each run reads.
        limits: bytes a second of `unpack_rate`, one for each round.
    """
    return Row(
        part=command,
        work="unpacked bytes",
        unit="MB/s",
        ours=tuple(unpacked / float(run.result["seconds"]) / 1e6 for run in runs),
        rival=LIBDEFLATE,
        rivals=tuple(limit / 1e6 for limit in limits),
    )


def unpacked_bytes(backup: Path) -> int:
    """Bytes of all chunks of a packed backup."""
    return sum(map(unpacked_size, _chunk_files(backup)))


def unpack_rate(backup: Path, scratch: Path) -> float:
    """Bytes a second that two threads of libdeflate unpack of all chunks."""
    names = scratch / "names"
    names.write_text("".join(f"{file.relative_to(backup)}\n" for file in _chunk_files(backup)))
    module = ["-m", "benchmarks.storage.libraries", "libdeflate", str(backup), "--at-once", "2", str(names)]
    size = unpacked_bytes(backup)
    run = measure_reading([sys.executable, *module], dict(os.environ), size=size, tells=True)
    return size / run.seconds


def _chunk_files(backup: Path) -> list[Path]:
    return sorted(backup.glob("*/*.chunk"))


def _stage_rows(unit: str, command: str, ours: Sequence[Measured], pure: Sequence[Measured]) -> Iterator[Row]:
    """The time of each stage that takes any, for each item, summed over all threads."""
    stages = [_stages(run) for run in ours]
    rivals = [_stages(run) for run in pure]
    for stage in stages[0]:
        if all(figures.get(stage, 0.0) > 0 for figures in (*stages, *rivals)):
            yield Row(
                part=command,
                work=f"{'waiting for' if stage in WAITS else 'stage'} {stage}",
                unit=f"us/{unit.rstrip('s')}",
                ours=_micros([figures[stage] for figures in stages], ours, unit),
                rival=PURE,
                rivals=_micros([figures[stage] for figures in rivals], pure, unit),
                less_is_better=True,
            )


def _stages(run: Measured) -> dict[str, float]:
    """Seconds of each stage of the phase that takes longest; none where a command tells nothing of it."""
    phases: list[dict[str, dict[str, float]]] = list(run.result.get("stages", {}).values())
    told = [{stage: figures["seconds"] for stage, figures in phase.items()} for phase in phases]
    return max(told, key=lambda seconds: sum(seconds.values()), default={})


def _micros(seconds: Sequence[float], runs: Sequence[Measured], unit: str) -> tuple[float, ...]:
    return tuple(one * 1e6 / count_of(run, unit) for one, run in zip(seconds, runs, strict=True))
