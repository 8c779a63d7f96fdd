"""Every kind of row, against bytes worked out by hand from spec/aptosdb-schema.md section 2."""

from __future__ import annotations

import hashlib

from restore.crypto.digest import sha3_256
from restore.ledger.hashes import APTOS
from restore.ledger.transaction import TransactionRecord, parse_transaction_record
from restore.proof.accumulator import Accumulator, FrozenNode
from restore.proof.builder import NodeRow
from restore.sample.encode import sequence, u32
from restore.sample.encode import u64 as le64
from restore.sample.infos import transaction_info
from restore.sample.validators import BlockEnd, Validators
from restore.target import rows, schema
from restore.wire.bcs import encode_bytes
from tests.target.chain import NEW_BLOCK, SENDER, block_event, user_transaction_of

VERSION = 0x0102030405
KEY = bytes.fromhex("0000000102030405")

CHECKPOINT = b"\x03" + b"\xcc" * 32
HANDLE = le64(9) + SENDER


def record_of(
    transaction: bytes, *events: bytes, auxiliary: bytes = b"\x00", write_set: bytes = b"\x00\x00"
) -> TransactionRecord:
    info = transaction_info(
        APTOS,
        hashed_transaction=transaction,
        events=list(events),
        write_set=write_set,
        auxiliary=auxiliary,
        status=b"\x00",
        gas=5,
        state_root=None,
        hot_state_root=None,
    )
    return parse_transaction_record(transaction + auxiliary + info + sequence(events) + write_set, "V1")


def event_v1(number: int) -> bytes:
    return b"\x00" + HANDLE + le64(number) + b"\x02" + encode_bytes(b"data")


def event_v2(byte: int) -> bytes:
    return b"\x01\x02" + encode_bytes(bytes((byte,)))


def seed(name: str) -> bytes:
    return hashlib.sha3_256(f"APTOS::{name}".encode()).digest()


def sha3(*parts: bytes) -> bytes:
    return hashlib.sha3_256(b"".join(parts)).digest()


def test_a_transaction_is_stored_in_parts_as_they_are_in_the_record() -> None:
    record = record_of(CHECKPOINT, auxiliary=b"\x01" + u32(6))
    assert rows.transaction_rows(APTOS, VERSION, [record]) == {
        schema.WRITE_SET: [(KEY, b"\x00\x00")],
        schema.TRANSACTION_INFO: [(KEY, record.info.raw)],
        schema.TRANSACTION: [(KEY, CHECKPOINT)],
        schema.TRANSACTION_BY_HASH: [(sha3(seed("Transaction"), CHECKPOINT), KEY)],
        schema.AUXILIARY_INFO: [(KEY, bytes.fromhex("0106000000"))],
    }


def test_a_record_without_auxiliary_info_stores_none() -> None:
    transaction = CHECKPOINT
    info = record_of(transaction).info.raw
    record = parse_transaction_record(transaction + info + b"\x00" + b"\x00\x00", "V0")
    assert rows.transaction_rows(APTOS, VERSION, [record])[schema.AUXILIARY_INFO] == [(KEY, b"\x00")]


def test_a_user_transaction_is_indexed_by_its_sequence_number() -> None:
    record = record_of(user_transaction_of(sequence_number=0x0B0A))
    found = rows.transaction_rows(APTOS, VERSION, [record])
    assert found[schema.TRANSACTION_BY_ACCOUNT] == [(SENDER + bytes.fromhex("0000000000000b0a"), KEY)]
    summary = (
        b"\x00"
        + SENDER
        + bytes.fromhex("0504030201000000")
        + record.info.transaction_hash
        + bytes.fromhex("010a0b000000000000")
    )
    assert found[schema.TRANSACTION_SUMMARIES] == [(SENDER + KEY, summary)]


def test_an_orderless_transaction_has_a_summary_with_its_nonce_and_no_sequence_number() -> None:
    record = record_of(user_transaction_of(sequence_number=2**64 - 1, nonce=0x0B0A))
    found = rows.transaction_rows(APTOS, VERSION, [record])
    assert schema.TRANSACTION_BY_ACCOUNT not in found
    ((_, summary),) = found[schema.TRANSACTION_SUMMARIES]
    assert summary[-9:].hex() == "000a0b000000000000"
    assert len(summary) == 1 + 32 + 8 + 32 + 9


def test_events_are_stored_by_version_and_index() -> None:
    events = [event_v2(1), event_v1(4)]
    found = rows.transaction_rows(APTOS, VERSION, [record_of(CHECKPOINT, *events)])
    assert found[schema.EVENT] == [(KEY + bytes(8), events[0]), (KEY + bytes(7) + b"\x01", events[1])]


def test_events_with_a_handle_are_indexed_by_it() -> None:
    found = rows.transaction_rows(APTOS, VERSION, [record_of(CHECKPOINT, event_v2(1), event_v1(0x0C0D))])
    number, index = bytes.fromhex("0000000000000c0d"), bytes(7) + b"\x01"
    assert found[schema.EVENT_BY_KEY] == [(HANDLE + number, KEY + index)]
    assert found[schema.EVENT_BY_VERSION] == [(HANDLE + KEY + number, index)]
    assert HANDLE.hex() == "0900000000000000" + SENDER.hex()


