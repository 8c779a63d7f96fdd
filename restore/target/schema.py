"""The database layout a node opens, as data: instances, column families, keys.

This is generation U of spec/aptosdb-schema.md (sections 1.1, 1.4 and 2): sharded, 42 RocksDB instances.
Another generation is another table here, not other code.

Keys sort as bytes, so numbers in keys are big-endian; `inverted` makes newer versions sort first. Values, and
the keys of `db_metadata`, are BCS: little-endian.
"""

from __future__ import annotations

from typing import NamedTuple

from restore.errors import FormatError
from restore.ledger.state import Usage
from restore.wire.bcs import HASH_BYTES, Reader

SHARDS = 16
"""One per value of a hash's first nibble."""

U64_BYTES = 8
U64_MAX = 2**64 - 1

KeyValue = tuple[bytes, bytes]
"""One row: key and value."""


class Table(NamedTuple):
    """A column family of an instance; prints as its place below the target folder."""

    instance: str
    family: str

    def __str__(self) -> str:
        return f"{self.instance}/{self.family}"


DB_METADATA = "db_metadata"
"""Family of progress rows, in every instance."""

LEDGER_METADATA = "ledger_db/metadata"
EVENT_DB = "ledger_db/event_db"
AUXILIARY_INFO_DB = "ledger_db/persisted_auxiliary_info_db"
ACCUMULATOR_DB = "ledger_db/transaction_accumulator_db"
AUXILIARY_DATA_DB = "ledger_db/transaction_auxiliary_data_db"
TRANSACTION_DB = "ledger_db/transaction_db"
TRANSACTION_INFO_DB = "ledger_db/transaction_info_db"
WRITE_SET_DB = "ledger_db/write_set_db"
KV_METADATA = "state_kv_db/metadata"
MERKLE_METADATA = "state_merkle_db/metadata"

KV_SHARDS = tuple(f"state_kv_db/shard_{shard}" for shard in range(SHARDS))
MERKLE_SHARDS = tuple(f"state_merkle_db/shard_{shard}" for shard in range(SHARDS))

_VALUES = "state_value_by_key_hash"
_STALE_VALUES = "stale_state_value_index_by_key_hash"
_NODES = "jellyfish_merkle_node"

_KV_FAMILIES = (DB_METADATA, _STALE_VALUES, _VALUES, "state_value_index")
_MERKLE_FAMILIES = (DB_METADATA, _NODES, "stale_node_index", "stale_node_index_cross_epoch")

INSTANCES: dict[str, tuple[str, ...]] = {
    LEDGER_METADATA: (
        "block_by_version",
        "block_info",
        DB_METADATA,
        "epoch_by_version",
        "ledger_info",
        "version_data",
    ),
    EVENT_DB: (DB_METADATA, "event", "event_accumulator", "event_by_key", "event_by_version"),
    AUXILIARY_INFO_DB: (DB_METADATA, "persisted_auxiliary_info"),
    ACCUMULATOR_DB: (DB_METADATA, "transaction_accumulator", "transaction_accumulator_root_hash"),
    AUXILIARY_DATA_DB: (DB_METADATA, "transaction_auxiliary_data"),
    TRANSACTION_DB: (
        DB_METADATA,
        "transaction",
        "transaction_by_account",
        "transaction_by_hash",
        "transaction_summaries_by_account",
    ),
    TRANSACTION_INFO_DB: (DB_METADATA, "transaction_info"),
    WRITE_SET_DB: (DB_METADATA, "write_set"),
    **dict.fromkeys((KV_METADATA, *KV_SHARDS), _KV_FAMILIES),
    **dict.fromkeys((MERKLE_METADATA, *MERKLE_SHARDS), _MERKLE_FAMILIES),
}
"""Every instance, by its folder below the target, with its column families besides the empty `default`."""

