"""Replays recorded write sets over the state values: plain data movement, no execution.

What a change means is told by what is there, not by what the write set calls it, as in a node: a creation
of a key that exists replaces it, a modification of one that does not exist creates it, and a deletion of one
that does not exist leaves a tombstone and counts for nothing. Whatever a change replaces is found among the
rows of lower versions; rows at or above the first version of a batch are never looked at, so replaying a
batch again after a crash gives the same rows.

Source: spec/aptosdb-schema.md sections 2.3, 4.4 and 5.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from restore.errors import DamagedTargetError
from restore.ledger.hashes import Domain
from restore.ledger.state import Usage, hash_keys, key_size, value_size
from restore.ledger.write_set import parse_write_set
from restore.target.rows import DELETED_VALUE, LIVE_VALUE, Rows
from restore.target.schema import (
    STALE_VALUES,
    STATE_VALUES,
    VERSION_DATA,
    KeyValue,
    Table,
    shard_of,
    split_state_value_key,
    stale_value_key,
    state_value_key,
    u64,
    usage_value,
)


class Seekable(Protocol):
    """What replaying reads from: a RocksStore, or anything that can seek."""

    def seeker(self, table: Table) -> Callable[[bytes], KeyValue | None]:
        """A function that finds the first row at or above a key."""


@dataclass(frozen=True, slots=True)
class StoredValue:
    """What a state value row says: since which version, and the BCS StateValue (None: deleted)."""

    version: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a batch of write sets changes.

    Attributes:
        rows: to be written.
        usage: after the last version.
        key_bytes: by how much the keys' share of the usage grew.
    """

    rows: Rows
    usage: Usage
    key_bytes: int


def replay(
    store: Seekable, domain: Domain, *, first_version: int, write_sets: Sequence[bytes], usage: Usage
) -> Replayed:
    """The rows of consecutive write sets: values, tombstones, stale rows, `version_data` of every version.

    Args:
        store: holds all rows below `first_version`.
        domain: the network's hashes.
        first_version: version of the first write set.
        write_sets: BCS WriteSet each.
        usage: that of the version before.

    Raises:
        FormatError: a write set does not parse.
        DamagedTargetError: a stored value does not, or the usage would fall below zero.

    Bounds: the rows, and the values of all keys that the batch writes.
    """
    changes = [parse_write_set(raw) for raw in write_sets]
    hashes = iter(hash_keys(domain, [change.key for batch in changes for change in batch]))
    values = StateView(store, first_version - 1)
    rows: Rows = defaultdict(list)
    key_bytes = 0
    for version, batch in enumerate(changes, first_version):
        for change in batch:
            key_hash = next(hashes)
            size = key_size(change.key)
            shard = shard_of(key_hash)
            stale = rows[STALE_VALUES[shard]]
            old = values.replace(key_hash, StoredValue(version, change.value))
            if old is not None and old.value is not None:
                usage -= Usage(1, size + value_size(old.value))
                key_bytes -= size
                stale.append((stale_value_key(version, old.version, key_hash), b""))
            if change.value is None:
                row = DELETED_VALUE
                stale.append((stale_value_key(version, version, key_hash), b""))
            else:
                row = LIVE_VALUE + change.value
                usage += Usage(1, size + value_size(change.value))
                key_bytes += size
            rows[STATE_VALUES[shard]].append((state_value_key(key_hash, version), row))
        if usage.items < 0 or usage.bytes < 0:
            raise DamagedTargetError("more state was deleted than there is", version=version, found=usage)
        rows[VERSION_DATA].append((u64(version), usage_value(usage)))
    return Replayed(dict(rows), usage, key_bytes)


class StateView:
    """The state at one version, with changes on top.

    Bounds: one value per key replaced.
    """

    def __init__(self, store: Seekable, version: int) -> None:
        self._store = store
        self._version = version
        self._seekers: dict[int, Callable[[bytes], KeyValue | None]] = {}
        self._changed: dict[bytes, StoredValue] = {}

    def replace(self, key_hash: bytes, new: StoredValue) -> StoredValue | None:
        """Puts `new` in place of what the item with `key_hash` was; returns that, None if it never was."""
        old = self._changed.get(key_hash) or self._stored(key_hash)
        self._changed[key_hash] = new
        return old

    def _stored(self, key_hash: bytes) -> StoredValue | None:
        if self._version < 0:
            return None
        shard = shard_of(key_hash)
        if shard not in self._seekers:
            self._seekers[shard] = self._store.seeker(STATE_VALUES[shard])
        row = self._seekers[shard](state_value_key(key_hash, self._version))
        if row is None or not row[0].startswith(key_hash):
            return None
        return stored_value(STATE_VALUES[shard], row)


def stored_value(table: Table, row: KeyValue) -> StoredValue:
    """What a row of state values says.

    Raises:
        DamagedTargetError: it is neither a value nor a tombstone.
        FormatError: its key has a wrong length.
    """
    key, value = row
    _, version = split_state_value_key(key)
    if value == DELETED_VALUE:
        return StoredValue(version, None)
    if not value.startswith(LIVE_VALUE):
        raise DamagedTargetError(
            "state value row is neither a value nor a tombstone",
            file=f"{table} {key.hex()}",
            version=version,
            found=value[:1],
        )
    return StoredValue(version, value[len(LIVE_VALUE) :])
