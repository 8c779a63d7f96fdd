from __future__ import annotations

import hashlib

import pytest

from restore.crypto.digest import sha3_256, sha3_256_many
from restore.ledger.hashes import ACCUMULATOR_PLACEHOLDER, APTOS, SPARSE_PLACEHOLDER, Domain
from tests.ledger.real import vectors

KNOWN = vectors("hash-prefixes.json")
TYPE_NAMES = {
    "state_key": "StateKey",
    "state_value": "StateValue",
    "sparse_leaf": "SparseMerkleLeafNode",
    "sparse_internal": "SparseMerkleInternal",
    "transaction_accumulator": "TransactionAccumulator",
    "event_accumulator": "EventAccumulator",
    "transaction": "Transaction",
    "transaction_info": "TransactionInfo",
    "write_set": "WriteSet",
    "event": "ContractEvent",
    "auxiliary_info": "PersistedAuxiliaryInfo",
    "ledger_info": "LedgerInfo",
    "waypoint": "Ledger2WaypointConverter",
}


@pytest.mark.parametrize(("attribute", "type_name"), TYPE_NAMES.items())
def test_the_seeds_are_those_of_the_networks(attribute: str, type_name: str) -> None:
    open_libra = next(seeds for text, seeds in KNOWN.items() if text.startswith("DIEM::"))
    assert getattr(APTOS, attribute).hex() == KNOWN["APTOS::"][type_name]
    assert getattr(Domain("DIEM::"), attribute).hex() == open_libra[type_name]


def test_every_type_of_a_backup_has_a_seed() -> None:
    assert set(TYPE_NAMES.values()) == set(KNOWN["used_for_backup_verification"])


def test_the_placeholders_are_text() -> None:
    assert SPARSE_PLACEHOLDER.hex() == KNOWN["placeholders"]["SPARSE_MERKLE_PLACEHOLDER_HASH"]
    assert ACCUMULATOR_PLACEHOLDER.hex() == KNOWN["placeholders"]["ACCUMULATOR_PLACEHOLDER_HASH"]


@pytest.mark.parametrize(
    ("seed", "data", "name"),
    [
        (APTOS.write_set, "0000", "hash_of_empty_write_set (WriteSet V0 with 0 entries, bytes 0000)"),
        (APTOS.auxiliary_info, "0100000000", "PersistedAuxiliaryInfo::V1{transaction_index:0}"),
        (APTOS.auxiliary_info, "0102010000", "PersistedAuxiliaryInfo::V1{transaction_index:258}"),
        (APTOS.transaction, "03" + "00" * 32, "Transaction::StateCheckpoint(0x00..00)"),
        (b"", "", "sha3_256(empty)"),
    ],
)
def test_fixed_hashes_are_known(seed: bytes, data: str, name: str) -> None:
    assert sha3_256(seed + bytes.fromhex(data)).hex() == KNOWN["fixed"][name]


def test_many_hashes_are_the_same_as_one_by_one() -> None:
    messages = [b"", b"a", bytes(500)]
    assert sha3_256_many(b"seed", messages) == [
        hashlib.sha3_256(b"seed" + each).digest() for each in messages
    ]
