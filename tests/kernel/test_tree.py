"""The tree nodes of a chunk in columns against those of `build_chunk_tree`: the same, one for one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from restore.ledger.hashes import APTOS, Domain
from restore.proof.builder import build_chunk_tree
from restore.proof.edge import Subtree, TreeLeaf
from restore.proof.jellyfish import Child
from tests.kernel.trees import Tree, rows_by_path, tree_of
from tests.proof.naive import LEAVES, leaf_of

native = pytest.importorskip("restore.kernel._native", reason="the C extension is not built")

VERSION = 300
"""Takes two bytes as a varint."""

properties = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def hashes_of(leaves: Sequence[TreeLeaf]) -> bytes:
    return b"".join(leaf.key_hash + leaf.value_hash for leaf in leaves)


def leaves_at(*paths: str, filler: str = "0") -> list[TreeLeaf]:
    """Leaves whose key hashes begin with these nibbles."""
    return [leaf_of(bytes.fromhex(path.ljust(64, filler))) for path in sorted(paths)]


def random_leaves(count: int, *, seed: int = 1) -> list[TreeLeaf]:
    source = random.Random(seed)
    return [leaf_of(key) for key in sorted({source.randbytes(32) for _ in range(count)})]


def assert_same(leaves: Sequence[TreeLeaf]) -> Tree:
    """The columns say what the Python form says; gives them."""
    expected = build_chunk_tree(APTOS, VERSION, leaves)
    tree = tree_of(hashes_of(leaves))
    assert tree is not None
    assert rows_by_path(tree, leaves, VERSION) == expected.rows
    hanging = [
        Subtree(leaves[leaf].key_hash.hex()[:depth], Child(VERSION, node_hash, below, is_leaf))
        for depth, leaf, node_hash, below, is_leaf in tree.hanging
    ]
    assert [leaves[0], *hanging, leaves[-1]] == expected.edge
    # Each node is above the leaves that its children are above.
    for node in tree.nodes:
        children = tree.nodes[node.children : node.children + node.child_count]
        assert node.leaves == (sum(child.leaves for child in children) if children else 1)
        assert all(child.first_leaf >= node.first_leaf for child in children)
    return tree


@pytest.mark.parametrize("count", [2, 3, 4, 15, 16, 17, 255, 256, 257, 1023, 1024, 1025, 1026, 1027, 5000])
def test_random_keys_make_the_same_nodes(count: int) -> None:
    assert_same(random_leaves(count))


@properties
@given(LEAVES.filter(lambda leaves: len(leaves) >= 2))
def test_keys_of_every_shape_make_the_same_nodes(leaves: list[TreeLeaf]) -> None:
    assert_same(leaves)


def test_two_leaves_make_no_node() -> None:
    assert assert_same(leaves_at("0", "f")) == Tree([], (0,) * 65, [])


def test_keys_that_share_63_nibbles_make_a_long_chain() -> None:
    twins = ["5" * 63 + "6", "5" * 63 + "9"]
    tree = assert_same(leaves_at("0", *twins, "f"))
    # One family at the bottom, and above it a lone internal node at each depth that is not open.
    assert len(tree.nodes) == 2 + 63
    assert [(one.depth, one.leaves, one.is_leaf) for one in tree.hanging] == [(1, 2, False)]


@pytest.mark.parametrize("depth", [1, 2, 31, 32, 62, 63])
def test_a_whole_family_at_any_depth_makes_the_same_nodes(depth: int) -> None:
    family = ["7" * depth + nibble for nibble in "0123456789abcdef"]
    assert_same(leaves_at(*family))
    assert_same(leaves_at("0", *family, "f"))
    assert_same(leaves_at("0", *family[:2], *family[14:], "f"))
    assert_same(leaves_at("0", *family, filler="f"))


@pytest.mark.parametrize("nibble", "0123456789abcdef")
def test_a_leaf_beside_a_chain_stands_in_any_place(nibble: str) -> None:
    for other in "0123456789abcdef":
        if other != nibble:
            assert_same(leaves_at("2", "4" + nibble, f"4{other}00", f"4{other}0f", "8"))


def test_nodes_below_the_first_and_the_last_key_stay_open() -> None:
    low, high = "0" * 64, "f" * 64
    inner = [low[:depth] + "8" for depth in range(64)] + [high[:depth] + "3" for depth in range(64)]
    tree = assert_same(leaves_at(low, high, *inner))
    assert len(tree.hanging) == len(inner)
    assert all(one.is_leaf for one in tree.hanging)


def test_a_chunk_below_one_node_hangs_on_a_single_path() -> None:
    tree = assert_same(leaves_at(*("a" * 60 + tail for tail in ("0000", "0001", "1000", "1001", "8888"))))
    assert min(one.depth for one in tree.hanging) > 60


@pytest.mark.parametrize("families", [63, 64, 65, 127, 128, 129])
def test_families_are_folded_the_same_across_what_is_folded_at_once(families: int) -> None:
    leaves = leaves_at(
        "0", *(f"7{family:04x}{nibble}" for family in range(families) for nibble in "0123456789abcdef"), "f"
    )
    assert_same(leaves)


@pytest.mark.parametrize("order", [[1, 0], [0, 0], [0, 2, 1], [0, 1, 1], [0, 1, 2, 2], [2, 1, 0]])
def test_keys_that_do_not_ascend_are_refused(order: list[int]) -> None:
    leaves = random_leaves(3)
    assert tree_of(hashes_of([leaves[index] for index in order])) is None


@pytest.mark.parametrize("place", [0, 1, 2499, 4997, 4998])
def test_two_neighbours_out_of_order_are_found_anywhere(place: int) -> None:
    leaves = random_leaves(5000)
    leaves[place], leaves[place + 1] = leaves[place + 1], leaves[place]
    assert tree_of(hashes_of(leaves)) is None
    leaves[place] = leaves[place + 1]
    assert tree_of(hashes_of(leaves)) is None


def test_the_hashes_are_of_the_seeds_that_are_given() -> None:
    leaves, other = hashes_of(random_leaves(100)), Domain("DIEM::")
    one = native.tree_columns(leaves, APTOS.sparse_leaf, APTOS.sparse_internal)
    for seeds in ((other.sparse_leaf, APTOS.sparse_internal), (APTOS.sparse_leaf, other.sparse_internal)):
        assert native.tree_columns(leaves, *seeds) != one


@pytest.mark.parametrize(
    "arguments",
    [
        (b"", bytes(32), bytes(32)),
        (bytes(64), bytes(32), bytes(32)),
        (bytes(127), bytes(32), bytes(32)),
        (bytes(128), bytes(31), bytes(32)),
        (bytes(128), bytes(32), bytes(33)),
        (bytes(128), b"", bytes(32)),
    ],
    ids=lambda arguments: "-".join(str(len(argument)) for argument in arguments),
)
def test_numbers_of_bytes_that_cannot_be_are_errors(arguments: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        native.tree_columns(*arguments)


@pytest.mark.parametrize("size", [129, 191])
def test_half_a_leaf_is_an_error(size: int) -> None:
    leaves = hashes_of(random_leaves(3))
    with pytest.raises(ValueError, match="cannot be"):
        native.tree_columns(leaves[:size], bytes(32), bytes(32))


OTHER: dict[str, tuple[Any, ...]] = {
    "none": (),
    "too few": (bytes(128), bytes(32)),
    "leaves that could change meanwhile": (bytearray(128), bytes(32), bytes(32)),
    "text": ("leaves", bytes(32), bytes(32)),
    "no seed": (bytes(128), bytes(32), None),
}
"""Arguments of other types, by what is wrong with them."""


@pytest.mark.parametrize("name", OTHER)
def test_arguments_of_other_types_are_errors(name: str) -> None:
    with pytest.raises(TypeError):
        native.tree_columns(*OTHER[name])


def test_threads_do_the_same_at_the_same_time() -> None:
    leaves = hashes_of(random_leaves(5000))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(tree_of, [leaves] * 8))
    assert found == [tree_of(leaves)] * 8
