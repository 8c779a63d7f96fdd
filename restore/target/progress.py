"""Progress rows: the rows of `db_metadata`, by which a node judges what a database holds.

Source: spec/aptosdb-schema.md sections 2.4 and 3.2.
"""

from __future__ import annotations

from enum import IntEnum

from restore.errors import FormatError
from restore.ledger.state import Usage
from restore.target.base import Outcome
from restore.target.schema import (
    ACCUMULATOR_DB,
    AUXILIARY_DATA_DB,
    AUXILIARY_INFO_DB,
    DB_METADATA,
    EVENT_DB,
    KV_METADATA,
    KV_SHARDS,
    LEDGER_METADATA,
    MERKLE_METADATA,
    TRANSACTION_DB,
    TRANSACTION_INFO_DB,
    U64_BYTES,
    WRITE_SET_DB,
    KeyValue,
    Table,
    read_usage,
    u64_le,
    usage_value,
)
from restore.wire.bcs import HASH_BYTES


class Progress(IntEnum):
    """Kinds of progress rows, by their BCS variant."""

    LEDGER_PRUNER = 0
    STATE_MERKLE_PRUNER = 1
    EPOCH_ENDING_STATE_MERKLE_PRUNER = 2
    STATE_KV_PRUNER = 3
    STATE_SNAPSHOT_KV_RESTORE = 4
    LEDGER_COMMIT = 5
    STATE_KV_COMMIT = 6
    OVERALL_COMMIT = 7
    STATE_KV_SHARD_COMMIT = 8
    EVENT_PRUNER = 11
    TRANSACTION_ACCUMULATOR_PRUNER = 12
    TRANSACTION_INFO_PRUNER = 13
    TRANSACTION_PRUNER = 14
    WRITE_SET_PRUNER = 15
    TRANSACTION_AUXILIARY_DATA_PRUNER = 20
    PERSISTED_AUXILIARY_INFO_PRUNER = 21


LEDGER_PRUNERS = (
    (EVENT_DB, Progress.EVENT_PRUNER),
    (ACCUMULATOR_DB, Progress.TRANSACTION_ACCUMULATOR_PRUNER),
    (TRANSACTION_INFO_DB, Progress.TRANSACTION_INFO_PRUNER),
    (TRANSACTION_DB, Progress.TRANSACTION_PRUNER),
    (WRITE_SET_DB, Progress.WRITE_SET_PRUNER),
    (AUXILIARY_DATA_DB, Progress.TRANSACTION_AUXILIARY_DATA_PRUNER),
    (AUXILIARY_INFO_DB, Progress.PERSISTED_AUXILIARY_INFO_PRUNER),
    (LEDGER_METADATA, Progress.LEDGER_PRUNER),
)
"""The eight ledger instances with their pruner rows. All hold the same version: a sub-pruner behind the last
one makes a node loop over every version between them."""

TREE_PRUNERS = (Progress.STATE_MERKLE_PRUNER, Progress.EPOCH_ENDING_STATE_MERKLE_PRUNER)

_VERSION_VALUE, _SNAPSHOT_VALUE = b"\x00", b"\x01"
_TRACKED_USAGE = b"\x00"


def progress_table(instance: str) -> Table:
    """The table of progress rows of an instance."""
    return Table(instance, DB_METADATA)


def progress_key(kind: Progress, *fields: int) -> bytes:
    """Key of a progress row; `fields` are its shard or its version, where it has one."""
    return bytes((kind,)) + b"".join(map(u64_le, fields))


def version_value(version: int) -> bytes:
    """Value of every progress row but that of a snapshot."""
    return _VERSION_VALUE + u64_le(version)


def snapshot_value(last_key_hash: bytes, usage: Usage) -> bytes:
    """Value of a STATE_SNAPSHOT_KV_RESTORE row: how far the values are, and the usage up to there."""
    return _SNAPSHOT_VALUE + last_key_hash + _TRACKED_USAGE + usage_value(usage)


def read_version_value(value: bytes) -> int:
    """The version in the value of a progress row.

    Raises:
        FormatError: it is not such a value.
    """
    if len(value) != 1 + U64_BYTES or value[:1] != _VERSION_VALUE:
        raise FormatError("progress row does not hold a version", found=value)
    return int.from_bytes(value[1:], "little")


def read_snapshot_value(value: bytes) -> tuple[bytes, Usage]:
    """The last key hash and the usage in the value of a STATE_SNAPSHOT_KV_RESTORE row.

    Raises:
        FormatError: it is not such a value.
    """
    middle = 1 + HASH_BYTES
    if value[:1] != _SNAPSHOT_VALUE or value[middle : middle + 1] != _TRACKED_USAGE:
        raise FormatError("progress row does not hold a snapshot's progress", found=value)
    return value[1:middle], read_usage(value[middle + 1 :])


def final_rows(outcome: Outcome) -> list[tuple[str, str, list[KeyValue]]]:
    """The progress rows of a finished database, in the order in which they may be written.

    All pruner rows of the ledger and of the values hold the first version whose state can be read: what lies
    below counts as pruned. StateMerkleCommitProgress stays absent, as after any restore.

    Returns:
        Name of the step, instance, and rows, each to be durable before the next.
    """
    target = version_value(outcome.target_version)
    history = version_value(outcome.history_version)
    tree = version_value(outcome.snapshot_version)
    return [
        *(
            ("pruner progress", instance, [(progress_key(kind), history)])
            for instance, kind in LEDGER_PRUNERS
        ),
        ("pruner progress", KV_METADATA, [(progress_key(Progress.STATE_KV_PRUNER), history)]),
        ("pruner progress", MERKLE_METADATA, [(progress_key(kind), tree) for kind in TREE_PRUNERS]),
        *(
            ("state progress", instance, [(progress_key(Progress.STATE_KV_SHARD_COMMIT, shard), target)])
            for shard, instance in enumerate(KV_SHARDS)
        ),
        ("state progress", KV_METADATA, [(progress_key(Progress.STATE_KV_COMMIT), target)]),
        ("ledger progress", LEDGER_METADATA, [(progress_key(Progress.LEDGER_COMMIT), target)]),
        ("overall progress", LEDGER_METADATA, [(progress_key(Progress.OVERALL_COMMIT), target)]),
    ]
