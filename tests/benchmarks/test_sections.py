"""What sections make of the figures that programs tell."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.processes import PURE, Measured
from benchmarks.sections.commands import command_rows, published_row, unpacking_row
from benchmarks.sections.others import CHILDREN, cache_rows, goal_rows


def run(seconds: float, *, cpu_seconds: float = 1.0, items: int = 1000, **stages: Any) -> Measured:
    result = {"state_items": items, "transactions": items, "seconds": seconds, "stages": stages}
    return Measured(0, result, seconds + 1, cpu_seconds, 10**8)


def stage(**seconds: float) -> dict[str, dict[str, float]]:
    return {name: {"seconds": value, "items": 1000, "bytes": 1} for name, value in seconds.items()}


def test_a_command_has_its_rate_by_its_own_time_and_its_cpu_time() -> None:
    ours, pure = [run(2.0), run(1.0, cpu_seconds=3.0)], [run(10.0, items=500)] * 2
    rate, cpu = command_rows("verify", "items", ours, pure, must=700.0, must_ratio=8.0)
    assert (rate.work, rate.unit) == ("1,000 items", "items/s")
    assert (rate.ours, rate.rival, rate.rivals) == ((500.0, 1000.0), PURE, (50.0, 50.0))
    assert rate.keeps is True
    assert (cpu.unit, cpu.ours, cpu.rivals) == ("us/item", (1000.0, 3000.0), (2000.0, 2000.0))
    assert cpu.ratios == (2.0, 2000.0 / 3000.0)


def test_stages_are_those_of_the_longest_phase_for_each_item() -> None:
    phases: dict[str, Any] = {
        "epoch endings": stage(fetch=0.5),
        "state snapshot 0": stage(fetch=1.0, decode=2.0, turn=0.5),
    }
    (_, _, *rows) = command_rows("verify", "items", [run(1.0, **phases)], [run(1.0, items=500, **phases)])
    assert [(row.work, row.ours, row.rivals) for row in rows] == [
        ("stage fetch", (1000.0,), (2000.0,)),
        ("stage decode", (2000.0,), (4000.0,)),
        ("waiting for turn", (500.0,), (1000.0,)),
    ]


def test_a_stage_that_took_nothing_in_some_run_has_no_row() -> None:
    ours = [run(1.0, state=stage(fetch=1.0, save=0.0)), run(1.0, state=stage(fetch=1.0, save=0.1))]
    pure = [run(1.0, state=stage(fetch=1.0, save=0.1, other=1.0))] * 2
    (_, _, *rows) = command_rows("verify", "items", ours, pure)
    assert [row.work for row in rows] == ["stage fetch"]


def test_transactions_are_counted_as_such() -> None:
    rate, cpu = command_rows("oneoff transaction", "transactions", [run(2.0)], [run(4.0)])
    assert (rate.unit, rate.ratios) == ("transactions/s", (2.0,))
    assert cpu.unit == "us/transaction"


def test_what_was_published_is_the_same_in_each_round() -> None:
    row = published_row("bootstrap-db", "items", [run(2.0), run(1.0)], 250.0)
    assert row.ratios == (2.0, 4.0)


def test_unpacked_bytes_stand_beside_unpacking_alone() -> None:
    row = unpacking_row("verify", [run(2.0)], 8e6, [16e6])
    assert (row.ours, row.rivals, row.ratios) == ((4.0,), (16.0,), (0.25,))


def told_by_storage(*goals: dict[str, Any]) -> dict[str, Any]:
    def measured(work: str, way: str, seconds: float) -> dict[str, Any]:
        return {
            "work": work,
            "way": way,
            "missing": None,
            "rounds": [{"size": 10**6, "seconds": seconds}],
        }

    missing = {"work": "fetch", "way": "aws", "missing": "aws", "rounds": []}
    ways = [measured("fetch", "ours", 0.5), measured("fetch", "adapter: curl", 1.0), missing]
    return {"measured": ways, "goals": list(goals)}


def goal(**changes: Any) -> dict[str, Any]:
    usual = {"goal": "G1", "work": "fetch", "figure": "MB/s", "rival": "adapter: curl: fetch"}
    return {**usual, "value": 2.0, "must": 1.5, **changes}


def test_a_goal_of_reading_becomes_a_row_with_what_it_must_reach() -> None:
    (row,) = goal_rows(told_by_storage(goal()))
    assert (row.work, row.rival, row.ours, row.rivals) == ("G1: fetch", "adapter: curl", (2.0,), (1.0,))
    assert row.must_ratio == 1.5


@pytest.mark.parametrize(
    "other",
    [
        goal(figure="peak MB"),
        goal(rival=None),
        goal(rival="aws: fetch", value=None),
        goal(rival="ours: fetch, more"),
    ],
    ids=["no rate", "no rival", "not measured", "other work"],
)
def test_other_goals_have_no_row(other: dict[str, Any]) -> None:
    assert goal_rows(told_by_storage(other)) == []


def test_the_metadata_cache_is_compared_file_by_file_and_as_a_whole() -> None:
    figures = {"cold": 2.0, "commands": CHILDREN / 64, "warm": 0.25, "one_by_one": 0.75}
    fresh, unchanged = cache_rows({"rounds": [figures]}, files=1000)
    assert (fresh.ours, fresh.rivals) == ((2000.0,), (15_625.0,))
    assert unchanged.ratios == (3.0,)
