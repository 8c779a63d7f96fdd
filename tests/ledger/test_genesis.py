"""Genesis of real networks, from the published blob to the published waypoint."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest

from restore.crypto.digest import sha3_256, sha3_256_many
from restore.errors import TrustError
from restore.ledger.hashes import APTOS
from restore.ledger.ledger_info import EpochState, SignedLedgerInfo
from restore.ledger.signatures import verify_signatures
from restore.ledger.state import StateItem, hash_keys, hash_values, split_state_record, storage_key
from restore.ledger.transaction import hashed_transaction, parse_transaction_record, user_transaction
from restore.ledger.transaction_info import TransactionInfo
from restore.ledger.waypoint import Waypoint
from restore.ledger.write_set import parse_write_set
from restore.wire.bcs import Reader, encode_bytes
from restore.wire.layouts import skipper
from restore.wire.records import cut_records, frame
from tests.ledger.real import shared_vectors

NETWORKS = ["mainnet", "testnet", "devnet", "previewnet2", "ait3", "randomnet", "premainnet"]
WITH_BLOB = ["mainnet", "testnet", "ait3", "devnet"]


def known_answers(shared: Path, network: str) -> Any:
    return shared_vectors(shared, f"genesis/{network}.json")


def blob_of(shared: Path, network: str) -> bytes:
    path = shared / "data" / "vectors" / "genesis-blobs" / f"{network}.genesis.blob.gz"
    return gzip.decompress(path.read_bytes())


@pytest.mark.parametrize("network", WITH_BLOB)
def test_a_genesis_blob_leads_to_the_published_hashes(network: str, shared: Path) -> None:
    known, blob = known_answers(shared, network), blob_of(shared, network)
    assert hashlib.sha256(blob).hexdigest() == known["source"]["sha256"]
    assert sha3_256(APTOS.transaction + hashed_transaction(blob)).hex() == known["transaction_hash"]
    assert user_transaction(blob) is None

    reader = Reader(blob, 2)  # GenesisTransaction, Direct
    write_set = reader.verbatim(skipper("WriteSet"))
    events = [reader.verbatim(skipper("ContractEvent")) for _ in range(reader.count())]
    reader.finish()
    assert sha3_256(APTOS.write_set + write_set).hex() == known["write_set_hash"]
    assert len(events) == known["events"]["total"]
    hashes = sha3_256_many(APTOS.event, events)
    assert [each.hex() for each in hashes[:3]] == [event["hash"] for event in known["events"]["first"]]
    assert hashes[-1].hex() == known["events"]["last"]["hash"]


@pytest.mark.parametrize("network", WITH_BLOB)
def test_the_write_set_of_genesis_is_the_first_state(network: str, shared: Path) -> None:
    known, blob = known_answers(shared, network), blob_of(shared, network)
    changes = parse_write_set(Reader(blob, 2).verbatim(skipper("WriteSet")))
    items = [StateItem(key, value) for key, value in changes if value is not None]
    assert len(items) == len(changes) == known["num_state_items"]

    keys, values = (
        hash_keys(APTOS, [key for key, _ in items]),
        hash_values(APTOS, [value for _, value in items]),
    )
    leaves = sorted(zip(keys, values, items, strict=True))
    for (key_hash, value_hash, item), row in zip(
        leaves[:20], known["first_20_items_by_key_hash"], strict=True
    ):
        assert item.key.hex() == row["state_key_bcs"]
        assert key_hash.hex() == row["key_hash"]
        assert value_hash.hex() == row["value_hash"]
        assert len(item.value) == row["state_value_bcs_len"]


@pytest.mark.parametrize("network", NETWORKS)
def test_state_items_of_genesis_have_their_hashes(network: str, shared: Path) -> None:
    known = known_answers(shared, network)
    for row in known["first_20_items_by_key_hash"] + known["one_item_of_each_kind"]:
        key = bytes.fromhex(row["state_key_bcs"])
        assert storage_key(key).hex() == row["state_key_encoded"]
        assert hash_keys(APTOS, [key])[0].hex() == row["key_hash"]
        if "state_value_bcs" in row:
            value = bytes.fromhex(row["state_value_bcs"])
            assert split_state_record(key + value) == (key, value)
            assert hash_values(APTOS, [value])[0].hex() == row["value_hash"]
        leaf = sha3_256(APTOS.sparse_leaf + bytes.fromhex(row["key_hash"] + row["value_hash"]))
        assert leaf.hex() == row["leaf_hash"]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_info_of_genesis_commits_to_its_parts(network: str, shared: Path) -> None:
    known = known_answers(shared, network)
    info = TransactionInfo.parse(bytes.fromhex(known["transaction_info_bcs"]))
    assert sha3_256(APTOS.transaction_info + info.raw).hex() == known["transaction_info_hash"]
    assert info.gas_used == 0
    assert info.transaction_hash.hex() == known["transaction_hash"]
    assert info.event_root_hash.hex() == known["event_root"]
    assert info.state_change_hash.hex() == known["write_set_hash"]
    assert info.state_checkpoint_hash is not None
    assert info.state_checkpoint_hash.hex() == known["state_root"]
    assert info.auxiliary_info_hash is None


@pytest.mark.parametrize("network", NETWORKS)
def test_the_ledger_info_of_genesis_has_the_published_waypoint(network: str, shared: Path) -> None:
    known = known_answers(shared, network)
    genesis = SignedLedgerInfo.parse(bytes.fromhex(known["ledger_info_with_signatures_bcs"]))
    info = genesis.info
    assert info.raw.hex() == known["ledger_info_bcs"]
    assert sha3_256(APTOS.ledger_info + info.raw).hex() == known["ledger_info_crypto_hash"]
    assert str(Waypoint.of(info, APTOS)) == known["published_waypoint"]
    assert info.executed_state_id.hex() == known["transaction_accumulator_root"]
    assert (info.epoch, info.round, info.version, info.timestamp_usecs) == (0, 0, 0, 0)
    assert (genesis.bitmask, genesis.signature) == (b"", None)

    assert info.next_epoch_state == EpochState.parse(bytes.fromhex(known["next_epoch_state_bcs"]))
    assert info.next_epoch_state.quorum_power == known["quorum_voting_power"]
    with pytest.raises(TrustError):
        verify_signatures(genesis, info.next_epoch_state, APTOS)


def test_the_genesis_record_of_a_backup_holds_the_blob(shared: Path) -> None:
    chunk = shared / "data" / "mainnet-genesis-backup" / "transaction_0-.1d67" / "0-.chunk"
    (record,) = cut_records(chunk.read_bytes())
    parsed = parse_transaction_record(record, "V0")
    assert parsed.transaction == blob_of(shared, "mainnet")
    assert parsed.info.raw.hex() == known_answers(shared, "mainnet")["transaction_info_bcs"]
    assert parsed.transaction[2:].startswith(parsed.write_set)
    assert len(parsed.events) == 1499


def test_files_of_the_testnet_genesis_backup_have_their_known_digests(shared: Path) -> None:
    known, blob = known_answers(shared, "testnet"), blob_of(shared, "testnet")
    info = bytes.fromhex(known["transaction_info_bcs"])
    reader = Reader(blob, 2)
    write_set = reader.verbatim(skipper("WriteSet"))
    events = reader.fixed(reader.end - reader.offset)
    signed = bytes.fromhex(known["ledger_info_with_signatures_bcs"])
    for data, digest in (
        (
            blob + info + events + write_set,
            "f84a30d5edc282ecd63d2de8467f906fa5bfb6a025384bd5801fbe659b5bb06b",
        ),
        (
            blob + b"\x00" + info + events + write_set,
            "354e98c107496edb45eb5248d525b01acfc7bd6b73e3b781677243ad3f32fd54",
        ),
        (signed, "e50a550332a87c5f0fe84fff076b005acd199449331473ce3489893b08174857"),
    ):
        assert hashlib.sha256(frame(data)).hexdigest() == digest


def test_the_code_of_a_module_has_its_known_key_hash() -> None:
    address = (2).to_bytes(32, "big")
    path = b"\x00" + address + encode_bytes(b"mymodule")
    key_hash = hash_keys(APTOS, [b"\x00" + address + encode_bytes(path)])[0]
    assert key_hash.hex() == "83d33b345c5e4b25d8f4dfe2b98b492024313b3b6e4febea6bfa844dbd850200"