BLOCK_BY_VERSION = Table(LEDGER_METADATA, "block_by_version")
BLOCK_INFO = Table(LEDGER_METADATA, "block_info")
EPOCH_BY_VERSION = Table(LEDGER_METADATA, "epoch_by_version")
LEDGER_INFO = Table(LEDGER_METADATA, "ledger_info")
VERSION_DATA = Table(LEDGER_METADATA, "version_data")
EVENT = Table(EVENT_DB, "event")
EVENT_ACCUMULATOR = Table(EVENT_DB, "event_accumulator")
EVENT_BY_KEY = Table(EVENT_DB, "event_by_key")
EVENT_BY_VERSION = Table(EVENT_DB, "event_by_version")
AUXILIARY_INFO = Table(AUXILIARY_INFO_DB, "persisted_auxiliary_info")
TRANSACTION_ACCUMULATOR = Table(ACCUMULATOR_DB, "transaction_accumulator")
TRANSACTION = Table(TRANSACTION_DB, "transaction")
TRANSACTION_BY_ACCOUNT = Table(TRANSACTION_DB, "transaction_by_account")
TRANSACTION_BY_HASH = Table(TRANSACTION_DB, "transaction_by_hash")
TRANSACTION_SUMMARIES = Table(TRANSACTION_DB, "transaction_summaries_by_account")
TRANSACTION_INFO = Table(TRANSACTION_INFO_DB, "transaction_info")
WRITE_SET = Table(WRITE_SET_DB, "write_set")

STATE_VALUES = tuple(Table(instance, _VALUES) for instance in KV_SHARDS)
STALE_VALUES = tuple(Table(instance, _STALE_VALUES) for instance in KV_SHARDS)
TREE_NODES = tuple(Table(instance, _NODES) for instance in MERKLE_SHARDS)
TREE_ROOTS = Table(MERKLE_METADATA, _NODES)

USED_TABLES = frozenset(
    (
        BLOCK_BY_VERSION,
        BLOCK_INFO,
        EPOCH_BY_VERSION,
        LEDGER_INFO,
        VERSION_DATA,
        EVENT,
        EVENT_ACCUMULATOR,
        EVENT_BY_KEY,
        EVENT_BY_VERSION,
        AUXILIARY_INFO,
        TRANSACTION_ACCUMULATOR,
        TRANSACTION,
        TRANSACTION_BY_ACCOUNT,
        TRANSACTION_BY_HASH,
        TRANSACTION_SUMMARIES,
        TRANSACTION_INFO,
        WRITE_SET,
        *STATE_VALUES,
        *STALE_VALUES,
        *TREE_NODES,
        TREE_ROOTS,
        *(Table(instance, DB_METADATA) for instance in INSTANCES),
    )
)
"""All tables that a restore fills; the others it leaves empty."""


def usage_value(usage: Usage) -> bytes:
    """Value of a `version_data` row."""
    return u64_le(usage.items) + u64_le(usage.bytes)


def read_usage(value: bytes) -> Usage:
    """The usage in a `version_data` row.

    Raises:
        FormatError: it is not such a value.
    """
    reader = Reader(value)
    usage = Usage(reader.u64(), reader.u64())
    reader.finish()
    return usage


def u64(value: int) -> bytes:
    """A number in a key, or a version or index as a value: big-endian."""
    return value.to_bytes(U64_BYTES)


def u64_le(value: int) -> bytes:
    """A number in BCS: little-endian."""
    return value.to_bytes(U64_BYTES, "little")


def read_u64(value: bytes) -> int:
    """The number that `value` is, big-endian.

    Raises:
        FormatError: it has another length.
    """
    if len(value) != U64_BYTES:
        raise FormatError("row does not hold a number", expected=f"{U64_BYTES} bytes", found=value)
    return int.from_bytes(value)


def inverted(version: int) -> bytes:
    """A version in a key that sorts newer versions first."""
    return (U64_MAX - version).to_bytes(U64_BYTES)


def state_value_key(key_hash: bytes, version: int) -> bytes:
    """Key of the value that the item with `key_hash` has from `version` on."""
    return key_hash + inverted(version)


def split_state_value_key(key: bytes) -> tuple[bytes, int]:
    """The key hash and the version in the key of a state value.

    Raises:
        FormatError: it has another length.
    """
    if len(key) != HASH_BYTES + U64_BYTES:
        raise FormatError(
            "key of a state value has a wrong length", expected=HASH_BYTES + U64_BYTES, found=len(key)
        )
    return key[:HASH_BYTES], U64_MAX - int.from_bytes(key[HASH_BYTES:])


def stale_value_key(stale_since: int, version: int, key_hash: bytes) -> bytes:
    """Key of the row that lets a pruner find the value of `version`, replaced or deleted at `stale_since`."""
    return u64(stale_since) + u64(version) + key_hash


def shard_of(key_hash: bytes) -> int:
    """The shard that holds an item: the first nibble of its key hash."""
    return key_hash[0] >> 4
