"""Rows from the benchmarks of storage and metadata, which are programs of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figures import Row
from benchmarks.settings import Setting, SkippedError
from benchmarks.storage.goals import RATE
from benchmarks.storage.ways import OURS

NGINX = "nginx"

CHILDREN = 200
"""Files that shell children read in each round: 5 ms each."""


def storage_rows(setting: Setting) -> list[Row]:
    """The goals of reading that are rates over a rival's at the same work."""
    return goal_rows(_run("storage", setting, *setting.sizes.storage))


def goal_rows(told: dict[str, Any]) -> list[Row]:
    """The rows of what `benchmarks.storage` told."""
    rates = {
        (one["work"], one["way"]): tuple(run["size"] / run["seconds"] / 1e6 for run in one["rounds"])
        for one in told["measured"]
        if one["missing"] is None
    }
    rows = []
    for goal in told["goals"]:
        rival, _, rival_work = (goal["rival"] or "").rpartition(": ")
        if goal["figure"] == RATE.name and goal["value"] is not None and rival_work == goal["work"]:
            rows.append(
                Row(
                    part="storage",
                    work=f"{goal['goal']}: {goal['work']}",
                    unit=RATE.name,
                    ours=rates[goal["work"], OURS.name],
                    rival=rival,
                    rivals=rates[rival_work, rival],
                    must_ratio=goal["must"],
                )
            )
    return rows


def metadata_rows(setting: Setting) -> list[Row]:
    """A fresh cache beside a shell child for each file, and one with nothing changed beside no cache."""
    files = setting.sizes.metadata_files
    return cache_rows(
        _run("metadata", setting, "--files", str(files), "--sample", str(CHILDREN)), files=files
    )


def cache_rows(told: dict[str, Any], *, files: int) -> list[Row]:
    """The rows of what `benchmarks.metadata` told."""
    rounds = told["rounds"]

    def column(of: Callable[[dict[str, float]], float]) -> tuple[float, ...]:
        return tuple(map(of, rounds))

    return [
        Row(
            part="metadata cache",
            work=f"{files:,} files, nothing there yet",
            unit="us/file",
            ours=column(lambda one: one["cold"] * 1e6 / files),
            rival="a shell child for each",
            rivals=column(lambda one: one["commands"] * 1e6 / CHILDREN),
            less_is_better=True,
        ),
        Row(
            part="metadata cache",
            work=f"{files:,} files, nothing changed",
            unit="s",
            ours=column(lambda one: one["warm"]),
            rival="opening and parsing each local file",
            rivals=column(lambda one: one["one_by_one"]),
            less_is_better=True,
        ),
    ]


def _run(name: str, setting: Setting, *options: str) -> dict[str, Any]:
    """What a benchmark of its own wrote as JSON."""
    if shutil.which(NGINX, path=f"{os.environ['PATH']}:/usr/sbin") is None:
        raise SkippedError(f"{NGINX} is not installed")
    file = setting.scratch / f"{name}.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", "--rounds", str(setting.sizes.rounds)]
    where = ["--folder", str(setting.folder), "--json", str(file)]
    subprocess.run([*command, *options, *where], stdout=subprocess.DEVNULL, check=True)
    told: dict[str, Any] = json.loads(Path(file).read_bytes())
    return told
