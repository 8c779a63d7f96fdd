"""Whole commands on a generated backup: items/s, transactions/s, peak memory.

    python -m benchmarks.restoring                       1,000,000 items, 20,000 transactions
    python -m benchmarks.restoring --items 1000000 4000000 --chunk-items 15625

Several sizes with the same chunk size show whether the peak grows with the size of the state.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.processes import Measured, measure
from benchmarks.samples import folder_bytes, sample
from restore.sample.spec import SampleSpec

COLUMNS = "{:<34} {:>9} {:>9} {:>12} {:>10} {:>10}"


def main() -> None:
    """Measures and prints one table; `--json` writes the figures too."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, nargs="+", default=[1_000_000], help="state items, one run each")
    parser.add_argument("--transactions", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--chunk-items", type=int, default=15_625, help="items in a snapshot chunk, about")
    parser.add_argument("--memory-budget", default="512M")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "aptos-restore-benchmarks"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print(COLUMNS.format("command", "seconds", "cpu s", "items/s", "peak MB", "disk MB"))
    for items in options.items:
        rows += _measure_size(options, items)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def _measure_size(options: argparse.Namespace, items: int) -> list[dict[str, Any]]:
    spec = SampleSpec(
        state_items=items,
        transactions=options.transactions,
        epochs=options.epochs,
        snapshot_chunks=max(1, items // options.chunk_items),
        snapshot_interval_epochs=0,
        transactions_per_backup=max(1, options.transactions // 10),
        transaction_chunk_bytes=1 << 20,
    )
    backup, waypoint = sample(spec, options.folder)
    size = folder_bytes(backup)
    database = options.folder / f"database-{items}"
    shutil.rmtree(database, ignore_errors=True)
    snapshot = str(spec.epoch_ends()[spec.epochs - spec.tail_epochs])
    source = ["--local-fs-dir", str(backup), "--memory-budget", options.memory_budget]
    trust = ["--trust-waypoint", waypoint]
    into = [*trust, "--target-db-dir", str(database)]
    state_only = [*trust, "--start-version", "max"]
    transactions_only = [*trust, "--state-snapshot-before-version", "0"]
    to_snapshot = ["--target-version", snapshot]
    rows = [
        _row("verify: state", measure(["verify", *source, *state_only]), items, size),
        _row(
            "verify: transactions", measure(["verify", *source, *transactions_only]), spec.transactions, size
        ),
        _row("bootstrap-db: T = V", measure(["bootstrap-db", *source, *into, *to_snapshot]), items, size),
    ]
    shutil.rmtree(database)
    rows.append(_row("bootstrap-db: T > V", measure(["bootstrap-db", *source, *into]), items, size))
    rows.append(_row("verify-db", measure(["verify-db", str(database)]), items, folder_bytes(database)))
    shutil.rmtree(database)
    return rows


def _row(name: str, measured: Measured, count: int, size: int) -> dict[str, Any]:
    rate = count / measured.seconds
    print(
        COLUMNS.format(
            f"{name} ({count:,})",
            f"{measured.seconds:.1f}",
            f"{measured.cpu_seconds:.1f}",
            f"{rate:,.0f}",
            f"{measured.peak_bytes / 1e6:.0f}",
            f"{size / 1e6:.0f}",
        ),
        flush=True,
    )
    return {
        "name": name,
        "count": count,
        "seconds": round(measured.seconds, 2),
        "cpu_seconds": round(measured.cpu_seconds, 2),
        "per_second": round(rate),
        "peak_bytes": measured.peak_bytes,
        "disk_bytes": size,
    }


if __name__ == "__main__":
    main()
