"""The number of chunks at once: where it ends on links that are known, and how soon."""

from __future__ import annotations

import pytest

from restore.flow.slots import CAREFUL, THROTTLED_REST_WINDOWS
from tests.flow.links import MB, Model


@pytest.mark.parametrize("parts", [(1, 1), (2, 6), (8, 8)])
def test_a_link_with_room_is_used_within_seconds(parts: tuple[int, int]) -> None:
    """A transfer takes a sixth of a second, whatever else is under way, as where only latency matters."""
    model = Model(lambda chunks: 100 * chunks * MB, parts=parts)
    slots = model.slots(2, 64)
    model.run(slots, seconds=10)
    assert model.seconds_to(32) < 6
    assert slots.downloads == 64


@pytest.mark.parametrize("noise", [0.02, 0.3])
@pytest.mark.parametrize("filling", [2, 4, 10, 20])
def test_the_first_steps_end_near_what_fills_the_link(filling: int, noise: float) -> None:
    model = Model(lambda chunks: 100 * min(chunks, filling) * MB, noise=noise)
    slots = model.slots(2, 64)
    model.run(slots, seconds=20)
    assert 0.75 * filling <= slots.downloads <= 2 * filling
    assert max(model.numbers_after(0)) <= 4 * filling


@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_it_settles_a_little_above_what_fills_the_link(noise: float) -> None:
    model = Model(lambda chunks: min(10 * chunks, 200) * MB, noise=noise)  # full with 20
    slots = model.slots(2, 64)
    model.run(slots, seconds=600)
    assert model.run(slots, seconds=1200) > (1 - noise / 2) * 0.97 * 200 * MB
    assert set(model.numbers_after(600)) <= {16, 24, 36, 32, 48}


def test_it_stays_near_the_number_above_which_a_link_gets_worse() -> None:
    model = Model(lambda chunks: min(10 * chunks, 4000 / chunks) * MB)  # best with 20
    slots = model.slots(2, 64)
    model.run(slots, seconds=600)
    assert model.run(slots, seconds=1200) > 0.8 * 200 * MB
    assert set(model.numbers_after(600)) <= {16, 24}


def test_a_link_that_one_chunk_fills_keeps_the_floor_but_for_single_steps() -> None:
    model = Model(lambda chunks: 1000 * MB)
    slots = model.slots(2, 64)
    assert model.run(slots, seconds=300) > 0.99 * 1000 * MB
    assert max(model.numbers_after(0)) == 4
    assert set(model.numbers_after(10)) == {2, 3}


def test_a_fast_link_is_used_up_to_the_ceiling_and_does_not_collapse() -> None:
    """Each chunk gets slower with each step, while all together get faster."""
    model = Model(lambda chunks: 100 * chunks**0.5 * MB)
    slots = model.slots(4, 64)
    model.run(slots, seconds=300)
    model.run(slots, seconds=120)
    assert min(model.numbers_after(300)) >= 48


def test_a_link_that_gets_slower_is_no_cause_for_fewer_chunks() -> None:
    speed = 10.0
    model = Model(lambda chunks: speed * chunks * MB)
    slots = model.slots(4, 64)
    model.run(slots, seconds=300)
    reached = slots.downloads
    speed = 0.5
    slow = model.run(slots, seconds=1200)
    assert min(model.numbers_after(300)) >= reached / 1.5
    assert slow > 0.6 * 0.5 * reached * MB


def test_it_stays_below_what_makes_a_storage_throttle_but_for_rare_tries() -> None:
    model = Model(lambda chunks: 10 * chunks * MB, throttles_above=20)
    slots = model.slots(2, 64)
    model.run(slots, seconds=300)
    goodput = model.run(slots, seconds=3600)
    assert goodput > 0.6 * 200 * MB
    assert set(model.numbers_after(300)) == {16, 24}
    tries = [change for change in model.changes() if change.reason == "the storage throttles"]
    assert 5 <= len(tries) <= 3900 / (THROTTLED_REST_WINDOWS * CAREFUL.window_seconds) + 1


def test_it_grows_again_when_a_storage_has_stopped_throttling() -> None:
    model = Model(lambda chunks: 10 * chunks * MB)
    slots = model.slots(4, 64)
    model.run(slots, seconds=300)
    reached = slots.downloads
    model.throttles_above = 10
    model.run(slots, seconds=300)
    assert slots.downloads < reached / 2
    model.throttles_above = 1000
    model.run(slots, seconds=900)
    assert slots.downloads >= reached / 1.5


def test_a_storage_that_throttles_everything_keeps_the_floor() -> None:
    model = Model(lambda chunks: 10 * chunks * MB, throttles_above=1)
    slots = model.slots(4, 64)
    model.run(slots, seconds=600)
    assert set(model.numbers_after(0)) == {4}


def test_a_slow_stage_behind_the_link_holds_the_number_without_waiting_for_it() -> None:
    """It applies what 13 chunks bring; more would only lie in memory."""
    model = Model(lambda chunks: 10 * chunks * MB, apply_seconds=0.5)
    slots = model.slots(2, 64)
    model.run(slots, seconds=600)
    goodput = model.run(slots, seconds=1800)
    assert goodput > 0.95 * 4 * 16.8 / 0.5 * MB
    assert max(model.numbers_after(600)) <= 41
    assert min(model.numbers_after(600)) >= 12


def test_a_stage_that_gets_slow_brings_the_number_down_to_the_floor() -> None:
    model = Model(lambda chunks: 10 * chunks * MB)
    slots = model.slots(2, 64)
    model.run(slots, seconds=300)
    assert slots.downloads > 40
    model.apply_seconds = 5.0
    model.run(slots, seconds=3 * 3600)
    assert max(model.numbers_after(3 * 3600)) <= 3
    assert "chunks wait to be applied" in {change.reason for change in model.changes()}
