"""Replayed write sets, against a plain dict that does the same by definition."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.errors import DamagedTargetError
from restore.ledger.hashes import APTOS
from restore.ledger.state import Usage, hash_keys
from restore.target.replay import Replayed, replay
from restore.target.rows import Rows
from restore.target.schema import (
    STALE_VALUES,
    STATE_VALUES,
    VERSION_DATA,
    KeyValue,
    Table,
    read_usage,
    shard_of,
    split_state_value_key,
    state_value_key,
    u64,
)
from tests.target.chain import key_of, usage_of, value_of, write_set_of

Changes: TypeAlias = dict[bytes, bytes | None]
State: TypeAlias = dict[bytes, bytes]


class Rowstore:
    """Rows in sorted lists: what replaying reads from."""

    def __init__(self) -> None:
        self.tables: dict[Table, dict[bytes, bytes]] = {}

    def write(self, rows: Rows) -> None:
        for table, pairs in rows.items():
            self.tables.setdefault(table, {}).update(pairs)

    def seeker(self, table: Table) -> Callable[[bytes], KeyValue | None]:
        rows = sorted(self.tables.get(table, {}).items())

        def seek(key: bytes) -> KeyValue | None:
            index = bisect_left(rows, (key, b""))
            return rows[index] if index < len(rows) else None

        return seek


def hash_of(key: bytes) -> bytes:
    return hash_keys(APTOS, [key])[0]


def put(store: Rowstore, version: int, state: State) -> None:
    """Stores a snapshot."""
    for key, value in state.items():
        key_hash = hash_of(key)
        row = (state_value_key(key_hash, version), b"\x01" + value)
        store.write({STATE_VALUES[shard_of(key_hash)]: [row]})


def apply(store: Rowstore, first: int, batches: list[Changes], usage: Usage) -> Replayed:
    write_sets = [write_set_of(batch) for batch in batches]
    return replay(store, APTOS, first_version=first, write_sets=write_sets, usage=usage)


def read_at(store: Rowstore, version: int) -> dict[bytes, bytes]:
    """The state by key hash as a node reads it: the newest row at or below `version`."""
    newest: dict[bytes, tuple[int, bytes]] = {}
    for table in STATE_VALUES:
        for key, value in store.tables.get(table, {}).items():
            key_hash, at = split_state_value_key(key)
            if at <= version and at >= newest.get(key_hash, (-1, b""))[0]:
                newest[key_hash] = (at, value)
    return {key_hash: value[1:] for key_hash, (_, value) in newest.items() if value != b"\x00"}


def stale_rows(store: Rowstore) -> set[bytes]:
    return {key for table in STALE_VALUES for key in store.tables.get(table, {})}


KEYS = st.integers(0, 7).map(key_of)
VALUES = st.binary(max_size=6).map(value_of) | st.binary(max_size=3).map(
    lambda data: value_of(data, metadata=True)
)
STATES = st.dictionaries(KEYS, VALUES, max_size=8)
BATCHES = st.lists(st.dictionaries(KEYS, st.none() | VALUES, max_size=4), min_size=1, max_size=8)


@given(STATES, BATCHES, st.integers(1, 8))
def test_replay_gives_the_state_usage_and_stale_rows_of_a_dict(
    before: State, batches: list[Changes], size: int
) -> None:
    store, state, first = Rowstore(), dict(before), 5
    put(store, first - 1, before)
    usage = usage_of(before)
    for start in range(0, len(batches), size):
        replayed = apply(store, first + start, batches[start : start + size], usage)
        assert apply(store, first + start, batches[start : start + size], usage) == replayed
        store.write(replayed.rows)
        # A crash after the write: all rows are there already, those of later versions too.
        assert apply(store, first + start, batches[start : start + size], usage) == replayed
        usage = replayed.usage
    since = dict.fromkeys(before, first - 1)
    stale: set[bytes] = set()
    for version, changes in enumerate(batches, first):
        for key, value in changes.items():
            if key in state:
                stale.add(u64(version) + u64(since[key]) + hash_of(key))
            if value is None:
                state.pop(key, None)
                stale.add(u64(version) + u64(version) + hash_of(key))
            else:
                state[key] = value
                since[key] = version
        counted = store.tables[VERSION_DATA][u64(version)]
        assert read_usage(counted) == usage_of(state)
        assert read_at(store, version) == {hash_of(key): value for key, value in state.items()}
    assert stale_rows(store) == stale


def test_an_overwrite_leaves_a_stale_row_of_the_old_version() -> None:
    store, key = Rowstore(), key_of(0)
    put(store, 4, {key: value_of(b"old")})
    replayed = apply(store, 9, [{key: value_of(b"longer")}], usage_of({key: value_of(b"old")}))
    shard, key_hash = shard_of(hash_of(key)), hash_of(key)
    assert replayed.rows[STATE_VALUES[shard]] == [
        (key_hash + bytes.fromhex("fffffffffffffff6"), b"\x01" + value_of(b"longer"))
    ]
    stale = bytes.fromhex("00000000000000090000000000000004") + key_hash
    assert replayed.rows[STALE_VALUES[shard]] == [(stale, b"")]
    assert replayed.usage == usage_of({key: value_of(b"longer")})
    assert replayed.key_bytes == 0


def test_a_deletion_leaves_a_tombstone_that_is_stale_at_once() -> None:
    store, key = Rowstore(), key_of(1)
    put(store, 4, {key: value_of(b"old")})
    replayed = apply(store, 9, [{key: None}], usage_of({key: value_of(b"old")}))
    shard, key_hash = shard_of(hash_of(key)), hash_of(key)
    assert replayed.rows[STATE_VALUES[shard]] == [(key_hash + bytes.fromhex("fffffffffffffff6"), b"\x00")]
    assert sorted(replayed.rows[STALE_VALUES[shard]]) == [
        (u64(9) + u64(4) + key_hash, b""),
        (u64(9) + u64(9) + key_hash, b""),
    ]
    assert replayed.usage == Usage(0, 0)


def test_a_deletion_of_what_is_not_there_counts_for_nothing() -> None:
    replayed = apply(Rowstore(), 9, [{key_of(1): None}], Usage(0, 0))
    key_hash = hash_of(key_of(1))
    assert replayed.rows[STALE_VALUES[shard_of(key_hash)]] == [(u64(9) + u64(9) + key_hash, b"")]
    assert (replayed.usage, replayed.key_bytes) == (Usage(0, 0), 0)


def test_an_item_created_over_a_tombstone_replaces_nothing() -> None:
    store, key = Rowstore(), key_of(2)
    put(store, 4, {key: value_of(b"old")})
    replayed = apply(store, 9, [{key: None}, {key: value_of(b"new")}], usage_of({key: value_of(b"old")}))
    stale = [row for row, _ in replayed.rows[STALE_VALUES[shard_of(hash_of(key))]]]
    assert sorted(row[:16] for row in stale) == [u64(9) + u64(4), u64(9) + u64(9)]
    assert replayed.usage == usage_of({key: value_of(b"new")})


def test_every_version_gets_its_usage() -> None:
    replayed = apply(Rowstore(), 9, [{}, {key_of(0): value_of(b"abc")}, {}], Usage(0, 0))
    after = usage_of({key_of(0): value_of(b"abc")})
    assert [(key, read_usage(row)) for key, row in replayed.rows[VERSION_DATA]] == [
        (u64(9), Usage(0, 0)),
        (u64(10), after),
        (u64(11), after),
    ]


def test_genesis_is_replayed_over_nothing() -> None:
    assert apply(Rowstore(), 0, [{key_of(0): value_of(b"")}], Usage(0, 0)).usage.items == 1


def test_more_deletions_than_items_are_damage() -> None:
    store = Rowstore()
    put(store, 4, {key_of(0): value_of(b"old")})
    with pytest.raises(DamagedTargetError, match="more state was deleted than there is") as caught:
        apply(store, 9, [{key_of(0): None}], Usage(0, 0))
    assert caught.value.version == 9


@pytest.mark.parametrize("row", [b"", b"\x02", b"\x00\x00"])
def test_a_stored_row_that_is_no_option_is_damage(row: bytes) -> None:
    store, key_hash = Rowstore(), hash_of(key_of(0))
    table = STATE_VALUES[shard_of(key_hash)]
    store.write({table: [(state_value_key(key_hash, 4), row)]})
    with pytest.raises(DamagedTargetError, match="neither a value nor a tombstone") as caught:
        apply(store, 9, [{key_of(0): value_of(b"")}], Usage(1, 40))
    assert caught.value.file == f"{table} {state_value_key(key_hash, 4).hex()}"
