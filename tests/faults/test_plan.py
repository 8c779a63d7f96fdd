"""Which request fails, and how: rates that are met, one fault a request, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks.faults import Asked, Fault, FaultPlan, Kind
from benchmarks.faults.plan import APPLICABLE, NO_FAULT

NUMBERS = 1000
SEEDS = st.integers(0, 1 << 32)
ASKED = st.sampled_from(Asked)


@st.composite
def rates(draw: st.DrawFn) -> dict[str, Any]:
    """Rates that add up to 1 at most, of a few kinds at once."""
    kinds = draw(st.lists(st.sampled_from(Kind), min_size=1, max_size=5, unique=True))
    parts = draw(st.lists(st.integers(0, 100), min_size=len(kinds), max_size=len(kinds)))
    whole = max(sum(parts), draw(st.integers(1, 500)))
    return {kind.value: part / whole for kind, part in zip(kinds, parts, strict=True)}


def faults_of(plan: FaultPlan, asked: Asked, numbers: int = NUMBERS) -> list[Fault]:
    return [plan.decide(number, asked) for number in range(numbers)]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(rates(), SEEDS, ASKED)
def test_each_fault_comes_as_often_as_its_rate_says(rates: dict[str, Any], seed: int, asked: Asked) -> None:
    found = Counter(fault.kind for fault in faults_of(FaultPlan(seed=seed, **rates), asked))
    applicable = {kind: rates.get(kind, 0.0) for kind in APPLICABLE[asked]}
    assert found.keys() - {None} <= {kind for kind, rate in applicable.items() if rate}
    for kind, rate in applicable.items():
        deviation = (NUMBERS * rate * (1 - rate)) ** 0.5
        assert abs(found[kind] - NUMBERS * rate) <= 5 * deviation + 1e-6


@given(rates(), SEEDS, ASKED, st.integers(0, 1 << 40))
def test_the_same_request_of_the_same_plan_has_the_same_fault(
    rates: dict[str, Any], seed: int, asked: Asked, number: int
) -> None:
    first = FaultPlan(seed=seed, jitter=1.0, **rates).decide(number, asked)
    assert FaultPlan(seed=seed, jitter=1.0, **rates).decide(number, asked) == first


@settings(deadline=None, max_examples=30)
@given(SEEDS, SEEDS)
def test_another_seed_is_another_choice(one: int, two: int) -> None:
    assume(one != two)
    first, second = (faults_of(FaultPlan(seed=seed, reset=0.5), Asked.RANGE, 200) for seed in (one, two))
    assert [fault.kind for fault in first] != [fault.kind for fault in second]
    assert [fault.place for fault in first] != [fault.place for fault in second]


@given(SEEDS, st.integers(0, 1 << 40), st.floats(0, 100), st.floats(0, 100))
def test_place_and_delay_stay_within_their_bounds(
    seed: int, number: int, latency: float, jitter: float
) -> None:
    fault = FaultPlan(seed=seed, truncate=1, latency=latency, jitter=jitter).decide(number, Asked.OBJECT)
    assert fault.kind is Kind.TRUNCATE
    assert 0 <= fault.place < 1
    assert latency <= fault.delay <= latency + jitter


def test_a_choice_is_known_for_good() -> None:
    """The first requests of one seed: where this changes, every seeded run becomes another one."""
    found = faults_of(FaultPlan(seed=7, stall=0.1, reset=0.1), Asked.RANGE, 20)
    assert {number: str(fault.kind) for number, fault in enumerate(found) if fault.kind} == {
        0: "stall", 5: "reset", 6: "reset", 12: "reset", 15: "stall", 19: "stall",
    }  # fmt: skip
    assert round(found[0].place, 4) == 0.3545


def test_places_are_spread_over_the_whole_body_whatever_the_kind() -> None:
    found = faults_of(FaultPlan(stall=0.2, reset=0.2), Asked.RANGE)
    for kind in (Kind.STALL, Kind.RESET):
        quarters = Counter(int(fault.place * 4) for fault in found if fault.kind is kind)
        assert all(25 < quarters[quarter] < 75 for quarter in range(4)), quarters


def test_a_given_place_is_kept() -> None:
    places = {fault.place for fault in faults_of(FaultPlan(flip=1, at=0.25), Asked.OBJECT, 50)}
    assert places == {0.25}


@pytest.mark.parametrize("kind", Kind)
def test_a_fault_meets_only_those_requests_that_can_show_it(kind: Kind) -> None:
    rate: dict[str, Any] = {kind.value: 1.0}
    plan = FaultPlan(**rate)
    for asked in Asked:
        possible = kind in APPLICABLE[asked]
        assert plan.concerns("/any", asked) is possible
        assert plan.decide(0, asked).kind == (kind if possible else None)


def test_a_burst_is_at_the_end_of_each_period_and_for_everybody() -> None:
    plan = FaultPlan(burst_every=10, burst_seconds=2, reset=1)
    for elapsed, bursts in ((0, False), (7.9, False), (8, True), (9.9, True), (10, False), (28.5, True)):
        for asked in Asked:
            fault = plan.decide(0, asked, elapsed=elapsed)
            assert (fault.kind is Kind.UNAVAILABLE) is bursts
            assert plan.concerns("/any", asked)


def test_after_the_first_ones_nothing_goes_wrong_any_more() -> None:
    plan = FaultPlan(reset=1, latency=1, burst_every=1, burst_seconds=1, first=3)
    found = faults_of(plan, Asked.OBJECT, 6)
    assert all(fault.kind for fault in found[:3])
    assert found[3:] == [NO_FAULT] * 3


def test_only_paths_that_match_are_concerned() -> None:
    plan = FaultPlan(stall=1, latency=1, only=r"\.chunk$")
    assert plan.concerns("/backup/one.chunk", Asked.OBJECT)
    assert not plan.concerns("/backup/one.chunk.proof", Asked.OBJECT)


def test_nothing_is_concerned_where_nothing_can_go_wrong() -> None:
    assert not any(FaultPlan().concerns("/any", asked) for asked in Asked)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stall": -0.1}, "stall is not between 0 and 1"),
        ({"reset": 1.1}, "reset is not between 0 and 1"),
        ({"stall": 0.6, "reset": 0.6}, "add up to more than 1"),
        ({"stall": 0.6, "wrong_range": 0.6}, "a range request add up to more than 1"),
        ({"stall": 0.6, "duplicate": 0.6}, "a list request add up to more than 1"),
        ({"at": 1.0}, "at is not"),
        ({"at": -0.1}, "at is not"),
        ({"drip_rate": 0}, "drip_rate is below 1"),
        ({"latency": -1}, "latency is below 0"),
        ({"jitter": -1}, "jitter is below 0"),
        ({"slow_headers_seconds": -1}, "slow_headers_seconds is below 0"),
        ({"burst_every": 1, "burst_seconds": 2}, "longer than burst_every"),
        ({"only": "("}, "only is no regular expression"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FaultPlan(**fields)


def test_rates_of_different_requests_do_not_add_up() -> None:
    FaultPlan(wrong_range=1, duplicate=1)
