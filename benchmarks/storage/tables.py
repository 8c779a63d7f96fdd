"""Shows the rounds: what every way did, and which goals are met."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.storage.goals import CPU_PER_GB, PEAK_MB, RATE, Contest, Goal
from benchmarks.storage.measuring import Measured

WAYS = "{:<40} {:<25} {:>8} {:>8} {:>8} {:>12}"
VERDICTS = "{:<4} {:<40} {:<11} {:<24} {:>8} {:>8} {:>7} {:>7} {:>7}  {}"

Rounds = Sequence[Mapping[Contest, Measured]]


def print_ways(contests: Sequence[Contest], missing: Mapping[Contest, str], rounds: Rounds) -> None:
    """One line for each way of each work: medians of all rounds."""
    print(WAYS.format("work", "way", "MB/s", "cpu s/GB", "peak MB", "descriptors"))
    for contest in contests:
        work, way = contest
        if contest in missing:
            print(WAYS.format(work.text, way.name, f"{missing[contest]} is missing", "", "", "").rstrip())
            continue
        measured = [round_[contest] for round_ in rounds]
        figures = [
            f"{median(map(RATE.of, measured)):.0f}",
            f"{median(map(CPU_PER_GB.of, measured)):.2f}",
            f"{median(map(PEAK_MB.of, measured)):.0f}",
            max(run.peak_descriptors for run in measured),
        ]
        print(WAYS.format(work.text, way.name, *figures))


def print_goals(goals: Sequence[Goal], rounds: Rounds) -> None:
    """One line for each goal: the median of the ratios within each round."""
    columns = ("goal", "work", "figure", "rival", "ours", "rival's", "ratio", "must", "stretch", "")
    print(VERDICTS.format(*columns).rstrip())
    for goal in goals:
        ratio = goal.value(rounds)
        rival = "-" if goal.rival is None else goal.rival[1].name
        if goal.rival is not None and goal.rival[0] != goal.ours[0]:
            rival = goal.rival[0].text
        ours = _median(goal.figure.of, goal.ours, rounds)
        rivals = "-" if goal.rival is None else _median(goal.figure.of, goal.rival, rounds)
        sign = "<=" if goal.at_most else ">="
        print(
            VERDICTS.format(
                goal.number,
                goal.ours[0].text,
                goal.figure.name,
                rival,
                ours,
                rivals,
                "-" if ratio is None or goal.rival is None else f"{ratio:.2f}",
                f"{sign} {goal.must:g}",
                f"{sign} {goal.stretch:g}",
                goal.verdict(ratio),
            )
        )


def as_json(
    goals: Sequence[Goal], contests: Sequence[Contest], missing: Mapping[Contest, str], rounds: Rounds
) -> Any:
    """All that was measured, and what it says."""
    return {
        "measured": [
            {
                "work": work.text,
                "way": way.name,
                "missing": missing.get((work, way)),
                "rounds": [asdict(round_[work, way]) for round_ in rounds if (work, way) in round_],
            }
            for work, way in contests
        ],
        "goals": [
            {
                "goal": goal.number,
                "work": goal.ours[0].text,
                "figure": goal.figure.name,
                "rival": None if goal.rival is None else f"{goal.rival[1].name}: {goal.rival[0].text}",
                "value": goal.value(rounds),
                "must": goal.must,
                "stretch": goal.stretch,
                "verdict": goal.verdict(goal.value(rounds)),
            }
            for goal in goals
        ],
    }


def _median(figure: Callable[[Measured], float], contest: Contest, rounds: Rounds) -> str:
    if any(contest not in round_ for round_ in rounds):
        return "missing"
    return f"{median(figure(round_[contest]) for round_ in rounds):.3g}"
