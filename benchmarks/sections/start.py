"""What the command line takes to start, before it does anything."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.figures import Row
from benchmarks.rounds import in_turn
from benchmarks.settings import Setting

MUST_MS = 150.0

STARTS = 5
"""For each round: the median of so many."""


def rows(setting: Setting) -> list[Row]:
    """`--help` beside a bare interpreter, and what it takes beyond it."""
    program = str(Path(sys.executable).with_name("aptos-restore"))
    starts = in_turn(
        {
            "help": partial(_start_ms, [program, "--help"]),
            "bare": partial(_start_ms, [sys.executable, "-c", ""]),
        },
        setting.sizes.rounds,
    )
    beyond = tuple(ours - bare for ours, bare in zip(starts["help"], starts["bare"], strict=True))
    return [
        Row(
            part="start",
            work="aptos-restore --help",
            unit="ms",
            ours=tuple(starts["help"]),
            rival="a bare interpreter",
            rivals=tuple(starts["bare"]),
            less_is_better=True,
        ),
        Row(
            part="start",
            work="the same, beyond a bare interpreter",
            unit="ms",
            ours=beyond,
            less_is_better=True,
            must=MUST_MS,
        ),
    ]


def _start_ms(command: list[str]) -> float:
    times = []
    for _ in range(STARTS):
        began = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        times.append(time.monotonic() - began)
    return 1000 * median(times)
