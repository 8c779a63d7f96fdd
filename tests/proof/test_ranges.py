"""Accumulator proofs: every honest one holds, every other one fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from restore.errors import FormatError, ProofError
from restore.ledger.hashes import ACCUMULATOR_PLACEHOLDER
from restore.proof.accumulator import Accumulator
from restore.proof.ranges import MAX_SIBLINGS, AccumulatorProof, AccumulatorRangeProof
from restore.wire.bcs import Reader
from tests.proof.test_accumulator import SEED, leaf, leaves, naive_node, naive_root

joined = b"".join
properties = settings(max_examples=200, deadline=None, derandomize=True)


def naive_proof(index: int, count: int) -> AccumulatorProof:
    height = (count - 1).bit_length()
    return AccumulatorProof(tuple(naive_node(level, index >> level ^ 1, count) for level in range(height)))


def naive_range(first: int, last: int, count: int) -> AccumulatorRangeProof:
    left, right = [], []
    for level in range((count - 1).bit_length()):
        if first >> level & 1:
            left.append(naive_node(level, (first >> level) - 1, count))
        if not last >> level & 1:
            right.append(naive_node(level, (last >> level) + 1, count))
    return AccumulatorRangeProof(tuple(left), tuple(right))


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int, int]:
    """(first, last, count) with first <= last < count."""
    count = draw(st.integers(1, 130))
    first = draw(st.integers(0, count - 1))
    return first, draw(st.integers(first, count - 1)), count


@properties
@given(ranges())
def test_a_leaf_is_proven_at_its_position_only(case: tuple[int, int, int]) -> None:
    index, other, count = case
    proof = naive_proof(index, count)
    proof.verify(SEED, leaf(index), index, root=naive_root(count))
    assume(index != other)
    for leaf_hash, position in ((leaf(index), other), (leaf(other), index)):
        with pytest.raises(ProofError, match="leads to another root"):
            proof.verify(SEED, leaf_hash, position, root=naive_root(count))


@properties
@given(ranges())
def test_a_range_is_proven_and_names_the_past(case: tuple[int, int, int]) -> None:
    first, last, count = case
    proof = naive_range(first, last, count)
    proof.verify(SEED, joined(leaves(last + 1 - first, first)), first, root=naive_root(count))
    past = Accumulator(SEED)
    past.append(leaves(first))
    assert tuple(reversed(proof.left)) == past.frozen_roots
    reader = Reader(proof.encode())
    assert AccumulatorRangeProof.read(reader) == proof
    reader.finish()


@properties
@given(ranges(), st.data())
def test_a_narrowed_proof_is_that_of_the_leaf_it_keeps(
    case: tuple[int, int, int], data: st.DataObject
) -> None:
    first, last, count = case
    keep = data.draw(st.integers(first, last))
    narrowed = naive_range(first, last, count).narrowed(
        SEED, joined(leaves(last + 1 - first, first)), first, keep=keep
    )
    assert narrowed == naive_range(keep, keep, count)
    narrowed.verify(SEED, leaf(keep), keep, root=naive_root(count))
    for outside in (first - 1, last + 1):
        with pytest.raises(ProofError, match=f"outside the proven range: expected {first} to {last}"):
            naive_range(first, last, count).narrowed(
                SEED, joined(leaves(last + 1 - first, first)), first, keep=outside
            )


@properties
@given(ranges(), st.data())
def test_any_other_range_fails(case: tuple[int, int, int], data: st.DataObject) -> None:
    first, last, count = case
    proof, chunk, root = naive_range(first, last, count), leaves(last + 1 - first, first), naive_root(count)
    sides = {"left": list(proof.left), "right": list(proof.right)}
    siblings = sides[data.draw(st.sampled_from(["left", "right"]))]
    index = data.draw(st.integers(0, max(0, len(siblings) - 1)))
    kind = data.draw(
        st.sampled_from(["append", "prepend", "drop", "flip", "leaf", "repeat", "missing", "first"])
    )
    if kind == "leaf":
        chunk[data.draw(st.integers(0, len(chunk) - 1))] = leaf(count)
    elif kind == "repeat":
        chunk.append(chunk[-1])
    elif kind == "missing":
        chunk.pop()
    elif kind == "first":
        first += data.draw(st.integers(1, 1 << 20))
    elif kind == "append" or not siblings:
        siblings.append(data.draw(st.sampled_from([ACCUMULATOR_PLACEHOLDER, leaf(0)])))
    elif kind == "prepend":
        siblings.insert(0, ACCUMULATOR_PLACEHOLDER)
    elif kind == "drop":
        del siblings[index]
    else:
        siblings[index] = leaf(count)
    with pytest.raises(ProofError):
        AccumulatorRangeProof(tuple(sides["left"]), tuple(sides["right"])).verify(
            SEED, joined(chunk), first, root=root
        )


def test_a_range_of_no_leaf_proves_nothing() -> None:
    with pytest.raises(ProofError, match="of no leaf"):
        AccumulatorRangeProof((), ()).verify(SEED, b"", 0, root=ACCUMULATOR_PLACEHOLDER)


def test_no_proof_is_higher_than_a_tree() -> None:
    siblings = (ACCUMULATOR_PLACEHOLDER,) * (MAX_SIBLINGS + 1)
    for proof in (AccumulatorRangeProof(siblings, ()), AccumulatorRangeProof((), siblings)):
        with pytest.raises(ProofError, match="more siblings than a tree has levels"):
            proof.verify(SEED, leaf(0), 0, root=leaf(0))
    with pytest.raises(ProofError, match="more siblings than a tree has levels"):
        AccumulatorProof(siblings).verify(SEED, leaf(0), 0, root=leaf(0))


def test_a_position_beyond_the_siblings_is_refused() -> None:
    proof = naive_proof(1, 4)
    proof.verify(SEED, leaf(1), 1, root=naive_root(4))
    with pytest.raises(ProofError, match="too few siblings for its position: expected 3, found 2"):
        proof.verify(SEED, leaf(1), 5, root=naive_root(4))


def test_a_torn_proof_does_not_parse() -> None:
    encoded = naive_range(3, 5, 9).encode()
    for size in range(len(encoded)):
        with pytest.raises(FormatError):
            AccumulatorRangeProof.read(Reader(encoded[:size]))


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((shared / "data/vectors/accumulator.json").read_text())
    return loaded


def hashes(texts: list[str]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(text) for text in texts)


def test_published_inclusion_proofs(vectors: dict[str, Any]) -> None:
    for case in vectors["inclusion"]:
        proof = AccumulatorProof(hashes(case["siblings_bottom_to_root"]))
        proof.verify(SEED, leaf(case["index"]), case["index"], root=bytes.fromhex(case["root"]))


def test_published_range_proofs(vectors: dict[str, Any]) -> None:
    for case in vectors["ranges"]:
        first, size = case["first"], case["last"] + 1 - case["first"]
        proof = AccumulatorRangeProof.read(Reader(bytes.fromhex(case["bcs"])))
        assert proof.left == hashes(case["left_siblings_bottom_to_root"])
        assert proof.right == hashes(case["right_siblings_bottom_to_root"])
        assert proof.encode().hex() == case["bcs"]
        proof.verify(SEED, joined(leaves(size, first)), first, root=bytes.fromhex(case["root"]))


@pytest.mark.parametrize("version", [964644771, 998167816])
def test_real_transactions_stand_under_their_ledger_info(shared: Path, version: int) -> None:
    name = f"data/vectors/real-ledger-infos/aptos-mainnet-inclusion-version-{version}.json"
    case = json.loads((shared / name).read_text())
    info = case["transaction_info"]
    proof = AccumulatorProof(hashes(info["accumulator_siblings_bottom_to_root"]))
    root = bytes.fromhex(case["ledger_info"]["executed_state_id"])
    proof.verify(SEED, bytes.fromhex(info["hash"]), version, root=root)
    with pytest.raises(ProofError):
        proof.verify(SEED, bytes.fromhex(info["hash"]), version + 1, root=root)
