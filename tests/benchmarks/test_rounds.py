"""Rounds in turn, and the rows that single functions become."""

from __future__ import annotations

import json
from functools import partial

import pytest

from benchmarks.processes import PURE
from benchmarks.rounds import in_turn
from benchmarks.sections.parts import make_rows, read_figures


def told(*tests: tuple[str, str, float], must_ratio: float | None = None) -> bytes:
    """As pytest-benchmark writes it: work, way and median seconds of each."""
    figures = [
        {
            "extra_info": {
                "part": "hash",
                "text": work,
                "unit": "M/s",
                "count": 10.0,
                "way": way,
                "must_ratio": must_ratio,
            },
            "stats": {"median": seconds},
        }
        for work, way, seconds in tests
    ]
    return json.dumps({"benchmarks": figures}).encode()


def test_each_round_begins_with_another_way() -> None:
    order: list[str] = []
    in_turn({name: partial(order.append, name) for name in "abc"}, 4)
    assert "".join(order) == "abcbcacababc"


def test_every_way_has_its_result_of_each_round() -> None:
    numbers = iter(range(10))
    results = in_turn({"a": lambda: ("a", next(numbers)), "b": lambda: ("b", next(numbers))}, 2)
    assert results == {"a": [("a", 0), ("a", 3)], "b": [("b", 1), ("b", 2)]}


def test_a_rate_is_the_count_over_the_median_time() -> None:
    figures = read_figures(told(("short", "ours", 2.0)))
    assert figures["short", "ours"].rate == 5.0


def test_each_other_way_of_a_work_is_a_rival_in_a_row_of_its_own() -> None:
    first = read_figures(told(("short", "ours", 1.0), ("short", "a", 2.0), ("short", "b", 5.0)))
    second = read_figures(told(("short", "ours", 2.0), ("short", "a", 4.0), ("short", "b", 1.0)))
    rows = list(make_rows([first, second], [{}, {}]))
    assert [(row.rival, row.ours, row.rivals) for row in rows] == [
        ("a", (10.0, 5.0), (5.0, 2.5)),
        ("b", (10.0, 5.0), (2.0, 10.0)),
    ]


def test_where_the_kernel_works_the_pure_path_is_a_rival_too() -> None:
    ours = read_figures(told(("short", "ours", 1.0), ("long", "ours", 1.0)))
    pure = read_figures(told(("short", "ours", 10.0)))
    rows = list(make_rows([ours], [pure]))
    assert [(row.work, row.rival, row.ratios) for row in rows] == [
        ("short", PURE, (10.0,)),
        ("long", "", ()),
    ]


def test_what_was_promised_over_a_way_is_promised_in_its_row() -> None:
    figures = read_figures(told(("short", "ours", 1.0), ("short", "a", 2.0), must_ratio=3.0))
    (row,) = make_rows([figures], [{}])
    assert row.must_ratio == 3.0
    assert row.keeps is False


def test_a_way_without_ours_is_no_row() -> None:
    assert list(make_rows([read_figures(told(("short", "a", 1.0)))], [{}])) == []


def test_a_way_that_a_round_lacks_is_a_mistake() -> None:
    first = read_figures(told(("short", "ours", 1.0), ("short", "a", 2.0)))
    with pytest.raises(KeyError):
        list(make_rows([first, read_figures(told(("short", "ours", 1.0)))], [{}, {}]))
