"""The binary frontier; its agreement with the builder and the definition is tested in test_builder."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings

from restore.errors import ProofError
from restore.ledger.hashes import APTOS, SPARSE_PLACEHOLDER, Domain
from restore.proof.edge import TreeLeaf
from restore.proof.frontier import Frontier, FrontierState
from restore.proof.jellyfish import leaf_hash
from tests.proof.naive import NaiveTree, chunked_leaves, leaf_of, sha3

properties = settings(max_examples=150, deadline=None, derandomize=True)


@properties
@given(chunked_leaves())
def test_every_prefix_of_the_leaves_has_its_root_and_a_state_that_continues(
    chunks: list[list[TreeLeaf]],
) -> None:
    state, taken = FrontierState(), list[TreeLeaf]()
    for chunk in chunks:
        taken += chunk
        frontier = Frontier(APTOS, state)
        assert frontier.state() == state
        frontier.add((leaf.key_hash, leaf.value_hash) for leaf in chunk)
        assert frontier.root() == NaiveTree(0, taken).root()
        frontier.prove(NaiveTree(0, taken).right_siblings(taken[-1].key_hash), root=frontier.root())
        state = msgspec.json.decode(msgspec.json.encode(frontier.state()), type=FrontierState)
        depths = [depth for depth, _ in state.stack]
        assert depths == sorted(set(depths))


def test_nothing_added_is_an_empty_tree() -> None:
    frontier = Frontier(APTOS)
    frontier.add([])
    assert frontier.root() == SPARSE_PLACEHOLDER
    assert frontier.state() == FrontierState()
    with pytest.raises(ProofError, match="no leaf"):
        frontier.prove([], root=SPARSE_PLACEHOLDER)


def test_one_leaf_is_the_root_of_its_network() -> None:
    key, value = sha3(b"key"), sha3(b"value")
    for domain in (APTOS, Domain("DIEM::")):
        frontier = Frontier(domain)
        frontier.add([(key, value)])
        assert frontier.root() == leaf_hash(domain, key, value)
        frontier.prove([], root=leaf_hash(domain, key, value))


@pytest.mark.parametrize("order", [[2, 1], [1, 2, 2], [1, 3, 2], [0], [1, 0]])
def test_keys_that_do_not_ascend_change_nothing(order: list[int]) -> None:
    leaves = [leaf_of(bytes((number,)) * 32)[:2] for number in range(4)]
    frontier = Frontier(APTOS)
    frontier.add(leaves[:1])
    before = frontier.state()
    with pytest.raises(ProofError, match="strictly increasing") as caught:
        frontier.add([leaves[number] for number in order])
    assert caught.value.found == leaves[order[-1]][0].hex()
    assert frontier.state() == before
    frontier.add(leaves[1:])


def test_more_right_siblings_than_the_path_has_turns_are_refused() -> None:
    frontier = Frontier(APTOS)
    frontier.add([(b"\xff" * 31 + b"\xfe", sha3(b"value"))])
    with pytest.raises(ProofError, match="another number of right siblings: expected 1, found 2"):
        frontier.prove([SPARSE_PLACEHOLDER] * 2, root=bytes(32))
