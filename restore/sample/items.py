"""The keys and values of the sample's state: all kinds, from no data at all to more than 64 KiB.

An item follows from its index alone, so that millions of them need no list. Source: spec/ledger-hashing.md
section 4.
"""

from __future__ import annotations

import hashlib

from restore.ledger.state import StateItem
from restore.sample.encode import (
    ADDRESS_TAG,
    U8_TAG,
    code_key,
    group_key,
    raw_key,
    resource_key,
    struct,
    struct_tag,
    table_key,
    u64,
    vector_tag,
)
from restore.sample.seed import Source
from restore.wire.bcs import encode_bytes

LARGE_DATA_PERIOD = 2000
"""One item in so many has more than 64 KiB of data."""

LARGE_DATA_BYTES = 1 << 16

POOL_BYTES = 1 << 18
"""Data is cut out of this many random bytes: offset and length are below 2^16 and 1.5 * 2^16."""

FIRST_NEW_INDEX = 1 << 48
"""Indices from here on are of items that do not exist at version 0."""

_ACCOUNT = struct("account", "Account")
_COIN_STORE = struct("coin", "CoinStore", struct_tag("aptos_coin", "AptosCoin"))
_OBJECT_GROUP = struct("object", "ObjectGroup")
_PAIR = struct(
    "pool", "Pair", struct_tag("table", "Table", ADDRESS_TAG, vector_tag(U8_TAG)), vector_tag(ADDRESS_TAG)
)


class ItemMaker:
    """Makes the items of one seed."""

    def __init__(self, seed: int) -> None:
        self._key = hashlib.sha3_256(f"aptos-restore sample items {seed}".encode()).digest()
        self._pool = Source(seed, "data pool").take(POOL_BYTES)

    def item(self, index: int) -> StateItem:
        """The item of `index` as it is when it first appears."""
        key, data, metadata = self.parts(index)
        return StateItem(key, encode_value(data, metadata))

    def parts(self, index: int) -> tuple[bytes, bytes, bytes | None]:
        """BCS StateKey, data, and BCS StateValueMetadata if there is any, of the same item."""
        draw = hashlib.blake2b(u64(index), key=self._key, digest_size=64).digest()
        is_large = index % LARGE_DATA_PERIOD == LARGE_DATA_PERIOD // 2
        return _state_key(draw), self._data(draw, size=_data_size(draw, large=is_large)), _metadata(draw)

    def new_data(self, source: Source) -> bytes:
        """Other data for some item."""
        draw = source.take(64)
        return self._data(draw, size=_data_size(draw, large=source.one_in(LARGE_DATA_PERIOD)))

    def new_metadata(self, source: Source) -> bytes:
        """BCS StateValueMetadata, V0 or V1."""
        return _encoded_metadata(source.take(64), has_bytes_deposit=source.one_in(2))

    def _data(self, draw: bytes, *, size: int) -> bytes:
        """Bytes that differ from those of other draws as soon as there are eight of them."""
        offset = draw[48] | draw[49] << 8
        return draw[50:58][:size] + self._pool[offset : offset + max(0, size - 8)]


def encode_value(data: bytes, metadata: bytes | None) -> bytes:
    """BCS StateValue."""
    if metadata is None:
        return b"\x00" + encode_bytes(data)
    return b"\x01" + encode_bytes(data) + metadata


def _state_key(draw: bytes) -> bytes:
    owner, kind = draw[:32], draw[32]
    if kind < 90:
        return group_key(owner, _OBJECT_GROUP)
    if kind < 120:
        return table_key(owner, draw[56:64])
    if kind < 140:
        return table_key(owner, draw[36:64] + draw[32:36])
    if kind < 150:  # longer than one byte of length can tell
        return table_key(owner, b"\x80\x01" + draw * 2)
    if kind < 200:
        return resource_key(owner, _ACCOUNT)
    if kind < 236:
        return resource_key(owner, _COIN_STORE)
    if kind < 246:
        return code_key(owner, f"module_{draw[56:60].hex()}")
    if kind < 252:
        return resource_key(owner, _PAIR)
    return raw_key(draw[:20])


def _data_size(draw: bytes, *, large: bool) -> int:
    low, high, kind = draw[33], draw[34], draw[35]
    if large:
        return LARGE_DATA_BYTES + 1 + (low | high << 8) // 2
    if kind < 64:
        return low % 16
    if kind < 200:
        return 24 + low // 2
    if kind < 252:
        return 128 + (low | (high & 3) << 8)
    return 1024 + (low | (high & 63) << 8)


def _metadata(draw: bytes) -> bytes | None:
    kind = draw[36] % 4
    return None if kind < 2 else _encoded_metadata(draw, has_bytes_deposit=kind == 3)


def _encoded_metadata(draw: bytes, *, has_bytes_deposit: bool) -> bytes:
    deposit = u64(40_000 + draw[37])
    created_usecs = u64(1_600_000_000_000_000 + int.from_bytes(draw[38:44], "little") % 10**14)
    if has_bytes_deposit:
        return b"\x01" + deposit + u64(1 + (draw[44] | draw[45] << 8)) + created_usecs
    return b"\x00" + deposit + created_usecs
