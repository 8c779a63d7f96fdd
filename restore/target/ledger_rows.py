"""The ledger rows of proven transactions, table by table; in columns the kernel encodes them.

Source: spec/aptosdb-schema.md 2.1 and 2.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from restore.crypto.digest import HASH_BYTES
from restore.kernel.choice import uses_native
from restore.ledger.event import new_block
from restore.ledger.hashes import Domain
from restore.proof.batch import ParsedTransactions, TransactionColumns, Transactions
from restore.proof.items import disagreement
from restore.target.rows import numbered_rows, transaction_rows
from restore.target.schema import (
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
    KeyValue,
    Table,
)
from restore.target.staged import RowGroup
from restore.wire.program import program

T = TypeVar("T")

LEDGER_TABLES = (
    WRITE_SET,
    TRANSACTION_INFO,
    TRANSACTION,
    AUXILIARY_INFO,
    EVENT,
    EVENT_ACCUMULATOR,
    TRANSACTION_BY_HASH,
    TRANSACTION_BY_ACCOUNT,
    TRANSACTION_SUMMARIES,
    EVENT_BY_KEY,
    EVENT_BY_VERSION,
    BLOCK_INFO,
    BLOCK_BY_VERSION,
)
"""The tables of transactions, but for their accumulator, in the order of ledger.h."""

OVERLAPPING = frozenset(LEDGER_TABLES[LEDGER_TABLES.index(TRANSACTION_BY_HASH) :])
"""Those whose keys do not ascend with the version: new rows fall between older ones."""


@dataclass(frozen=True, slots=True)
class LedgerColumnRows:
    """Rows of one table that the kernel encodes.

    Attributes:
        domain: the network's hashes.
        transactions: what they are made from.
        table: where they go, one of LEDGER_TABLES.
        part: which of the transactions.
    """

    domain: Domain
    transactions: TransactionColumns
    table: Table
    part: range

    def __len__(self) -> int:
        """How many there are; keys that come twice count twice."""
        from restore.kernel import _native

        return self._accepted(_native.count_ledger_rows(*self._request()))

    def pairs(self) -> list[KeyValue]:
        """The rows themselves."""
        from restore.kernel import _native

        return self._accepted(_native.encode_ledger_rows(*self._request()))

    def write(self, file: Path) -> None:
        """Writes them, at least one, to a new table file.

        Raises:
            OSError: it cannot be written; there is none then.
        """
        from restore.kernel import _native

        self._accepted(_native.write_ledger_rows(str(file), *self._request()))

    def _request(
        self,
    ) -> tuple[int, bytes | bytearray | memoryview, bytes, bytes, bytes, bytes, bytes, int, int, int]:
        columns = self.transactions
        return (
            LEDGER_TABLES.index(self.table),
            columns.data,
            columns.records,
            columns.events,
            columns.event_hashes,
            self.domain.event_accumulator,
            program().words,
            columns.first_version,
            self.part.start,
            self.part.stop,
        )

    def _accepted(self, result: T | None) -> T:
        """`result`, unless the kernel refused: an event that announces a block may be malformed."""
        if result is None:
            for event in self.transactions.events_of(self.part):
                new_block(event)
            raise disagreement()
        return result


@dataclass(frozen=True, slots=True)
class NumberedHashes:
    """Rows of hashes, 32 bytes each, under consecutive numbers, that the kernel encodes."""

    first: int
    hashes: bytes

    def __len__(self) -> int:
        return len(self.hashes) // HASH_BYTES

    def pairs(self) -> list[KeyValue]:
        """The rows themselves."""
        return numbered_rows(self.first, self.hashes)

    def write(self, file: Path) -> None:
        """Writes them to a new table file.

        Raises:
            OSError: it cannot be written; there is none then.
        """
        from restore.kernel import _native

        _native.write_numbered(str(file), self.first, self.hashes)


def ledger_groups(
    domain: Domain, transactions: Transactions, part: range
) -> Iterator[tuple[Table, RowGroup]]:
    """The rows of some transactions, of each table in ascending order.

    Raises:
        FormatError: an event that announces a block is malformed.
    """
    if isinstance(transactions, TransactionColumns):
        for table in LEDGER_TABLES:
            yield table, LedgerColumnRows(domain, transactions, table, part)
    elif isinstance(transactions, ParsedTransactions):
        records = transactions.records[part.start : part.stop]
        rows = transaction_rows(domain, transactions.first_version + part.start, records)
        for table, pairs in rows.items():
            yield table, sorted(dict(pairs).items())


def accumulator_group(first: int, hashes: bytes) -> RowGroup:
    """The rows of accumulator nodes, 32 bytes each, in the order in which they complete from `first` on."""
    return NumberedHashes(first, hashes) if uses_native() else numbered_rows(first, hashes)
