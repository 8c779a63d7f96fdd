"""The rule that names what limits a run, for loads of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.report.bottleneck import FULL, Load, bottleneck
from restore.report.events import Stage

STAGES: tuple[Stage, ...] = get_args(Stage)


def limit_of(
    busy: Mapping[Stage, float], *, cores: int = 2, running: float = 2.0, waiting: float = 0.0
) -> str:
    """What limits a run whose stages are so busy; the others are idle."""
    load = Load(cores, {stage: busy.get(stage, 0.0) for stage in STAGES}, running, waiting)
    return bottleneck(load, source="the link")


def test_chunks_that_are_mostly_on_their_way_wait_for_the_link() -> None:
    assert limit_of({"fetch": 1.8, "decode": 0.1, "unpack": 0.1, "prove": 0.01, "save": 0.1}) == "the link"


def test_what_is_on_its_way_counts_before_it_has_come() -> None:
    assert limit_of({"fetch": 0.0, "decode": 0.3}) == "the link"


def test_what_has_come_counts_where_nobody_tells_how_many_run() -> None:
    assert limit_of({"fetch": 1.5, "decode": 0.3}, running=0.0) == "the link"


def test_one_late_chunk_that_all_others_wait_for_waits_for_the_link() -> None:
    assert (
        limit_of({"fetch": 0.9, "decode": 0.1, "save": 0.2, "turn": 3.0}, running=1.0, waiting=3.0)
        == "the link"
    )


@pytest.mark.parametrize(
    ("busy", "named"),
    [
        ({"decode": 1.7}, "CPU (decode 1.7 of 2 cores)"),
        ({"decode": 1.7, "unpack": 0.05}, "CPU (decode 1.7 of 2 cores)"),
        ({"decode": 0.5, "unpack": 1.2}, "CPU (unpack 1.2 + decode 0.5 of 2 cores)"),
        (
            {"decode": 0.9, "tables": 0.6, "unpack": 0.3},
            "CPU (decode 0.9 + tables 0.6 + unpack 0.3 of 2 cores)",
        ),
        ({"decode": 1.3, "prove": 0.5}, "CPU (decode 1.3 + prove 0.5 of 2 cores)"),
    ],
)
def test_stages_that_fill_the_cores_name_the_cpu(busy: Mapping[Stage, float], named: str) -> None:
    assert limit_of({"fetch": 0.2, "save": 0.3, **busy}) == named


def test_threads_that_take_turns_do_not_count_as_more_cores() -> None:
    assert (
        limit_of({"decode": 2.25, "unpack": 0.75}, running=3.0) == "CPU (decode 1.5 + unpack 0.5 of 2 cores)"
    )


def test_one_core_is_one() -> None:
    assert limit_of({"decode": 0.9}, cores=1, running=1.0) == "CPU (decode 0.9 of 1 core)"


def test_a_full_part_in_order_names_the_disk_where_it_saves() -> None:
    assert (
        limit_of({"fetch": 0.1, "decode": 0.4, "save": 0.98, "turn": 1.5}, waiting=1.9)
        == "the disk (saving 0.98)"
    )


def test_a_full_part_in_order_names_the_cpu_where_it_proves() -> None:
    assert (
        limit_of({"decode": 0.4, "prove": 0.9, "save": 0.05}, waiting=2.0) == "CPU (proving 0.90 of 1 core)"
    )


def test_the_part_in_order_is_full_without_a_backlog_too() -> None:
    assert limit_of({"decode": 0.4, "save": 0.9}, running=0.5, waiting=0.0) == "the disk (saving 0.90)"


@pytest.mark.parametrize(
    ("waiting", "named"), [(0.2, "CPU (decode 1.8 of 2 cores)"), (1.5, "the disk (saving 0.95)")]
)
def test_of_two_that_are_full_the_backlog_tells_which_is_behind(waiting: float, named: str) -> None:
    assert limit_of({"decode": 1.8, "save": 0.95}, waiting=waiting) == named


def test_chunks_that_wait_for_memory_name_the_flag() -> None:
    assert (
        limit_of({"budget": 3.0, "fetch": 0.5, "decode": 0.5, "save": 0.3}, running=4.0) == "--memory-budget"
    )


def test_waiting_for_memory_is_no_matter_while_the_cores_are_full() -> None:
    assert limit_of({"budget": 2.2, "decode": 1.8}, running=4.0).startswith("CPU")


def test_waiting_for_memory_is_no_matter_while_the_disk_is_full() -> None:
    assert limit_of({"budget": 3.0, "decode": 0.5, "save": 0.97}, running=4.0).startswith("the disk")


def test_chunks_that_are_worked_on_while_cores_idle_are_too_few() -> None:
    assert limit_of({"fetch": 0.4, "decode": 1.6}, cores=8, running=2.0) == "--concurrent-downloads"


def test_a_slow_link_is_named_before_a_small_budget_only_if_more_wait_for_it() -> None:
    assert limit_of({"budget": 1.5, "decode": 0.3}, running=4.0) == "the link"
    assert limit_of({"budget": 2.0, "decode": 0.3}, running=4.0) == "--memory-budget"


def test_the_source_is_called_as_it_is_told() -> None:
    load = Load(2, dict.fromkeys(STAGES, 0.0), running=2.0, waiting=0.0)
    assert bottleneck(load, source="reading the backup") == "reading the backup"


@given(
    busy=st.fixed_dictionaries({stage: st.floats(0, 100) for stage in STAGES}),
    cores=st.integers(1, 256),
    running=st.floats(0, 100),
    waiting=st.floats(0, 100),
)
def test_something_short_is_named_for_every_load(
    busy: dict[Stage, float], cores: int, running: float, waiting: float
) -> None:
    named = bottleneck(Load(cores, busy, running, waiting), source="the link")
    assert 0 < len(f"limited by {named}") <= 90
    cpu = busy["unpack"] + busy["decode"] + busy["tables"] + busy["prove"]
    if cpu < FULL * cores and busy["prove"] + busy["save"] < FULL:
        assert named in {"the link", "--memory-budget", "--concurrent-downloads"}
    else:
        assert named.startswith(("CPU (", "the disk ("))
