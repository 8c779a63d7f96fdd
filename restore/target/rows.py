"""Proven data -> the rows of a database: pure functions.

Source: spec/aptosdb-schema.md section 2, every table marked B or "B, O".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from restore.crypto.digest import HASH_BYTES, sha3_256_many
from restore.ledger.event import NewBlock, new_block, parse_event
from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.transaction import TransactionRecord, user_transaction
from restore.proof.accumulator import Accumulator, FrozenNode, in_order, post_order
from restore.proof.builder import NodeRow
from restore.proof.jellyfish import node_key
from restore.target.schema import (
    AUXILIARY_INFO,
    BLOCK_BY_VERSION,
    BLOCK_INFO,
    EPOCH_BY_VERSION,
    EVENT,
    EVENT_ACCUMULATOR,
    EVENT_BY_KEY,
    EVENT_BY_VERSION,
    LEDGER_INFO,
    TRANSACTION,
    TRANSACTION_BY_ACCOUNT,
    TRANSACTION_BY_HASH,
    TRANSACTION_INFO,
    TRANSACTION_SUMMARIES,
    WRITE_SET,
    KeyValue,
    Table,
    inverted,
    u64,
    u64_le,
)

Rows = dict[Table, list[KeyValue]]
"""Rows by table; of one table each key once."""

LIVE_VALUE = b"\x01"
"""Before the StateValue in a row: an option that is there."""

DELETED_VALUE = b"\x00"
"""The whole value of a row that says: deleted."""

_BLOCK_INFO_V0 = b"\x00"
_SUMMARY_V1 = b"\x00"
_NONCE, _SEQUENCE_NUMBER = b"\x00", b"\x01"
"""Variants of ReplayProtector."""


def ledger_info_rows(infos: Iterable[SignedLedgerInfo]) -> Rows:
    """The rows of ledger infos; `epoch_by_version` only of those that end their epoch."""
    rows: Rows = {LEDGER_INFO: [], EPOCH_BY_VERSION: []}
    for signed in infos:
        info = signed.info
        rows[LEDGER_INFO].append((u64(info.epoch), signed.raw))
        if info.next_epoch_state is not None:
            rows[EPOCH_BY_VERSION].append((u64(info.version), u64(info.epoch)))
    return rows


def snapshot_value_rows(version: int, values: Iterable[tuple[bytes, bytes]]) -> list[KeyValue]:
    """The rows of snapshot items, (key hash, BCS StateValue) each: all stand at the snapshot's version."""
    end = inverted(version)
    return [(key_hash + end, LIVE_VALUE + value) for key_hash, value in values]


def node_rows(version: int, nodes: Iterable[NodeRow]) -> list[list[KeyValue]]:
    """The rows of tree nodes, grouped by depth, each group in key order.

    A node key begins with version and depth: groups of one depth are what does not overlap.
    """
    groups: defaultdict[int, list[KeyValue]] = defaultdict(list)
    for path, node in nodes:
        groups[len(path)].append((node_key(version, path), node))
    return [sorted(groups[depth]) for depth in sorted(groups)]


def accumulator_rows(nodes: Iterable[FrozenNode]) -> list[KeyValue]:
    """The rows of frozen transaction accumulator nodes, by their post-order positions."""
    return [(u64(post_order(node.level, node.index)), node.hash) for node in nodes]


def numbered_rows(first: int, hashes: bytes) -> list[KeyValue]:
    """The rows of hashes, 32 bytes each, under the numbers from `first` on."""
    starts = range(0, len(hashes), HASH_BYTES)
    return [(u64(number), hashes[start : start + HASH_BYTES]) for number, start in enumerate(starts, first)]


def transaction_rows(domain: Domain, first_version: int, records: Sequence[TransactionRecord]) -> Rows:
    """All ledger rows of consecutive transactions but the accumulator's."""
    rows: Rows = defaultdict(list)
    leaves = iter(sha3_256_many(domain.event, [event for record in records for event in record.events]))
    for version, record in enumerate(records, first_version):
        key = u64(version)
        rows[WRITE_SET].append((key, record.write_set))
        rows[TRANSACTION_INFO].append((key, record.info.raw))
        rows[TRANSACTION].append((key, record.transaction))
        rows[TRANSACTION_BY_HASH].append((record.info.transaction_hash, key))
        rows[AUXILIARY_INFO].append((key, record.auxiliary_info))
        _add_sender(rows, version, record)
        for index, raw in enumerate(record.events):
            _add_event(rows, version, index, raw)
        hashes = [next(leaves) for _ in record.events]
        for node in Accumulator(domain.event_accumulator).append(hashes):
            rows[EVENT_ACCUMULATOR].append((key + u64(in_order(node.level, node.index)), node.hash))
    return dict(rows)


def block_info_value(block: NewBlock, *, first_version: int) -> bytes:
    """The value of a `block_info` row: BCS BlockInfo V0."""
    return b"".join(
        (
            _BLOCK_INFO_V0,
            block.id,
            u64_le(block.epoch),
            u64_le(block.round),
            block.proposer,
            u64_le(first_version),
            u64_le(block.timestamp_usecs),
        )
    )


def _add_sender(rows: Rows, version: int, record: TransactionRecord) -> None:
    """Indexes a user transaction by its sender."""
    user = user_transaction(record.transaction)
    if user is None:
        return
    if user.sequence_number is not None:
        rows[TRANSACTION_BY_ACCOUNT].append((user.sender + u64(user.sequence_number), u64(version)))
        protector = _SEQUENCE_NUMBER + u64_le(user.sequence_number)
    else:
        protector = _NONCE + u64_le(user.nonce or 0)
    summary = _SUMMARY_V1 + user.sender + u64_le(version) + record.info.transaction_hash + protector
    rows[TRANSACTION_SUMMARIES].append((user.sender + u64(version), summary))


def _add_event(rows: Rows, version: int, index: int, raw: bytes) -> None:
    """Stores an event, indexes it by its handle if it has one, and its block if it begins one."""
    rows[EVENT].append((u64(version) + u64(index), raw))
    event = parse_event(raw)
    if event.key is None or event.sequence_number is None:
        return
    sequence_number = u64(event.sequence_number)
    rows[EVENT_BY_KEY].append((event.key + sequence_number, u64(version) + u64(index)))
    rows[EVENT_BY_VERSION].append((event.key + u64(version) + sequence_number, u64(index)))
    block = new_block(raw)
    if block is not None:
        rows[BLOCK_INFO].append((u64(block.height), block_info_value(block, first_version=version)))
        rows[BLOCK_BY_VERSION].append((u64(version), u64(block.height)))
