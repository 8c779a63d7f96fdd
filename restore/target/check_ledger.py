"""Checks the ledger: every transaction with all its rows, and the accumulator over them.

What is stored once is hashed again, up to the roots that validators signed; what is stored again in another
order (indices) is made again from that, and compared.

Source: spec/aptosdb-schema.md sections 2.1, 2.2 and 3.1; spec/ledger-hashing.md 6.8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from restore.errors import ProofError
from restore.ledger.hashes import Domain
from restore.ledger.transaction import TransactionRecord
from restore.ledger.transaction_info import TransactionInfo
from restore.proof.accumulator import Accumulator, FrozenNode, frozen_count, frozen_subtrees, post_order
from restore.proof.ranges import AccumulatorRangeProof
from restore.proof.transactions import check_transactions
from restore.proof.trust import TrustedHistory
from restore.target.check_rows import Steps, at_row, compare, damaged, demand, demand_count
from restore.target.rows import accumulator_rows, transaction_rows
from restore.target.schema import (
    AUXILIARY_INFO,
    BLOCK_BY_VERSION,
    BLOCK_INFO,
    EVENT,
    EVENT_ACCUMULATOR,
    EVENT_BY_KEY,
    EVENT_BY_VERSION,
    TRANSACTION,
    TRANSACTION_ACCUMULATOR,
    TRANSACTION_BY_ACCOUNT,
    TRANSACTION_BY_HASH,
    TRANSACTION_INFO,
    TRANSACTION_SUMMARIES,
    U64_BYTES,
    WRITE_SET,
    KeyValue,
    Table,
    u64,
)
from restore.target.steps import STEP_BYTES
from restore.target.store import RocksStore
from restore.wire.bcs import Skip
from restore.wire.layouts import skipper

STEP_VERSIONS = 512
"""Transactions checked in one step, or fewer where they are large."""

LEDGER_TABLES = (
    AUXILIARY_INFO,
    BLOCK_BY_VERSION,
    BLOCK_INFO,
    EVENT,
    EVENT_ACCUMULATOR,
    EVENT_BY_KEY,
    EVENT_BY_VERSION,
    TRANSACTION,
    TRANSACTION_BY_ACCOUNT,
    TRANSACTION_BY_HASH,
    TRANSACTION_INFO,
    TRANSACTION_SUMMARIES,
    WRITE_SET,
)
"""The tables that `transaction_rows` fills."""

_SOURCES = frozenset((AUXILIARY_INFO, EVENT, TRANSACTION, TRANSACTION_INFO, WRITE_SET))


@dataclass(slots=True)
class LedgerFindings:
    """What the ledger says of other rows.

    Attributes:
        accumulator_root: over all versions up to T.
        state_roots: `state_checkpoint_hash` of V, of K, and of the last checkpoint, by version.
    """

    accumulator_root: bytes = b""
    state_roots: dict[int, bytes] = field(default_factory=dict)


class LedgerCheck:
    """Walks the versions that a database holds.

    Args:
        store: the database.
        domain: the network's hashes.
        history: its epoch endings, verified.
        first_version: the first one with a transaction.
        target_version: T, the last one.
        state_versions: whose state roots are wanted.
        voucher: proof of T's info under `voucher_root`, which is signed.
        voucher_root: an accumulator root.

    Bounds: the rows of STEP_VERSIONS transactions, or of STEP_BYTES and one.
    """

    def __init__(
        self,
        store: RocksStore,
        domain: Domain,
        history: TrustedHistory,
        *,
        first_version: int,
        target_version: int,
        state_versions: frozenset[int],
        voucher: AccumulatorRangeProof,
        voucher_root: bytes,
    ) -> None:
        self._store = store
        self._domain = domain
        self._history = history
        self._first = first_version
        self._target = target_version
        self._state_versions = state_versions
        self._voucher = voucher
        self._voucher_root = voucher_root
        self._counts: Counter[Table] = Counter()
        self._findings = LedgerFindings()

    def run(self) -> Steps[LedgerFindings]:
        """Checks everything.

        Raises:
            DamagedTargetError, FormatError, ProofError: naming the row or the version.
        """
        accumulator = self._stored_accumulator()
        stored = self._store.scan(TRANSACTION_ACCUMULATOR, u64(frozen_count(self._first)))
        version = self._first
        last_checkpoint = None
        for records in self._records():
            leaves = check_transactions(self._domain, records, first_version=version)
            for table, rows in transaction_rows(self._domain, version, records).items():
                self._counts[table] += len(rows)
                if table not in _SOURCES:  # their rows are what `rows` was made from
                    compare(self._store, table, rows)
            for at, record in enumerate(records, version):
                root = record.info.state_checkpoint_hash
                if root is not None:
                    last_checkpoint = (at, root)
                    if at in self._state_versions:
                        self._findings.state_roots[at] = root
            self._append(accumulator, leaves, stored)
            version += len(records)
            yield len(records)
        if last_checkpoint is not None:
            self._findings.state_roots[last_checkpoint[0]] = last_checkpoint[1]
        for key, value in stored:
            raise damaged(TRANSACTION_ACCUMULATOR, key, "accumulator goes on beyond the target", found=value)
        self._findings.accumulator_root = accumulator.root()
        yield from self._count_rows()
        return self._findings

    def _stored_accumulator(self) -> Accumulator:
        """The accumulator of what lies before the first version, by the frozen roots that are stored."""
        positions = frozen_subtrees(self._first, [b""] * self._first.bit_count())
        keys = [u64(post_order(node.level, node.index)) for node in positions]
        roots = [demand(self._store, TRANSACTION_ACCUMULATOR, key) for key in keys]
        self._counts[TRANSACTION_ACCUMULATOR] = len(keys)
        return Accumulator(self._domain.transaction_accumulator, self._first, roots)

    def _append(self, accumulator: Accumulator, leaves: Sequence[bytes], stored: Iterator[KeyValue]) -> None:
        """Appends leaves; compares the nodes they complete, and the roots that were signed."""
        begun, first = 0, accumulator.count
        for index in range(len(leaves)):
            version = first + index
            signed = self._history.root_at(version)
            if signed is None and version != self._target:
                continue
            self._compare_nodes(accumulator.append(leaves[begun:index]), stored)
            if version == self._target:
                self._check_voucher(accumulator, leaves[index])
            self._compare_nodes(accumulator.append(leaves[index : index + 1]), stored)
            begun = index + 1
            if signed is not None and accumulator.root() != signed:
                raise ProofError(
                    "accumulator at the end of an epoch is not the one its ledger info signed",
                    version=version,
                    expected=signed,
                    found=accumulator.root(),
                )
        self._compare_nodes(accumulator.append(leaves[begun:]), stored)

    def _compare_nodes(self, nodes: Sequence[FrozenNode], stored: Iterator[KeyValue]) -> None:
        for node, (key, expected) in zip(nodes, accumulator_rows(nodes), strict=True):
            found = next(stored, None)
            version = ((node.index + 1) << node.level) - 1
            if found is None or found[0] != key:
                raise damaged(TRANSACTION_ACCUMULATOR, key, "row is missing", version=version)
            if found[1] != expected:
                raise damaged(
                    TRANSACTION_ACCUMULATOR,
                    key,
                    "accumulator node is not the hash of what is below it",
                    version=version,
                    expected=expected,
                    found=found[1],
                )
            self._counts[TRANSACTION_ACCUMULATOR] += 1

    def _check_voucher(self, accumulator: Accumulator, leaf: bytes) -> None:
        """Ties T, and with it all that the accumulator holds, to the ledger info that vouches for it."""
        target, seed = self._target, self._domain.transaction_accumulator
        self._voucher.verify(seed, leaf, target, root=self._voucher_root)
        expected = tuple(reversed(self._voucher.left))
        if accumulator.frozen_roots != expected:
            raise ProofError(
                "accumulator before the target is not the one that was signed",
                version=target,
                expected=",".join(root.hex() for root in expected),
                found=",".join(root.hex() for root in accumulator.frozen_roots),
            )

    def _records(self) -> Iterator[list[TransactionRecord]]:
        """All transactions, from their rows, in batches."""
        columns = [
            _Column(self._store, table, skipper(name), self._first)
            for table, name in (
                (TRANSACTION, "Transaction"),
                (AUXILIARY_INFO, "PersistedAuxiliaryInfo"),
                (TRANSACTION_INFO, "TransactionInfo"),
                (WRITE_SET, "WriteSet"),
            )
        ]
        events = _Events(self._store, self._first)
        batch: list[TransactionRecord] = []
        size = 0
        for version in range(self._first, self._target + 1):
            transaction, auxiliary, info, write_set = (column.take(version) for column in columns)
            batch.append(
                TransactionRecord(
                    transaction, auxiliary, TransactionInfo.parse(info), events.take(version), write_set
                )
            )
            size += len(transaction) + len(write_set) + sum(map(len, batch[-1].events))
            if len(batch) == STEP_VERSIONS or size >= STEP_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _count_rows(self) -> Steps[None]:
        """Checks that no table has rows besides those compared."""
        for table in (*LEDGER_TABLES, TRANSACTION_ACCUMULATOR):
            yield from demand_count(self._store, table, self._counts[table])


class _Column:
    """The values of one table by version, one after the other."""

    def __init__(self, store: RocksStore, table: Table, skip: Skip, first: int) -> None:
        self._rows = store.scan(table, u64(first))
        self._table = table
        self._skip = skip

    def take(self, version: int) -> bytes:
        """The value at `version`, well formed."""
        key, value = next(self._rows, (b"", b""))
        if key != u64(version):
            raise damaged(self._table, u64(version), "row is missing", version=version)
        with at_row(self._table, key):
            if self._skip(value, 0, len(value)) != len(value):
                raise damaged(self._table, key, "bytes follow the value", version=version)
        return value


class _Events:
    """The events of one version after the other."""

    def __init__(self, store: RocksStore, first: int) -> None:
        self._rows = store.scan(EVENT, u64(first))
        self._next = next(self._rows, None)
        self._skip = skipper("ContractEvent")

    def take(self, version: int) -> tuple[bytes, ...]:
        """The events of `version`, in order."""
        events: list[bytes] = []
        prefix = u64(version)
        while self._next is not None and self._next[0].startswith(prefix):
            key, value = self._next
            if key[U64_BYTES:] != u64(len(events)):
                raise damaged(EVENT, prefix + u64(len(events)), "row is missing", version=version)
            with at_row(EVENT, key):
                if self._skip(value, 0, len(value)) != len(value):
                    raise damaged(EVENT, key, "bytes follow the value", version=version)
            events.append(value)
            self._next = next(self._rows, None)
        return tuple(events)
