"""Restores through links that fail: what they end in, and what stalls cost.

    python -m benchmarks.faulty                        a backup of 1 GB, each setting
    python -m benchmarks.faulty --settings --pairs 3   only what stalls cost
    python -m benchmarks.faulty --size 50             a small one, of 50 MB

The backup's files are packed as published ones are, and served by a process of its own; the command line
restores them. A restore that comes to its end must have the rows of a local one; one that refuses must leave
a target that is not finished, and that the local files finish with the same rows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.faults import FaultPlan, serve_in_process
from benchmarks.packing import pack
from benchmarks.processes import Measured, measure
from benchmarks.rows import row_digests
from benchmarks.samples import sample
from restore.errors import ForeignTargetError
from restore.sample.spec import SampleSpec
from restore.target.mark import load_finished

STATE_SHARE = 0.85
"""Of the backup's bytes; the rest is transactions."""

ITEM_BYTES = 476
TRANSACTION_BYTES = 2100
"""In a backup, about."""

SNAPSHOT_CHUNKS = 220
"""With their proofs more than 400 requests, at any size."""

REFUSED = (20, 40)
"""Exit codes of a restore that got something other than the backup: data invalid, out of bounds."""

STALLS = FaultPlan(stall=0.01)

SETTINGS: Mapping[str, tuple[FaultPlan, tuple[int, ...]]] = {
    "no faults": (FaultPlan(), (0,)),
    "1 % stall for ever": (STALLS, (0,)),
    "10 % reset": (FaultPlan(reset=0.1), (0,)),
    "5 % cut short": (FaultPlan(truncate=0.05), (0,)),
    "503 for 5 s of 15": (FaultPlan(burst_every=15, burst_seconds=5), (0,)),
    "100 to 200 ms late": (FaultPlan(latency=0.1, jitter=0.1), (0,)),
    "all together": (
        FaultPlan(
            stall=0.01, reset=0.1, truncate=0.05, burst_every=15, burst_seconds=5, latency=0.1, jitter=0.1
        ),
        (0,),
    ),
    "5 % drip": (FaultPlan(drip=0.05, drip_rate=20_000), (0,)),
    "5 % slow headers": (FaultPlan(slow_headers=0.05, slow_headers_seconds=3), (0,)),
    "partial, double listings": (FaultPlan(partial_list=0.5, duplicate=0.5, first=4), (0,)),
    "1 % flipped": (FaultPlan(flip=0.01), (0, *REFUSED)),
    "1 % shifted": (FaultPlan(shifted=0.01), (0, *REFUSED)),
    "5 % another range": (FaultPlan(wrong_range=0.05), (0, *REFUSED)),
    "5 % ignore the range": (FaultPlan(ignore_range=0.05), (0, *REFUSED)),
    "resets, objects replaced": (FaultPlan(reset=0.1, changed_etag=0.05), (0, *REFUSED)),
    "1 % gzip bombs": (FaultPlan(gzip_bomb=0.01, bomb_bytes=8 << 30), (0, *REFUSED)),
}
"""By name: what goes wrong, and the exit codes that are right then."""

HEADINGS = (
    "setting",
    "seconds",
    "exit",
    "requests",
    "faults",
    "retries",
    "stalls",
    "hedges",
    "peak MB",
    "end",
)
COLUMNS = "{:<24} {:>7} {:>4} {:>8} {:>6} {:>7} {:>6} {:>6} {:>7}  {}"


@dataclass(frozen=True, slots=True)
class Course:
    """What is restored, again and again.

    Attributes:
        plain: the backup.
        packed: the same, as it is served.
        waypoint: of its genesis.
        target: where each database goes in turn.
        rows: digests of the rows of a local restore.
    """

    plain: Path
    packed: Path
    waypoint: str
    target: Path
    rows: dict[str, str]

    def command(self, *source: str) -> list[str]:
        """A restore from `source`."""
        trust = ["--trust-waypoint", self.waypoint]
        return ["bootstrap-db", *source, *trust, "--target-db-dir", str(self.target)]


