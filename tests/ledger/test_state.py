from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import FormatError
from restore.ledger.hashes import APTOS
from restore.ledger.state import (
    StateItem,
    Usage,
    hash_keys,
    hash_values,
    item_usage,
    key_size,
    split_state_record,
    storage_key,
    value_size,
)
from restore.wire.bcs import encode_bytes
from restore.wire.layouts import skipper
from restore.wire.records import cut_records
from tests.ledger.real import vectors
from tests.wire.values import encoded

ADDRESS = bytes(range(32))
PATH = b"\x00" + ADDRESS + encode_bytes(b"path")
TABLE = b"\x01" + ADDRESS + encode_bytes(b"key")
RAW = b"\x02" + encode_bytes(b"raw")
PLAIN = b"\x00" + encode_bytes(b"value")
METADATA_V0 = b"\x00" + bytes(16)
METADATA_V1 = b"\x01" + bytes(8) + b"\x01" + bytes(15)


def table_item(handle: str, key: str) -> bytes:
    return b"\x01" + bytes.fromhex(handle) + encode_bytes(bytes.fromhex(key))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 70_000])
@pytest.mark.parametrize("metadata", [None, METADATA_V0, METADATA_V1])
@pytest.mark.parametrize("key", [PATH, TABLE, RAW, b"\x01" + ADDRESS + encode_bytes(bytes(200))])
def test_a_record_is_split_into_key_and_value(key: bytes, metadata: bytes | None, size: int) -> None:
    data = encode_bytes(b"x" * size)
    value = b"\x00" + data if metadata is None else b"\x01" + data + metadata
    assert split_state_record(key + value) == StateItem(key, value)
    assert value_size(value) == size


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (b"", "runs past the end"),
        (PATH, "runs past the end"),
        (PATH[:-1], "runs past the end"),
        (PATH[:20], "runs past the end"),
        (PATH + PLAIN[:-1], "runs past the end"),
        (PATH + PLAIN + b"\x00", "bytes follow"),
        (RAW + PLAIN + b"\x00", "bytes follow"),
        (PATH + b"\x01" + PLAIN[1:], "runs past the end"),
        (PATH + b"\x01" + PLAIN[1:] + METADATA_V0[:-1], "runs past the end"),
        (PATH + b"\x01" + PLAIN[1:] + METADATA_V0 + b"\x00", "bytes follow"),
        (PATH + b"\x01" + PLAIN[1:] + b"\x02" + bytes(16), "unknown variant"),
        (PATH + b"\x01" + PLAIN[1:] + b"\x01" + bytes(24), "bytes deposit of 0"),
        (PATH + b"\x02" + PLAIN[1:], "unknown variant"),
        (b"\x03" + PATH[1:] + PLAIN, "unknown variant"),
        (b"\x00" + ADDRESS + b"\x84\x00path" + PLAIN, "shortest form"),
        (PATH + b"\x00\x85\x00value", "shortest form"),
        (PATH + b"\x00\x85\x80\x00value", "shortest form"),
    ],
)
def test_a_malformed_record_is_refused(record: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        split_state_record(record)


@given(encoded("StateRecord"))
@settings(deadline=None)
def test_every_well_formed_record_is_split_where_its_key_ends(record: bytes) -> None:
    middle = skipper("StateKey")(record, 0, len(record))
    assert split_state_record(record) == (record[:middle], record[middle:])


@given(encoded("StateRecord"), st.integers(0, 400), st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF]))
@settings(max_examples=400, deadline=None)
def test_the_fast_way_refuses_what_the_layout_refuses(record: bytes, place: int, byte: int) -> None:
    place %= len(record)
    damaged = record[:place] + bytes([byte]) + record[place + 1 :]
    try:
        well_formed = skipper("StateRecord")(damaged, 0, len(damaged)) == len(damaged)
    except FormatError:
        well_formed = False
    if well_formed:
        assert b"".join(split_state_record(damaged)) == damaged
    else:
        with pytest.raises(FormatError):
            split_state_record(damaged)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_format_errors(data: bytes) -> None:
    try:
        item = split_state_record(data)
    except FormatError:
        return
    assert b"".join(item) == data


