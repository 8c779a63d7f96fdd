"""Compares two results row by row: `python -m benchmarks.compare OLD.json NEW.json`.

A row with a rival is compared by its ratio to the rival, since both were measured in the same minutes; any
other by its figure. The change is how many times as good the new one is, its band reaches from the new run's
worst round over the old one's best to the opposite: where 1 lies outside of it, no round of one run was as
good as any of the other, and the row is flagged. Exits 1 where one is worse.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.figures import Band, Results, Row, load
from benchmarks.showing import figure

Verdict = Literal["", "better", "WORSE"]


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one row: how many times as good it is."""

    row: Row
    band: Band

    @property
    def verdict(self) -> Verdict:
        """Whether the rounds of both runs lie apart."""
        if self.band.least > 1:
            return "better"
        return "WORSE" if self.band.most < 1 else ""


def compare(old: Results, new: Results) -> list[Change]:
    """The changes of the rows that both have, in the order of the new ones."""
    before = {row.name: row for row in old.rows}
    return [Change(row, _change(before[row.name], row)) for row in new.rows if row.name in before]


def unmatched(old: Results, new: Results) -> list[Row]:
    """The rows that only one of them has."""
    names = {row.name for row in old.rows} & {row.name for row in new.rows}
    return [row for row in (*old.rows, *new.rows) if row.name not in names]


def main() -> None:
    """Prints the changes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args()
    try:
        old, new = load(options.old), load(options.new)
    except (OSError, msgspec.DecodeError) as error:
        parser.error(f"not a file of results: {error}")
    changes = compare(old, new)
    print(report(old, new, changes))
    sys.exit(any(change.verdict == "WORSE" for change in changes))


def report(old: Results, new: Results, changes: Sequence[Change]) -> str:
    """The changes as text."""
    lines = [f"old: {old.machine}, {old.mode}", f"new: {new.machine}, {new.mode}", ""]
    for change in changes:
        row, band = change.row, change.band
        rival = f" against {row.rival}" if row.rival else f" in {row.unit}"
        lines.append(
            f"{figure(band.middle):>6} ({figure(band.least)}..{figure(band.most)}) {change.verdict:<6} "
            f"{row.part}: {row.work}{rival}"
        )
    lines += [f"in one of them only: {row.part}: {row.work}" for row in unmatched(old, new)]
    return "\n".join(lines)


def _change(old: Row, new: Row) -> Band:
    before, after = _goodness(old), _goodness(new)
    return Band(after.middle / before.middle, after.least / before.most, after.most / before.least)


def _goodness(row: Row) -> Band:
    """Ratios where there are some; else the figures, upside down where less is better."""
    figures = row.ratios or (tuple(1 / one for one in row.ours) if row.less_is_better else row.ours)
    return Band.of(figures)


if __name__ == "__main__":
    main()
