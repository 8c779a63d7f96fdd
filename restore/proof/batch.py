"""The transactions of one chunk, proven to be what their infos commit to: in columns where the kernel is
used, else as objects.

Both forms say the same. The kernel only ever refuses; what it refuses is given to the Python form, which says
why.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from struct import Struct

from restore.crypto.digest import HASH_BYTES
from restore.errors import located
from restore.kernel.choice import uses_native
from restore.ledger.hashes import Domain
from restore.ledger.transaction import ChunkFormat, TransactionRecord, parse_transaction_record
from restore.proof.items import disagreement
from restore.proof.transactions import check_transactions
from restore.wire.program import program
from restore.wire.records import FramedRecords

_RECORD = Struct("9Q")
"""A record in the column of records, see records.h."""


class Transactions(ABC):
    """Consecutive transactions, in the order of the file.

    Attributes:
        leaves: the hashes of their infos, 32 bytes each: leaves of the transaction accumulator.
    """

    leaves: bytes

    def __len__(self) -> int:
        """How many there are."""
        return len(self.leaves) // HASH_BYTES

    @abstractmethod
    def write_sets(self, first: int, end: int) -> list[bytes]:
        """The BCS write sets of some of them."""


class ParsedTransactions(Transactions):
    """Each transaction is an object.

    Attributes:
        records: the transactions.
    """

    def __init__(self, records: Sequence[TransactionRecord], leaves: Sequence[bytes]) -> None:
        self.records = records
        self.leaves = b"".join(leaves)

    def write_sets(self, first: int, end: int) -> list[bytes]:
        """The BCS write sets of some of them."""
        return [record.write_set for record in self.records[first:end]]


class TransactionColumns(Transactions):
    """All transactions are a few columns, for the kernel alone to look into.

    Attributes:
        data: the file.
        records: where the parts of each transaction lie in it.
        events: where each event begins in it.
        event_hashes: 32 bytes for each event.
    """

    def __init__(
        self,
        data: bytes | bytearray | memoryview,
        *,
        records: bytes,
        events: bytes,
        event_hashes: bytes,
        leaves: bytes,
    ) -> None:
        self.data = data
        self.records = records
        self.events = events
        self.event_hashes = event_hashes
        self.leaves = leaves

    def write_sets(self, first: int, end: int) -> list[bytes]:
        """The BCS write sets of some of them."""
        records = _RECORD.iter_unpack(self.records[first * _RECORD.size : end * _RECORD.size])
        return [bytes(self.data[begin:stop]) for *_, begin, stop, _, _ in records]


def prove_transactions(
    domain: Domain, chunk: FramedRecords, chunk_format: ChunkFormat, *, first_version: int
) -> Transactions:
    """Checks that all parts of consecutive transactions are what their infos commit to.

    Args:
        domain: the network's hashes.
        chunk: the transactions.
        chunk_format: how they are laid out.
        first_version: version of the first one.

    Raises:
        FormatError: a record does not parse.
        ProofError: a part is not what the info of its version commits to; `version` is the lowest such one.

    Bounds: the kernel's columns take 104 bytes a transaction and 40 an event, the Python form some three
        times the file.
    """
    if not uses_native():
        return parse_transactions(domain, chunk, chunk_format, first_version=first_version)
    columns = kernel_columns(domain, chunk, chunk_format)
    if columns is None:
        parse_transactions(domain, chunk, chunk_format, first_version=first_version)
        raise disagreement()
    return columns


def kernel_columns(
    domain: Domain, chunk: FramedRecords, chunk_format: ChunkFormat
) -> TransactionColumns | None:
    """The kernel's form of `prove_transactions`: None where anything is wrong."""
    from restore.kernel import _native

    columns = _native.transaction_columns(
        chunk.data, chunk.count, chunk_format == "V1", program().words, _seeds(domain)
    )
    if columns is None:
        return None
    records, events, event_hashes, leaves = columns
    return TransactionColumns(
        chunk.data, records=records, events=events, event_hashes=event_hashes, leaves=leaves
    )


def parse_transactions(
    domain: Domain, chunk: FramedRecords, chunk_format: ChunkFormat, *, first_version: int
) -> ParsedTransactions:
    """The Python form of `prove_transactions`: the same checks, record by record."""
    records = []
    for version, record in enumerate(chunk.cut(), first_version):
        with located(version=version):
            records.append(parse_transaction_record(record, chunk_format))
    return ParsedTransactions(records, check_transactions(domain, records, first_version=first_version))


def _seeds(domain: Domain) -> bytes:
    """The seeds in the order of transactions.c."""
    return b"".join(
        (
            domain.transaction,
            domain.write_set,
            domain.event,
            domain.event_accumulator,
            domain.auxiliary_info,
            domain.transaction_info,
        )
    )
