"""Rows of single functions: rounds of pytest-benchmark, each of all ways, and of the pure Python path."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import benchmarks.parts
from benchmarks.figures import Row
from benchmarks.parts.work import OURS
from benchmarks.processes import PURE, environment
from benchmarks.rounds import in_turn
from benchmarks.sections.commands import PURE_KERNEL
from benchmarks.settings import Setting

NO_TESTS = 5
"""The exit code of pytest where none of its tests was chosen."""

FOLDER = Path(benchmarks.parts.__file__).parent


class Figure(NamedTuple):
    """What one test measured.

    Attributes:
        part, work, unit, way: as the test said them.
        rate: units in a second.
        must_ratio: promised of ours over this way, if anything was.
    """

    part: str
    work: str
    unit: str
    way: str
    rate: float
    must_ratio: float | None


Pass = Mapping[tuple[str, str], Figure]
"""What all tests measured in one round, by work and way."""


def rows(setting: Setting) -> list[Row]:
    """One row for each work and each other way of it."""
    passes = in_turn(
        {
            "ours": partial(_measure, setting),
            "pure": partial(_measure, setting, "-m", "kernel", kernel=PURE_KERNEL),
        },
        setting.sizes.rounds,
    )
    return list(make_rows(passes["ours"], passes["pure"]))


def _measure(setting: Setting, *options: str, kernel: str | None = None) -> Pass:
    """Runs all tests once."""
    file = setting.scratch / "parts.json"
    seconds = ["--benchmark-max-time", str(setting.sizes.part_seconds), "--benchmark-min-rounds", "3"]
    seconds += ["--benchmark-timer", "time.process_time"]  # what others do on this machine is left out
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", str(FOLDER)]
    finished = subprocess.run(
        [*command, *seconds, "--benchmark-json", str(file), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(kernel),
        check=False,
    )
    if finished.returncode == NO_TESTS:
        return {}
    if finished.returncode != 0:
        sys.exit(f"the parts exited {finished.returncode}:\n{finished.stdout}")
    return read_figures(file.read_bytes())


def read_figures(told: bytes) -> dict[tuple[str, str], Figure]:
    """What pytest-benchmark wrote as JSON."""
    figures = {}
    for one in json.loads(told)["benchmarks"]:
        said = one["extra_info"]
        rate = said["count"] / one["stats"]["median"]
        figures[said["text"], said["way"]] = Figure(
            said["part"], said["text"], said["unit"], said["way"], rate, said["must_ratio"]
        )
    return figures


def make_rows(passes: Sequence[Pass], pure: Sequence[Pass]) -> Iterator[Row]:
    """The rows of all rounds; `pure` are those of the pure Python path."""
    for (work, way), figure in passes[0].items():
        if way == OURS:
            ours = tuple(one[work, OURS].rate for one in passes)
            rivals = [other for other in passes[0].values() if other.work == work and other.way != OURS]
            for rival in rivals:
                rates = tuple(one[work, rival.way].rate for one in passes)
                yield _row(figure, ours, rival.way, rates, must_ratio=rival.must_ratio)
            if (work, OURS) in pure[0]:
                yield _row(figure, ours, PURE, tuple(one[work, OURS].rate for one in pure))
            elif not rivals:
                yield _row(figure, ours, "", ())


def _row(
    figure: Figure,
    ours: tuple[float, ...],
    rival: str,
    rivals: tuple[float, ...],
    *,
    must_ratio: float | None = None,
) -> Row:
    return Row(
        part=figure.part,
        work=figure.work,
        unit=figure.unit,
        ours=ours,
        rival=rival,
        rivals=rivals,
        must_ratio=must_ratio,
    )
