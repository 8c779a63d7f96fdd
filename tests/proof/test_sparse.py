"""Presence and absence of single keys in the state tree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import FormatError, ProofError
from restore.ledger.hashes import APTOS, SPARSE_PLACEHOLDER
from restore.proof.edge import TreeLeaf
from restore.proof.jellyfish import leaf_hash
from restore.proof.sparse import SparseMerkleProof
from restore.wire.bcs import Reader
from tests.proof.naive import FAR, FORKED, LEAVES, NEAR, NaiveTree, sha3

properties = settings(max_examples=150, deadline=None, derandomize=True)


def common_bits(left: bytes, right: bytes) -> int:
    return 256 - (int.from_bytes(left) ^ int.from_bytes(right)).bit_length()


@properties
@given(LEAVES, st.data())
def test_a_leaf_is_proven_with_its_value_only(leaves: list[TreeLeaf], data: st.DataObject) -> None:
    naive = NaiveTree(0, leaves)
    key, value, _ = data.draw(st.sampled_from(leaves))
    proof = SparseMerkleProof((key, value), tuple(naive.siblings(key)))
    proof.verify(APTOS, key, value, root=naive.root())
    for other_key, other_value in ((key, sha3(value)), (sha3(key), value), (key, None)):
        with pytest.raises(ProofError):
            proof.verify(APTOS, other_key, other_value, root=naive.root())
    with pytest.raises(ProofError, match="leads to another root"):
        proof.verify(APTOS, key, value, root=sha3(naive.root()))
    with pytest.raises(ProofError, match="of another leaf"):
        SparseMerkleProof(None, proof.siblings).verify(APTOS, key, value, root=naive.root())


@properties
@given(LEAVES, FAR | NEAR | FORKED)
def test_an_absent_key_is_proven_by_where_its_path_ends(leaves: list[TreeLeaf], key: bytes) -> None:
    naive = NaiveTree(0, leaves)
    here = [leaf for leaf in leaves if leaf.key_hash != key]
    naive = NaiveTree(0, here)
    depth, below = 0, here
    while len(below) > 1:
        depth += 1
        below = [leaf for leaf in here if common_bits(leaf.key_hash, key) >= depth]
    leaf = below[0][:2] if below else None
    siblings = tuple(naive.siblings(key)) if not below else tuple(naive.siblings(below[0].key_hash))
    proof = SparseMerkleProof(leaf, siblings)
    assert len(siblings) == depth
    proof.verify(APTOS, key, None, root=naive.root())
    with pytest.raises(ProofError):
        proof.verify(APTOS, key, sha3(key), root=naive.root())


def test_absence_needs_a_leaf_on_the_same_path() -> None:
    near, far = bytes(31) + b"\x01", b"\x80" + bytes(31)
    root = sha3(APTOS.sparse_internal + leaf_hash(APTOS, near, far) + SPARSE_PLACEHOLDER)
    proof = SparseMerkleProof((near, far), (SPARSE_PLACEHOLDER,))
    proof.verify(APTOS, bytes(32), None, root=root)
    with pytest.raises(ProofError, match="does not show the absence"):
        proof.verify(APTOS, far, None, root=root)
    with pytest.raises(ProofError, match="does not show the absence"):
        proof.verify(APTOS, near, None, root=root)


def test_no_proof_is_deeper_than_a_key() -> None:
    with pytest.raises(ProofError, match="more siblings than a key has bits: expected 256, found 257"):
        SparseMerkleProof(None, (SPARSE_PLACEHOLDER,) * 257).verify(APTOS, bytes(32), None, root=bytes(32))


def test_both_forms_are_read() -> None:
    leaf, sibling = bytes(32) + b"\x01" * 32, b"\x02" * 32
    reader = Reader(b"\x01" + leaf + b"\x01" + sibling + b"\x00\x00")
    assert SparseMerkleProof.read(reader) == SparseMerkleProof((leaf[:32], leaf[32:]), (sibling,))
    assert SparseMerkleProof.read(reader) == SparseMerkleProof(None, ())
    reader.finish()
    with pytest.raises(FormatError):
        SparseMerkleProof.read(Reader(b"\x02" + leaf))


def hashes(texts: list[str]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(text) for text in texts)


@pytest.mark.parametrize("network", ["mainnet", "testnet", "devnet"])
def test_proofs_under_real_genesis_roots(shared: Path, network: str) -> None:
    vectors = json.loads((shared / f"data/vectors/genesis/{network}-smt-proofs.json").read_text())
    root = bytes.fromhex(vectors["root"])
    for case in vectors["inclusion"]:
        key, value = bytes.fromhex(case["key"]), bytes.fromhex(case["value_hash"])
        proof = SparseMerkleProof((key, value), hashes(case["siblings"]))
        proof.verify(APTOS, key, value, root=root)
        with pytest.raises(ProofError):
            SparseMerkleProof((key, value), proof.siblings[::-1]).verify(APTOS, key, value, root=root)
    for case in vectors["non_inclusion"]:
        leaf = case.get("leaf") and (
            bytes.fromhex(case["leaf"]["key"]),
            bytes.fromhex(case["leaf"]["value_hash"]),
        )
        SparseMerkleProof(leaf, hashes(case["siblings"])).verify(
            APTOS, bytes.fromhex(case["key"]), None, root=root
        )


def check_real_item(case: dict[str, Any], siblings: list[str]) -> None:
    key, value = bytes.fromhex(case["key"]), bytes.fromhex(case["value_hash"])
    assert leaf_hash(APTOS, key, value).hex() == case["leaf_hash"]
    SparseMerkleProof((key, value), hashes(siblings)).verify(
        APTOS, key, value, root=bytes.fromhex(case["root"])
    )


@pytest.mark.parametrize("version", [964644771, 998167816])
def test_real_mainnet_items_are_included(shared: Path, version: int) -> None:
    name = f"data/vectors/real-ledger-infos/aptos-mainnet-inclusion-version-{version}.json"
    case = json.loads((shared / name).read_text())["sparse_merkle"]
    check_real_item(case, case["siblings_root_to_bottom"])


def test_a_real_table_item_is_included(shared: Path) -> None:
    case = json.loads((shared / "data/vectors/state-value-with-metadata.json").read_text())
    item = {
        "key": case["state_key"]["key_hash"],
        "value_hash": case["state_value"]["value_hash"],
        "leaf_hash": case["leaf_hash"],
        "root": case["root"],
    }
    check_real_item(item, case["siblings_root_to_bottom"])
