"""The layout, against the vectors and rules of spec/aptosdb-schema.md."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.errors import FormatError
from restore.ledger.state import Usage
from restore.target import schema

HASH = bytes(range(32))


def test_there_are_42_instances_with_the_families_of_generation_u() -> None:
    assert len(schema.INSTANCES) == 42
    assert schema.INSTANCES["ledger_db/transaction_db"] == (
        "db_metadata",
        "transaction",
        "transaction_by_account",
        "transaction_by_hash",
        "transaction_summaries_by_account",
    )
    assert schema.INSTANCES["state_kv_db/shard_15"] == schema.INSTANCES["state_kv_db/metadata"]
    assert schema.INSTANCES["state_merkle_db/shard_0"] == (
        "db_metadata",
        "jellyfish_merkle_node",
        "stale_node_index",
        "stale_node_index_cross_epoch",
    )
    families = sum(len(families) for families in schema.INSTANCES.values())
    assert families + len(schema.INSTANCES) == 205  # each has a `default`, too: as counted in 6.4 of the spec


def test_every_instance_has_progress_rows_and_every_used_table_exists() -> None:
    assert all("db_metadata" in families for families in schema.INSTANCES.values())
    assert all(table.family in schema.INSTANCES[table.instance] for table in schema.USED_TABLES)


def test_a_table_prints_as_its_place() -> None:
    assert str(schema.STATE_VALUES[3]) == "state_kv_db/shard_3/state_value_by_key_hash"


def test_newer_values_of_an_item_sort_first() -> None:
    assert schema.state_value_key(HASH, 5) == HASH + bytes.fromhex("fffffffffffffffa")
    assert schema.state_value_key(HASH, 0x0102030405) == HASH + bytes.fromhex("fffffffefdfcfbfa")
    assert schema.state_value_key(HASH, 6) < schema.state_value_key(HASH, 5)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1))
def test_the_key_of_a_state_value_splits_into_what_it_was_made_of(key_hash: bytes, version: int) -> None:
    assert schema.split_state_value_key(schema.state_value_key(key_hash, version)) == (key_hash, version)


def test_a_stale_row_names_both_versions_and_then_the_item() -> None:
    assert schema.stale_value_key(9, 5, HASH) == bytes(7) + b"\x09" + bytes(7) + b"\x05" + HASH


def test_the_shard_is_the_first_nibble() -> None:
    assert [schema.shard_of(bytes((byte,)) + bytes(31)) for byte in (0x00, 0x0F, 0x10, 0xFF)] == [0, 0, 1, 15]


def test_usage_is_two_little_endian_numbers() -> None:
    assert schema.usage_value(Usage(7, 999)).hex() == "0700000000000000e703000000000000"
    assert schema.read_usage(schema.usage_value(Usage(7, 999))) == Usage(7, 999)


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_usage_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(FormatError):
        schema.read_usage(bytes(size))


@pytest.mark.parametrize("size", [31, 39, 41])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(FormatError, match="wrong length"):
        schema.split_state_value_key(bytes(size))