def test_the_event_accumulator_keeps_complete_nodes_at_in_order_positions() -> None:
    events = [event_v2(byte) for byte in range(3)]
    found = rows.transaction_rows(APTOS, VERSION, [record_of(CHECKPOINT, *events)])
    leaves = [sha3(seed("ContractEvent"), event) for event in events]
    parent = sha3(seed("EventAccumulator"), leaves[0], leaves[1])
    # Leaves 0, 1, 2 stand at 0, 2, 4, the parent of the first two between them; the root is not complete.
    assert sorted(found[schema.EVENT_ACCUMULATOR]) == [
        (KEY + bytes(7) + bytes((position,)), node)
        for position, node in ((0, leaves[0]), (1, parent), (2, leaves[1]), (4, leaves[2]))
    ]


def test_a_new_block_event_gives_the_rows_of_its_block() -> None:
    found = rows.transaction_rows(APTOS, VERSION, [record_of(CHECKPOINT, block_event(0x21, epoch=3))])
    value = (
        "00"
        + "b1" * 31
        + "21"
        + "0300000000000000"  # epoch
        + "8500000000000000"  # round 133
        + "ee" * 32
        + "0504030201000000"  # first version
        + (1_700_000_000_000_000 + 0x21).to_bytes(8, "little").hex()
    )
    assert [(key.hex(), raw.hex()) for key, raw in found[schema.BLOCK_INFO]] == [("0000000000000021", value)]
    assert found[schema.BLOCK_BY_VERSION] == [(KEY, bytes(7) + b"\x21")]
    assert NEW_BLOCK.hex() == "0300000000000000" + "00" * 31 + "01"


def test_rows_of_several_transactions_count_versions_up() -> None:
    records = [record_of(CHECKPOINT, event_v2(1)), record_of(CHECKPOINT, event_v2(2), event_v2(3))]
    found = rows.transaction_rows(APTOS, 7, records)
    assert [key for key, _ in found[schema.WRITE_SET]] == [bytes(7) + b"\x07", bytes(7) + b"\x08"]
    assert [key[-1] for key, _ in found[schema.EVENT]] == [0, 0, 1]
    assert [key[7] for key, _ in found[schema.EVENT_ACCUMULATOR]] == [7, 8, 8, 8]


def test_a_ledger_info_is_stored_by_epoch_and_found_by_version() -> None:
    validators = Validators(1, 4, APTOS)
    ending = validators.sign(BlockEnd(2, 1, b"\x01" * 32, VERSION, 9), b"\x02" * 32, ends_epoch=True)
    later = validators.sign(BlockEnd(3, 1, b"\x01" * 32, VERSION + 9, 9), b"\x02" * 32, ends_epoch=False)
    assert rows.ledger_info_rows([ending, later]) == {
        schema.LEDGER_INFO: [(bytes(7) + b"\x02", ending.raw), (bytes(7) + b"\x03", later.raw)],
        schema.EPOCH_BY_VERSION: [(KEY, bytes(7) + b"\x02")],
    }


def test_snapshot_values_stand_at_the_snapshots_version_as_options() -> None:
    assert rows.snapshot_value_rows(VERSION, [(b"\xab" * 32, b"\x00\x01z")]) == [
        (b"\xab" * 32 + bytes.fromhex("fffffffefdfcfbfa"), b"\x01\x00\x01z")
    ]


def test_tree_nodes_are_grouped_by_depth_in_key_order() -> None:
    nodes = [NodeRow("a1b", b"4"), NodeRow("b", b"2"), NodeRow("a2", b"3"), NodeRow("a", b"1")]
    head = "0000000102030405"
    assert [[(key.hex(), node) for key, node in group] for group in rows.node_rows(VERSION, nodes)] == [
        [(head + "01a0", b"1"), (head + "01b0", b"2")],
        [(head + "02a2", b"3")],
        [(head + "03a1b0", b"4")],
    ]


def test_accumulator_nodes_stand_at_post_order_positions() -> None:
    leaves = [sha3_256(bytes((leaf,))) for leaf in range(5)]
    nodes = Accumulator(APTOS.transaction_accumulator).append(leaves)
    found = rows.accumulator_rows(nodes)
    assert [int.from_bytes(key) for key, _ in found] == list(range(8))  # F(5) = 8
    parent = sha3(seed("TransactionAccumulator"), leaves[0], leaves[1])
    assert found[2] == (bytes(7) + b"\x02", parent)
    # The frozen subtrees of 11 leaves, as the specification works them out.
    roots = [FrozenNode(3, 0, leaves[0]), FrozenNode(1, 4, leaves[1]), FrozenNode(0, 10, leaves[2])]
    assert [int.from_bytes(key) for key, _ in rows.accumulator_rows(roots)] == [14, 17, 18]
