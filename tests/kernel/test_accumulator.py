"""The kernel's accumulators against the Python form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.crypto.digest import sha3_256
from restore.ledger.hashes import APTOS
from restore.proof.accumulator import Accumulator
from tests.kernel.examples import tried

_native = pytest.importorskip("restore.kernel._native")

SEED = APTOS.transaction_accumulator
properties = tried(100)


def hashes(count: int, start: int = 0) -> list[bytes]:
    return [sha3_256(number.to_bytes(8)) for number in range(start, start + count)]


@properties
@given(st.integers(0, 2**61 - 200) | st.integers(0, 300), st.integers(0, 130))
def test_new_leaves_complete_the_same_nodes(count: int, new: int) -> None:
    roots = hashes(count.bit_count(), 1000)
    expected = b"".join(node.hash for node in Accumulator(SEED, count, roots).append(hashes(new)))
    assert _native.accumulate(SEED, count, b"".join(roots), b"".join(hashes(new))) == expected


@pytest.mark.parametrize(
    ("seed", "count", "roots", "leaves"),
    [
        (SEED[1:], 0, b"", b""),
        (SEED, 1, b"", bytes(32)),
        (SEED, 1, bytes(64), bytes(32)),
        (SEED, 0, b"", bytes(33)),
        (SEED, -1, b"", bytes(32)),
        (SEED, 2**62, bytes(32), bytes(32)),
    ],
)
def test_what_is_no_tree_is_refused(seed: bytes, count: int, roots: bytes, leaves: bytes) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        _native.accumulate(seed, count, roots, leaves)


@properties
@given(st.integers(0, 40))
def test_parents_are_the_hashes_of_pairs(pairs: int) -> None:
    nodes = hashes(2 * pairs)
    expected = [sha3_256(SEED + nodes[2 * i] + nodes[2 * i + 1]) for i in range(pairs)]
    assert _native.parents(SEED, b"".join(nodes)) == b"".join(expected)


@pytest.mark.parametrize(("seed", "nodes"), [(SEED, bytes(32)), (SEED, bytes(65)), (SEED[:31], bytes(64))])
def test_what_is_no_pair_has_no_parent(seed: bytes, nodes: bytes) -> None:
    with pytest.raises(ValueError, match="no pairs"):
        _native.parents(seed, nodes)
