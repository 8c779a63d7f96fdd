"""The proof files of real backups."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from restore.crypto.digest import sha3_256
from restore.errors import FormatError, ProofError
from restore.ledger.hashes import APTOS, Domain
from restore.proof.files import parse_range_proof, parse_state_proof, parse_transaction_proof
from restore.proof.ranges import AccumulatorProof

DIEM = Domain("DIEM::")


@pytest.fixture(scope="module")
def archive(shared: Path) -> dict[str, Any]:
    """Open Libra v7: real proofs of another network, without the chunks."""
    packed = (shared / "data/vectors/real-ledger-infos/openlibra-v7-proofs.json.gz").read_bytes()
    loaded: dict[str, Any] = json.loads(gzip.decompress(packed))
    return loaded


def test_real_state_proofs_lead_to_their_ledger_infos(archive: dict[str, Any]) -> None:
    assert len(archive["state"]) == 8
    for case in archive["state"]:
        state, parsed = parse_state_proof(bytes.fromhex(case["state_proof_bcs"])), case["parsed"]
        version = case["manifest"]["version"]
        assert state.info.state_checkpoint_hash == bytes.fromhex(case["manifest"]["root_hash"])
        assert state.signed.info.version == version
        leaf = sha3_256(DIEM.transaction_info + state.info.raw)
        assert leaf.hex() == parsed["transaction_info_hash"]
        root = state.signed.info.executed_state_id
        assert root.hex() == parsed["accumulator_root"]
        state.proof.verify(DIEM.transaction_accumulator, leaf, version, root=root)
        assert state.proof.root(DIEM.transaction_accumulator, leaf, version) == root
        refused_unless_whole(state.proof, leaf, version, root=root)
        for chunk in case["chunk_proofs_bcs"]:
            assert parse_range_proof(bytes.fromhex(chunk)) == ()


def refused_unless_whole(proof: AccumulatorProof, leaf: bytes, version: int, *, root: bytes) -> None:
    seed = DIEM.transaction_accumulator
    for index in range(len(proof.siblings)):
        torn = AccumulatorProof(proof.siblings[:index] + proof.siblings[index + 1 :])
        with pytest.raises(ProofError):
            torn.verify(seed, leaf, version, root=root)
    with pytest.raises(ProofError):
        proof.verify(seed, leaf, version - 1, root=root)
    with pytest.raises(ProofError):
        proof.verify(APTOS.transaction_accumulator, leaf, version, root=root)


def test_real_transaction_proofs_name_the_whole_past(archive: dict[str, Any]) -> None:
    assert len(archive["transaction"]) == 13
    for case in archive["transaction"]:
        raw = bytes.fromhex(case["proof_bcs"])
        proof, parsed = parse_transaction_proof(raw), case["parsed"]
        assert (
            len(proof.range.left) == case["manifest"]["first_version"].bit_count() == parsed["left_siblings"]
        )
        assert len(proof.range.right) == parsed["right_siblings"]
        assert proof.signed.info.epoch == parsed["ledger_info_epoch"]
        assert proof.signed.info.version == parsed["ledger_info_version"]
        assert (proof.signed.info.next_epoch_state is not None) == parsed["ledger_info_ends_epoch"]
        assert proof.range.encode() + proof.signed.raw == raw


def test_bytes_after_a_proof_are_refused(archive: dict[str, Any]) -> None:
    state = bytes.fromhex(archive["state"][0]["state_proof_bcs"])
    transaction = bytes.fromhex(archive["transaction"][0]["proof_bcs"])
    for parse, raw in (
        (parse_state_proof, state),
        (parse_transaction_proof, transaction),
        (parse_range_proof, b"\x01" + bytes(32)),
    ):
        parse(raw)
        for other in (raw + b"\x00", raw[:-1]):
            with pytest.raises(FormatError):
                parse(other)


def test_the_genesis_backup_s_transaction_is_proven(shared: Path) -> None:
    folder = shared / "data/mainnet-genesis-backup/transaction_0-.1d67"
    genesis = json.loads((shared / "data/vectors/genesis/mainnet.json").read_text())
    proof = parse_transaction_proof((folder / "0-0.proof").read_bytes())
    leaf = bytes.fromhex(genesis["transaction_info_hash"])
    proof.range.verify(APTOS.transaction_accumulator, leaf, 0, root=proof.signed.info.executed_state_id)
