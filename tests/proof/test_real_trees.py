"""The state trees of real networks at genesis: rows, proofs and roots."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from restore.crypto.digest import sha3_256
from restore.errors import ProofError
from restore.ledger.hashes import APTOS, SPARSE_PLACEHOLDER
from restore.ledger.state import hash_keys, hash_values, split_state_record
from restore.ledger.write_set import parse_write_set
from restore.proof.builder import TreeBuilder, build_chunk_tree
from restore.proof.edge import TreeLeaf
from restore.proof.files import parse_range_proof, parse_state_proof
from restore.proof.frontier import Frontier, FrontierState
from restore.proof.jellyfish import (
    InternalNode,
    LeafNode,
    decode_node,
    encode_internal,
    encode_leaf,
    internal_hash,
    leaf_hash,
)
from restore.wire.bcs import Reader
from restore.wire.layouts import skipper
from restore.wire.records import cut_records
from tests.proof.naive import joined

NO_KEY = b"\x02\x00"
"""Where only key hashes are published."""


def leaves_of(keys: list[bytes], values: list[bytes]) -> list[TreeLeaf]:
    return list(map(TreeLeaf, hash_keys(APTOS, keys), hash_values(APTOS, values), keys))


def left_siblings(state: FrontierState, depth: int) -> list[bytes]:
    """Those on the path of the last key down to `depth`, bottom to root, placeholders included."""
    assert state.key is not None
    path, stack = int.from_bytes(state.key), dict(state.stack)
    return [
        stack.get(level, SPARSE_PLACEHOLDER) for level in range(depth, 0, -1) if path >> (256 - level) & 1
    ]


@pytest.mark.parametrize("network", ["mainnet", "devnet"])
def test_chunks_of_a_genesis_state_are_proven_as_published(shared: Path, network: str) -> None:
    vectors = json.loads((shared / f"data/vectors/genesis/{network}-range-proofs.json").read_text())
    root = bytes.fromhex(vectors["state_root"])
    leaves = [
        TreeLeaf(bytes.fromhex(key), bytes.fromhex(value), NO_KEY) for key, value in vectors["all_leaves"]
    ]
    builder, frontier, rows = TreeBuilder(APTOS, 0), Frontier(APTOS), 0
    for chunk in vectors["chunks"]:
        part = leaves[chunk["first_idx"] : chunk["last_idx"] + 1]
        right = parse_range_proof(bytes.fromhex(chunk["sparse_merkle_range_proof_bcs"]))
        assert [sibling.hex() for sibling in right] == chunk["right_siblings_bottom_to_root"]
        rows += len(joined(builder, build_chunk_tree(APTOS, 0, part)))
        frontier.add((key, value) for key, value, _ in part)
        builder.prove(right, root=root)
        frontier.prove(right, root=root)
        assert rows == chunk["nodes_written_after_this_chunk"]
        left = left_siblings(frontier.state(), chunk["last_leaf_depth"])
        assert [sibling.hex() for sibling in left] == chunk["expected_left_siblings_bottom_to_root"]
        refused_unless_whole(frontier, right, root=root)
    found, rest = builder.finish()
    assert found == root
    assert rows + len(rest) == vectors["nodes_written_total"]


def refused_unless_whole(frontier: Frontier, right: tuple[bytes, ...], *, root: bytes) -> None:
    for other in (
        (*right, SPARSE_PLACEHOLDER),
        (SPARSE_PLACEHOLDER, *right),
        *(right[:index] + right[index + 1 :] for index in range(len(right))),
        *((*right[:index], right[index][::-1], *right[index + 1 :]) for index in range(len(right))),
    ):
        with pytest.raises(ProofError):
            frontier.prove(other, root=root)


def test_the_genesis_backup_is_proven_chunk_by_chunk_and_its_tree_is_whole(shared: Path) -> None:
    backup = shared / "data/mainnet-genesis-backup"
    manifest: dict[str, Any] = json.loads((backup / "state_epoch_0_ver_0.128f/state.manifest").read_text())
    root = bytes.fromhex(manifest["root_hash"])
    state = parse_state_proof((backup / manifest["proof"]).read_bytes())
    assert state.info.state_checkpoint_hash == root
    state.proof.verify(
        APTOS.transaction_accumulator,
        sha3_256(APTOS.transaction_info + state.info.raw),
        manifest["version"],
        root=state.signed.info.executed_state_id,
    )
    builder, frontier, rows = TreeBuilder(APTOS, 0), Frontier(APTOS), dict[str, bytes]()
    all_leaves: list[TreeLeaf] = []
    for chunk in manifest["chunks"]:
        items = [split_state_record(record) for record in cut_records((backup / chunk["blobs"]).read_bytes())]
        leaves = leaves_of([item.key for item in items], [item.value for item in items])
        assert leaves[0].key_hash.hex() == chunk["first_key"]
        assert leaves[-1].key_hash.hex() == chunk["last_key"]
        right = parse_range_proof((backup / chunk["proof"]).read_bytes())
        rows |= joined(builder, build_chunk_tree(APTOS, 0, leaves))
        builder.prove(right, root=root)
        frontier.add((key, value) for key, value, _ in leaves)
        frontier.prove(right, root=root)
        all_leaves += leaves
    found, rest = builder.finish()
    assert found == root
    rows |= rest
    assert len(rows) == 1880
    assert check_whole(rows, "", root) == all_leaves


def check_whole(rows: dict[str, bytes], path: str, expected: bytes) -> list[TreeLeaf]:
    """Re-hashes the stored tree from the root down; returns its leaves."""
    node = decode_node(rows[path])
    if isinstance(node, LeafNode):
        key_hash, value_hash, state_key, version = node
        assert version == 0
        assert key_hash.hex().startswith(path)
        assert leaf_hash(APTOS, key_hash, value_hash) == expected
        assert encode_leaf(key_hash, value_hash, state_key=state_key, version=version) == rows[path]
        return [TreeLeaf(key_hash, value_hash, state_key)]
    assert isinstance(node, InternalNode)
    assert internal_hash(APTOS, node.children) == expected
    assert encode_internal(node.children) == rows[path]
    leaves: list[TreeLeaf] = []
    for nibble, child in node.children.items():
        below = check_whole(rows, path + f"{nibble:x}", child.hash)
        assert (child.version, child.leaves) == (0, len(below))
        assert child.is_leaf == (rows[path + f"{nibble:x}"][:1] == b"\x01")
        leaves += below
    return leaves


@pytest.mark.parametrize("network", ["mainnet", "testnet", "ait3", "devnet"])
def test_genesis_blobs_give_the_published_state_roots(shared: Path, network: str) -> None:
    blob = gzip.decompress((shared / f"data/vectors/genesis-blobs/{network}.genesis.blob.gz").read_bytes())
    vectors = json.loads((shared / f"data/vectors/genesis/{network}.json").read_text())
    reader = Reader(blob)
    assert reader.fixed(2) == b"\x01\x00"  # a genesis transaction that is a plain change set
    items = [
        (operation.key, operation.value)
        for operation in parse_write_set(reader.verbatim(skipper("WriteSet")))
        if operation.value is not None
    ]
    assert len(items) == vectors["num_state_items"]
    leaves = sorted(leaves_of([key for key, _ in items], [value for _, value in items]))
    builder = TreeBuilder(APTOS, 0)
    cuts = [0, 1, len(leaves) // 3, len(leaves) // 2, len(leaves)]
    for start, stop in pairwise(cuts):
        joined(builder, build_chunk_tree(APTOS, 0, leaves[start:stop]))
    assert builder.finish()[0].hex() == vectors["state_root"]
