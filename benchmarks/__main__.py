"""Measures the whole program beside its rivals and its limits, and prints one table.

    python -m benchmarks                         in full: about an hour, and a while more to make the samples
    python -m benchmarks --quick                 less than three minutes, once its samples are there
    python -m benchmarks --only state,epochs     these sections

What is measured and how the table reads is told in docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.figures import SCHEMA, Results, Row, machine, save
from benchmarks.samples import FOLDER
from benchmarks.sections import epochs, kernel, memory, others, parts, start, state, transactions
from benchmarks.settings import FULL, QUICK, Setting, SkippedError
from benchmarks.showing import table

SECTIONS: Mapping[str, Callable[[Setting], list[Row]]] = {
    "kernel": kernel.rows,
    "parts": parts.rows,
    "state": state.rows,
    "transactions": transactions.rows,
    "epochs": epochs.rows,
    "memory": memory.rows,
    "start": start.rows,
    "storage": others.storage_rows,
    "metadata": others.metadata_rows,
}


def main() -> None:
    """Measures what was asked for, prints the table, and writes the results."""
    options = _options()
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        setting = Setting(QUICK if options.quick else FULL, options.folder, Path(scratch))
        for name in options.only:
            began = time.monotonic()
            try:
                rows += SECTIONS[name](setting)
            except SkippedError as reason:
                skipped[name] = str(reason)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    mode = "quick" if options.quick else "full"
    results = Results(schema=SCHEMA, machine=machine(), mode=mode, rows=tuple(rows), skipped=skipped)
    print(table(results))
    save(results, options.json)
    print(f"\nwritten to {options.json}", file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument(
        "--only", type=_sections, default=list(SECTIONS), metavar="NAMES", help=", ".join(SECTIONS)
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where samples are kept")
    parser.add_argument("--json", type=Path, default=FOLDER / "results.json", help="for the results")
    return parser.parse_args()


def _sections(text: str) -> list[str]:
    """The names in "state,epochs"."""
    chosen = text.split(",")
    if unknown := set(chosen) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"no such section: {', '.join(sorted(unknown))}")
    return chosen


if __name__ == "__main__":
    main()
