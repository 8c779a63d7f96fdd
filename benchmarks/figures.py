"""What was measured: rows of figures, one for each round, with the rival's or the limit's beside them.

All that is compared was measured in the same run, in turn, so the ratio of a row is the median of the ratios
within the rounds: what makes a machine slow for a minute makes both slow. A ratio says how many times as good
we are: 2 is half the seconds, or twice the items in a second.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

SCHEMA = 1
"""Version of the file's shape."""


class Band(msgspec.Struct, frozen=True):
    """What the rounds came to: their median, and the least and the largest of them."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Band:
        """The band of at least one figure."""
        return cls(median(figures), min(figures), max(figures))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        part: what of the program is measured.
        work: what it did, with its size.
        unit: of the figures.
        ours: one figure for each round.
        rival: what it is compared with; empty for nothing.
        rivals: the rival's figures, one for each round.
        less_is_better: where figures are seconds or bytes.
        must: the figure that was promised; None for none.
        must_ratio: the ratio that was promised; None for none.
    """

    part: str
    work: str
    unit: str
    ours: tuple[float, ...]
    rival: str = ""
    rivals: tuple[float, ...] = ()
    less_is_better: bool = False
    must: float | None = None
    must_ratio: float | None = None

    @property
    def name(self) -> tuple[str, str, str, str]:
        """What tells a row from all others of a table."""
        return self.part, self.work, self.unit, self.rival

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times as good we were as the rival, for each round; none without a rival."""
        if not self.rival:
            return ()
        return tuple(
            rival / ours if self.less_is_better else ours / rival
            for ours, rival in zip(self.ours, self.rivals, strict=True)
        )

    @property
    def keeps(self) -> bool | None:
        """Whether all that was promised holds; None where nothing was."""
        kept = []
        if self.must is not None:
            middle = median(self.ours)
            kept.append(middle <= self.must if self.less_is_better else middle >= self.must)
        if self.must_ratio is not None:
            kept.append(median(self.ratios) >= self.must_ratio)
        return all(kept) if kept else None


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the benchmarks.

    Attributes:
        schema: version of this shape.
        machine: what it ran on, in words.
        mode: "quick" or "full".
        rows: in the order of the table.
        skipped: what was not measured, and why.
    """

    schema: int
    machine: str
    mode: str
    rows: tuple[Row, ...]
    skipped: dict[str, str] = {}


def save(results: Results, file: Path) -> None:
    """Writes the results as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))


def load(file: Path) -> Results:
    """Reads what `save` wrote.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    return msgspec.json.decode(file.read_bytes(), type=Results)


def machine() -> str:
    """The processor, how many of them, and the Python that runs on it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"{os.cpu_count()} x {model}, Python {platform.python_version()}"
