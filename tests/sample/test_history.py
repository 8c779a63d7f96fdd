"""The remembered accumulator against the one that restores use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.ledger.hashes import APTOS
from restore.proof.accumulator import root_of
from restore.proof.ranges import AccumulatorProof
from restore.sample.history import History
from tests.proof.naive import sha3

SEED = APTOS.transaction_accumulator
LEAVES = [sha3(bytes((number,))) for number in range(70)]


@pytest.fixture(scope="module")
def history() -> History:
    whole = History(SEED)
    for leaf in LEAVES:
        whole.append(leaf)
    return whole


@pytest.mark.parametrize("count", range(1, len(LEAVES) + 1))
def test_the_root_of_any_moment_is_known(history: History, count: int) -> None:
    assert history.root(count) == root_of(SEED, LEAVES[:count])


@given(st.integers(1, len(LEAVES)), st.data())
def test_proofs_of_any_moment_verify(history: History, count: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, count - 1))
    last = data.draw(st.integers(first, count - 1))
    root = root_of(SEED, LEAVES[:count])
    history.range_proof(first, last, count).verify(SEED, b"".join(LEAVES[first : last + 1]), first, root=root)
    AccumulatorProof(history.siblings(first, count)).verify(SEED, LEAVES[first], first, root=root)