@pytest.mark.parametrize(
    "known", vectors("transactions.json")["state_keys"], ids=lambda known: str(known["name"])
)
def test_real_keys_have_their_published_hash(known: dict[str, str]) -> None:
    stored = bytes.fromhex(known["encoded"])
    key = stored if stored[0] == 0 else stored[:33] + encode_bytes(stored[33:])
    assert storage_key(key) == stored
    assert hash_keys(APTOS, [key])[0].hex() == known["key_hash"]


@pytest.mark.parametrize(
    ("key", "stored", "key_hash"),
    [
        (
            b"\x02\x03\x01\x02\x03",
            "ff010203",
            "655ab5766bc87318e18d9287f32d318e15535d3db9d21a6e5a2b41a51b535aff",
        ),
        (
            table_item("1002".zfill(64), "070203"),
            "01" + "1002".zfill(64) + "070203",
            "6f5550015f7a6036f88b2458f98a7e4800aba09e83f8f294dbf70bff77f224e6",
        ),
    ],
)
def test_table_items_and_raw_keys_are_hashed_without_a_length(key: bytes, stored: str, key_hash: str) -> None:
    assert storage_key(key).hex() == stored
    assert hash_keys(APTOS, [key])[0].hex() == key_hash


def test_a_long_table_key_loses_its_two_length_bytes() -> None:
    assert storage_key(b"\x01" + ADDRESS + encode_bytes(bytes(200))) == b"\x01" + ADDRESS + bytes(200)


def test_a_real_value_with_metadata_has_its_known_hash() -> None:
    known = vectors("state-value-with-metadata.json")
    key, value = bytes.fromhex(known["state_key"]["bcs"]), bytes.fromhex(known["state_value"]["bcs"])
    assert split_state_record(key + value) == (key, value)
    assert storage_key(key).hex() == known["state_key"]["encoded"]
    assert hash_keys(APTOS, [key])[0].hex() == known["state_key"]["key_hash"]
    assert hash_values(APTOS, [value])[0].hex() == known["state_value"]["value_hash"]
    for derived in known["derived_not_real"].values():
        assert hash_values(APTOS, [bytes.fromhex(derived["bcs"])])[0].hex() == derived["value_hash"]


def test_usage_counts_the_key_and_the_data() -> None:
    items = [
        StateItem(PATH, PLAIN),
        StateItem(TABLE, b"\x01" + PLAIN[1:] + METADATA_V0),
        StateItem(RAW, b"\x00\x00"),
        StateItem(b"\x01" + ADDRESS + encode_bytes(bytes(200)), b"\x00" + encode_bytes(bytes(300))),
    ]
    assert [key_size(item.key) for item in items] == [36, 35, 3, 232]
    assert [value_size(item.value) for item in items] == [5, 5, 0, 300]
    assert item_usage(items) == Usage(items=4, bytes=616)
    assert item_usage([]) == Usage()


def test_usage_adds_and_subtracts() -> None:
    assert Usage(3, 50) + Usage(1, 8) - Usage(2, 20) == Usage(2, 38)


def test_the_items_of_a_real_snapshot_are_in_the_order_of_their_key_hash(shared: Path) -> None:
    folder = shared / "data" / "mainnet-genesis-backup" / "state_epoch_0_ver_0.128f"
    chunks = sorted(folder.glob("*.chunk"), key=lambda path: int(path.name.split("-")[0]))
    records = [record for chunk in chunks for record in cut_records(chunk.read_bytes())]
    items = [split_state_record(record) for record in records]
    hashes = hash_keys(APTOS, [item.key for item in items])
    assert len(items) == 1394
    assert hashes == sorted(set(hashes))
    assert item_usage(items).items == 1394
