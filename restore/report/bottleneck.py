"""What a run waits for, from the time that its chunks spend in each stage.

The rule, of averages over the last seconds; the first line that holds:

| what is so                                                                  | limited by               |
| --------------------------------------------------------------------------- | ------------------------ |
| the part in order is full, mostly with `save`                               | the disk                 |
| the part in order is full, mostly with `prove`                              | CPU                      |
| the CPUs are full with `unpack`, `decode`, `tables` and `prove`             | CPU                      |
| nothing is full; chunks in progress mostly wait for the budget              | `--memory-budget`        |
| nothing is full; chunks in progress are mostly on their way here            | the link, or reading     |
| nothing is full; chunks in progress are mostly worked on: more would be too | `--concurrent-downloads` |

Where both the part in order and the CPUs are full, finished chunks tell which of them is behind: they pile up
before the part in order only if that is the slower one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from restore.report.events import Stage
from restore.report.figures import show_count

CPU_STAGES: tuple[Stage, ...] = ("unpack", "decode", "tables", "prove")
"""Done in worker threads."""

ORDERED_STAGES: tuple[Stage, ...] = ("prove", "save")
"""Done for one chunk at a time."""

FULL = 0.8
"""A part of what it can do, from which on something counts as full: chunks come unevenly."""

BACKLOG = 1.0
"""Finished chunks, on average, that always wait for the part in order."""

SHOWN = 0.1
"""Of all work: a stage with less is not worth a word."""


@dataclass(frozen=True, slots=True)
class Load:
    """How busy one phase was, on average over some seconds.

    Attributes:
        cores: CPUs that the process may use.
        busy: seconds each second that chunks spent in a stage.
        running: chunks in progress.
        waiting: finished chunks that waited for their turn.
    """

    cores: int
    busy: Mapping[Stage, float]
    running: float
    waiting: float


def bottleneck(load: Load, *, source: str) -> str:
    """What limits a run of this load.

    Args:
        load: how busy it is.
        source: what the run waits for where it waits for the bytes of the backup.
    """
    cpu = sum(load.busy[stage] for stage in CPU_STAGES)
    ordered = sum(load.busy[stage] for stage in ORDERED_STAGES)
    cpus_are_full = cpu >= FULL * load.cores
    if ordered >= FULL and (load.waiting >= BACKLOG or not cpus_are_full):
        return _name_ordered(load.busy)
    if cpus_are_full:
        return f"CPU ({_shares(load.busy, cpu, most=load.cores)} of {show_count(load.cores, 'cores')})"
    budget, working = load.busy["budget"], cpu - load.busy["prove"]
    # What is still on its way has told nothing of it yet: it is what is left of all that run.
    fetching = max(load.busy["fetch"], load.running - budget - working)
    if budget >= max(fetching, working):
        return "--memory-budget"
    return source if fetching >= working else "--concurrent-downloads"


def _name_ordered(busy: Mapping[Stage, float]) -> str:
    if busy["save"] >= busy["prove"]:
        return f"the disk (saving {min(1.0, busy['save']):.2f})"
    return f"CPU (proving {min(1.0, busy['prove']):.2f} of 1 core)"


def _shares(busy: Mapping[Stage, float], cpu: float, *, most: int) -> str:
    """The stages that matter, the largest first: `decode 1.2 + unpack 0.5`, together `most` at most."""
    scale = min(1.0, most / cpu)  # more threads than cores take turns, and count that too
    stages = sorted(CPU_STAGES, key=lambda stage: busy[stage], reverse=True)
    return " + ".join(f"{stage} {scale * busy[stage]:.1f}" for stage in stages if busy[stage] >= SHOWN * cpu)
