"""Deterministic choices."""

from __future__ import annotations

from restore.sample.seed import BLOCK_BYTES, Source


def test_the_bytes_of_a_seed_never_change() -> None:
    assert Source(1, "chain").take(8).hex() == "89720e99b4178d4b"


def test_sources_of_other_names_and_seeds_differ() -> None:
    assert len({Source(seed, name).take(16) for seed in (1, 2) for name in ("a", "b")}) == 4


def test_bytes_do_not_depend_on_how_they_are_taken() -> None:
    whole = Source(5, "x").take(10)
    pieces = Source(5, "x")
    assert whole == pieces.take(3) + pieces.take(7)


def test_more_than_one_block_can_be_taken_at_once() -> None:
    source = Source(5, "x")
    source.take(BLOCK_BYTES - 1)
    assert len(source.take(3 * BLOCK_BYTES)) == 3 * BLOCK_BYTES


def test_numbers_stay_in_their_range() -> None:
    source = Source(9, "x")
    assert {source.between(3, 6) for _ in range(200)} == {3, 4, 5, 6}


def test_picked_options_are_distinct() -> None:
    source = Source(9, "x")
    for count in range(1, 12):
        assert len(set(source.pick_some(range(10), count))) == min(count, 10)


def test_shuffling_keeps_every_option() -> None:
    shuffled = Source(9, "x").shuffled(range(50))
    assert sorted(shuffled) == list(range(50))
    assert shuffled != list(range(50))
