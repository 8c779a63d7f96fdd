from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.target import steps
from restore.target.steps import STEP_BYTES, cuts

MIB = 1 << 20


@given(st.lists(st.integers(0, 100), max_size=40), st.integers(0, 5))
def test_a_part_is_cut_into_as_few_pieces_as_fit_a_step(weights: list[int], before: int) -> None:
    part = range(before, before + len(weights))

    def weight(piece: range) -> int:
        return MIB * sum(weights[place - before] for place in piece)

    pieces = list(cuts(part, weight))
    assert [place for piece in pieces for place in piece] == list(part)
    assert all(len(piece) == 1 or weight(piece) <= STEP_BYTES for piece in pieces)
    for piece, following in pairwise(pieces):
        assert weight(range(piece.start, following.start + 1)) > STEP_BYTES


def test_of_nothing_there_is_no_piece() -> None:
    assert list(cuts(range(7, 7), lambda _: 0)) == []


def test_the_bound_is_that_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "STEP_BYTES", 2)
    assert list(cuts(range(5), len)) == [range(2), range(2, 4), range(4, 5)]