def main() -> None:
    """Measures and prints; exits 1 at rows that differ, or at an exit code that is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1000, help="MB of the unpacked backup, about")
    parser.add_argument("--settings", nargs="*", choices=SETTINGS, default=list(SETTINGS), metavar="NAME")
    parser.add_argument("--pairs", type=int, default=0, help="runs with stalls against runs without")
    parser.add_argument("--seed", type=int, default=3, help="of the faults")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "aptos-restore-benchmarks"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        course = _course(options.size * 10**6, options.folder, Path(scratch))
        if options.settings:
            print(COLUMNS.format(*HEADINGS))
        rows = [_measure_setting(course, name, options.seed) for name in options.settings]
        pairs = [_measure_pair(course, options.seed + number) for number in range(options.pairs)]
    if pairs:
        ratio = statistics.median(pair["ratio"] for pair in pairs)
        print(f"with stalls it takes {ratio:.2f} times as long, in the median")
    if options.json:
        options.json.write_text(json.dumps({"settings": rows, "pairs": pairs}, indent=1))


def _course(size: int, folder: Path, scratch: Path) -> Course:
    """The backup of about `size` bytes, made and packed if it is not there yet, and its rows."""
    transactions = max(1000, int(size * (1 - STATE_SHARE) / TRANSACTION_BYTES))
    spec = SampleSpec(
        state_items=int(size * STATE_SHARE / ITEM_BYTES),
        transactions=transactions,
        epochs=20,
        snapshot_chunks=SNAPSHOT_CHUNKS,
        snapshot_interval_epochs=0,
        transactions_per_backup=transactions // 10,
        transaction_chunk_bytes=1 << 20,
    )
    plain, waypoint = sample(spec, folder)
    packed = plain.with_name("packed")
    if not packed.exists():
        pack(plain, packed)
    course = Course(plain, packed, waypoint, scratch / "target", {})
    measure(course.command("--local-fs-dir", str(plain)))
    rows = row_digests(course.target)
    shutil.rmtree(course.target)
    return replace(course, rows=rows)


def _measure_setting(course: Course, name: str, seed: int) -> dict[str, Any]:
    """Restores with these faults, and compares."""
    plan, accepted = SETTINGS[name]
    with serve_in_process(course.packed, replace(plan, seed=seed)) as server:
        run = measure(course.command("--storage", server.url), accepted=accepted)
    outcome = "equal rows"
    if run.exit_code:
        outcome = "refused; finished by the local files with equal rows"
        _check_unfinished(course.target, name)
        measure(course.command("--local-fs-dir", str(course.plain)))
    found = row_digests(course.target)
    differing = [table for table, digest in course.rows.items() if found[table] != digest]
    if differing:
        sys.exit(f"{name}, seed {seed}: rows differ in {', '.join(differing)}")
    shutil.rmtree(course.target)
    figures = _figures(run) | {
        "name": name,
        "seed": seed,
        "requests": server.counters["requests"],
        "faults": server.counters["faults"],
        "outcome": outcome,
    }
    _print_setting(figures)
    return figures


def _measure_pair(course: Course, seed: int) -> dict[str, Any]:
    """One run without faults and one with stalls; which comes first alternates."""
    plans = {"clean": FaultPlan(), "stalling": replace(STALLS, seed=seed)}
    runs: dict[str, Any] = {}
    for name in sorted(plans, reverse=seed % 2 == 0):
        with serve_in_process(course.packed, plans[name]) as server:
            runs[name] = _figures(measure(course.command("--storage", server.url)))
        runs[name]["faults"] = server.counters["faults"]
        shutil.rmtree(course.target)
    ratio = runs["stalling"]["seconds"] / runs["clean"]["seconds"]
    stalled = sum(runs["stalling"]["faults"].values())
    print(
        f"pair of seed {seed}: {runs['clean']['seconds']:.1f} s without faults, "
        f"{runs['stalling']['seconds']:.1f} s with {stalled} stalls: {ratio:.2f} times",
        flush=True,
    )
    return {"seed": seed, "ratio": round(ratio, 3), **runs}


def _check_unfinished(target: Path, name: str) -> None:
    try:
        load_finished(target)
    except ForeignTargetError:
        return
    sys.exit(f"{name}: the restore was refused, and its target is finished")


def _figures(run: Measured) -> dict[str, Any]:
    told = {name: run.result.get(name) for name in ("retries", "stalls", "hedges", "bytes_downloaded")}
    return {
        "exit_code": run.exit_code,
        "seconds": round(run.seconds, 2),
        "peak_bytes": run.peak_bytes,
        "error": run.result.get("message"),
        **told,
    }


def _print_setting(figures: Mapping[str, Any]) -> None:
    told = [figures[name] for name in ("retries", "stalls", "hedges")]
    print(
        COLUMNS.format(
            figures["name"],
            f"{figures['seconds']:.1f}",
            figures["exit_code"],
            figures["requests"],
            sum(figures["faults"].values()),
            *("" if value is None else value for value in told),
            f"{figures['peak_bytes'] / 1e6:.0f}",
            figures["outcome"],
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
