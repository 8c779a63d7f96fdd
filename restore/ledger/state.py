"""State items: one key and one value, as snapshot records and write sets carry them.

Source: spec/ledger-hashing.md section 4. Keys and values stay the bytes of the record; only the key of a
table item (or a raw one) is hashed and stored in another form than BCS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from restore.crypto.digest import sha3_256_many
from restore.errors import FormatError
from restore.ledger.hashes import Domain
from restore.wire.bcs import read_uleb
from restore.wire.layouts import skipper

ADDRESS_BYTES = 32

ACCESS_PATH, TABLE_ITEM, RAW = 0, 1, 2
"""Variants of StateKey."""

RAW_STORAGE_TAG = b"\xff"
"""The storage encoding of a raw key has this tag, not its BCS index."""

_HEAD = 1 + ADDRESS_BYTES
"""Bytes of an access path or table item before the length of its path or key."""

_V0, _WITH_METADATA = 0, 1
"""Variants of StateValue."""

_skip_key = skipper("StateKey")
_skip_value = skipper("StateValue")
_skip_metadata = skipper("StateValueMetadata")


@dataclass(frozen=True, slots=True)
class Usage:
    """How much state there is: items, and bytes of their keys and data (section 4.5)."""

    items: int = 0
    bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.items + other.items, self.bytes + other.bytes)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.items - other.items, self.bytes - other.bytes)


class StateItem(NamedTuple):
    """One item of the state: BCS StateKey and BCS StateValue, verbatim."""

    key: bytes
    value: bytes


def split_state_record(record: bytes) -> StateItem:
    """Splits a snapshot record into its key and its value, both checked.

    Raises:
        FormatError: not exactly one key and one value, or metadata V1 with a bytes deposit of 0.
    """
    size = len(record)
    try:
        # Called for every item of the state, so the usual lengths are read in place: a path or key of less
        # than 128 bytes, data of less than 16 KiB. Everything else, and whatever is wrong, is left to the
        # skippers.
        if record[0] < RAW and record[_HEAD] < 0x80:
            middle = _HEAD + 1 + record[_HEAD]
            low, high = record[middle + 1], record[middle + 2]
            if low < 0x80:
                stop = middle + 2 + low
            elif 0 < high < 0x80:
                stop = middle + 3 + (low & 0x7F | high << 7)
            else:
                stop = 0
            if record[middle] == _V0:
                if stop == size:
                    return StateItem(record[:middle], record[middle:])
            elif record[middle] == _WITH_METADATA and stop and _skip_metadata(record, stop, size) == size:
                return StateItem(record[:middle], record[middle:])
    except IndexError:
        pass
    middle = _skip_key(record, 0, size)
    stop = _skip_value(record, middle, size)
    if stop != size:
        raise FormatError("bytes follow the state value", offset=stop, found=f"{size - stop} bytes")
    return StateItem(record[:middle], record[middle:])


def storage_key(key: bytes) -> bytes:
    """The storage encoding of a BCS StateKey: what is hashed, and what database rows carry (section 4.2)."""
    if key[0] == ACCESS_PATH:
        return key
    if key[0] == TABLE_ITEM:
        return key[:_HEAD] + key[read_uleb(key, _HEAD)[1] :]
    return RAW_STORAGE_TAG + key[read_uleb(key, 1)[1] :]


def key_size(key: bytes) -> int:
    """Bytes that a BCS StateKey counts for in the usage."""
    if key[0] == RAW:
        return read_uleb(key, 1)[0]
    return ADDRESS_BYTES + read_uleb(key, _HEAD)[0]


def value_size(value: bytes) -> int:
    """Bytes that a BCS StateValue counts for in the usage: its data, without metadata."""
    return read_uleb(value, 1)[0]


def item_usage(items: Iterable[StateItem]) -> Usage:
    """The usage of `items`."""
    sizes = [key_size(key) + value_size(value) for key, value in items]
    return Usage(len(sizes), sum(sizes))


def hash_keys(domain: Domain, keys: Sequence[bytes]) -> list[bytes]:
    """The key hashes of BCS StateKeys, in order: the places of their items in the state tree."""
    return sha3_256_many(
        domain.state_key, [key if key[0] == ACCESS_PATH else storage_key(key) for key in keys]
    )


def hash_values(domain: Domain, values: Sequence[bytes]) -> list[bytes]:
    """The value hashes of BCS StateValues, in order."""
    return sha3_256_many(domain.state_value, values)
