"""16-way nodes: keys, bytes and hashes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import FormatError
from restore.ledger.hashes import APTOS, SPARSE_PLACEHOLDER
from restore.proof.jellyfish import (
    NULL_NODE,
    Child,
    InternalNode,
    LeafNode,
    decode_node,
    encode_internal,
    encode_leaf,
    internal_hash,
    internal_hashes,
    node_key,
    parse_node_key,
)
from tests.proof.naive import sha3

properties = settings(max_examples=150, deadline=None, derandomize=True)

U64 = st.integers(0, 2**64 - 1)
PATHS = st.text("0123456789abcdef", max_size=64)
SUBTREES = st.builds(Child, U64, st.binary(min_size=32, max_size=32), U64.filter(bool), st.just(False))
LEAVES = st.builds(Child, U64, st.binary(min_size=32, max_size=32), st.just(1), st.just(True))
CHILDREN = st.dictionaries(st.integers(0, 15), SUBTREES | LEAVES, min_size=1).map(
    lambda children: dict(sorted(children.items()))
)


def naive_hash(children: dict[int, Child], start: int = 0, width: int = 16) -> bytes:
    here = [child for nibble, child in children.items() if start <= nibble < start + width]
    if not here:
        return SPARSE_PLACEHOLDER
    if width == 1 or (len(here) == 1 and here[0].is_leaf):
        return here[0].hash
    half = width // 2
    left, right = naive_hash(children, start, half), naive_hash(children, start + half, half)
    return sha3(APTOS.sparse_internal + left + right)


@properties
@given(st.lists(CHILDREN, max_size=5))
def test_nodes_hash_as_the_binary_tree_they_stand_for(nodes: list[dict[int, Child]]) -> None:
    assert internal_hashes(APTOS, nodes) == [naive_hash(children) for children in nodes]


@properties
@given(CHILDREN, st.integers(0, 3), st.integers(0, 15))
def test_aligned_parts_of_a_node_hash_alike(children: dict[int, Child], levels: int, slot: int) -> None:
    part = {nibble: child for nibble, child in children.items() if nibble >> levels == slot >> levels}
    if part:
        start = slot >> levels << levels
        assert internal_hashes(APTOS, [part], levels=levels) == [naive_hash(children, start, 1 << levels)]


def test_a_lone_leaf_floats_and_a_lone_subtree_does_not() -> None:
    leaf, subtree = Child(1, sha3(b"a"), 1, is_leaf=True), Child(1, sha3(b"a"), 2, is_leaf=False)
    assert internal_hash(APTOS, {7: leaf}) == leaf.hash
    assert internal_hash(APTOS, {7: subtree}) == naive_hash({7: subtree}) != leaf.hash


@properties
@given(CHILDREN)
def test_an_internal_node_survives_its_row(children: dict[int, Child]) -> None:
    assert decode_node(encode_internal(children)) == InternalNode(children)


@properties
@given(U64, st.binary(max_size=300))
def test_a_leaf_survives_its_row(version: int, path: bytes) -> None:
    length = bytes((len(path),)) if len(path) < 128 else bytes((len(path) & 127 | 128, len(path) >> 7))
    state_key = b"\x01" + sha3(b"handle") + length + path
    row = encode_leaf(sha3(b"key"), sha3(b"value"), state_key=state_key, version=version)
    assert decode_node(row) == LeafNode(sha3(b"key"), sha3(b"value"), state_key, version)


def test_the_null_node_decodes_to_nothing() -> None:
    assert decode_node(NULL_NODE) is None


@pytest.mark.parametrize(
    "version, encoded",
    [
        (300, "ac02"),
        (127, "7f"),
        (128, "8001"),
        (2**56 - 1, "ff" * 7 + "7f"),
        (2**56, "80" * 8 + "01"),
        (2**64 - 1, "ff" * 9),
    ],
)
def test_versions_are_varints_of_at_most_nine_bytes(version: int, encoded: str) -> None:
    row = encode_internal({0: Child(version, bytes(32), 1, is_leaf=True)})
    assert row.hex() == "0201000100" + encoded + "00" * 32
    assert decode_node(row) == InternalNode({0: Child(version, bytes(32), 1, is_leaf=True)})


HASH = "00" * 32


@pytest.mark.parametrize(
    "row",
    [
        "",
        "00",
        "0300",
        "04",
        "01" + HASH + HASH + "010000",
        "01" + HASH + HASH + "0201ff" + "00" * 7,
        "01" + HASH + HASH + "0201ff" + "00" * 9,
        "0200000000",
        "0201000200" + "05" + HASH,
        "0201000100" + "05" + HASH + "00",
        "0201000100" + "05" + HASH[2:],
        "0201000000" + "05" + HASH,
        "0201000000" + "05" + HASH + "00",
        "0201000000" + "05" + HASH + "8200",
        "0201000100" + "8500" + HASH,
        "0201000100" + "80" * 8 + "00" + HASH,
    ],
)
def test_rows_that_no_node_writes_are_refused(row: str) -> None:
    with pytest.raises(FormatError):
        decode_node(bytes.fromhex(row))


@pytest.mark.parametrize(
    "path, key",
    [
        ("", "000000010203040500"),
        ("a", "0000000102030405" + "01a0"),
        ("a1", "0000000102030405" + "02a1"),
        ("a1b", "0000000102030405" + "03a1b0"),
    ],
)
def test_node_keys_are_those_of_the_schema(path: str, key: str) -> None:
    assert node_key(0x0102030405, path).hex() == key
    assert parse_node_key(bytes.fromhex(key)) == (0x0102030405, path)


@properties
@given(U64, PATHS)
def test_a_node_key_gives_back_its_version_and_path(version: int, path: str) -> None:
    assert parse_node_key(node_key(version, path)) == (version, path)


@pytest.mark.parametrize("tail", ["01", "01a1", "01a000", "02", "00a0", "03a1b1", "41" + "00" * 33])
def test_node_keys_that_do_not_fit_are_refused(tail: str) -> None:
    with pytest.raises(FormatError):
        parse_node_key(bytes(8) + bytes.fromhex(tail))


def test_a_short_node_key_is_refused() -> None:
    with pytest.raises(FormatError, match="too short: expected 9, found 8"):
        parse_node_key(bytes(8))
