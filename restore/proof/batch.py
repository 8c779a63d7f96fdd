"""The transactions of one chunk, proven to be what their infos commit to: in columns where the kernel is
used, else as objects.

Both forms say the same. The kernel only ever refuses; what it refuses is given to the Python form, which says
why.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from struct import Struct
from typing import NamedTuple

from restore.crypto.digest import HASH_BYTES
from restore.errors import located
from restore.kernel.choice import uses_native
from restore.ledger.hashes import Domain
from restore.ledger.transaction import ChunkFormat, TransactionRecord, parse_transaction_record
from restore.proof.items import disagreement
from restore.proof.transactions import check_transactions
from restore.wire.program import program
from restore.wire.records import FramedRecords

_OFFSET = Struct("Q")
"""An event in the column of events."""


class _Record(NamedTuple):
    """A record in the column of records: where its parts begin, see records.h."""

    transaction: int
    auxiliary_info: int
    info: int
    hashes: int
    events: int
    write_set: int
    end: int
    first_event: int
    event_count: int


_RECORD = Struct(f"{len(_Record._fields)}Q")


class Extent(NamedTuple):
    """How large some transactions are: bytes of their records, and number of their events."""

    size: int
    events: int


class Transactions(ABC):
    """Consecutive transactions, in the order of the file; a part of them is a range of places there.

    Attributes:
        first_version: version of the first one.
        leaves: the hashes of their infos, 32 bytes each: leaves of the transaction accumulator.
    """

    def __init__(self, first_version: int, leaves: bytes) -> None:
        self.first_version = first_version
        self.leaves = leaves

    def __len__(self) -> int:
        """How many there are."""
        return len(self.leaves) // HASH_BYTES

    @abstractmethod
    def write_sets(self, part: range) -> list[bytes]:
        """The BCS write sets of a part."""

    @abstractmethod
    def extent(self, part: range) -> Extent:
        """How large a part is; takes the same time for any part."""


class ParsedTransactions(Transactions):
    """Each transaction is an object.

    Attributes:
        records: the transactions.
    """

    def __init__(
        self, first_version: int, records: Sequence[TransactionRecord], leaves: Sequence[bytes]
    ) -> None:
        super().__init__(first_version, b"".join(leaves))
        self.records = records
        self._sizes = list(accumulate(map(_record_size, records), initial=0))
        self._events = list(accumulate((len(record.events) for record in records), initial=0))

    def write_sets(self, part: range) -> list[bytes]:
        """The BCS write sets of a part."""
        return [record.write_set for record in self.records[part.start : part.stop]]

    def extent(self, part: range) -> Extent:
        """How large a part is."""
        sizes, events = self._sizes, self._events
        return Extent(sizes[part.stop] - sizes[part.start], events[part.stop] - events[part.start])


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
        first_version: int,
        data: bytes | bytearray | memoryview,
        *,
        records: bytes,
        events: bytes,
        event_hashes: bytes,
        leaves: bytes,
    ) -> None:
        super().__init__(first_version, leaves)
        self.data = data
        self.records = records
        self.events = events
        self.event_hashes = event_hashes

    def write_sets(self, part: range) -> list[bytes]:
        """The BCS write sets of a part."""
        records = map(self._record, part)
        return [bytes(self.data[record.write_set : record.end]) for record in records]

    def extent(self, part: range) -> Extent:
        """How large a part is."""
        if not part:
            return Extent(0, 0)
        first, last = self._record(part[0]), self._record(part[-1])
        events = last.first_event + last.event_count - first.first_event
        return Extent(last.end - first.transaction, events)

    def events_of(self, part: range) -> Iterator[bytes]:
        """The BCS events of a part, in order."""
        for record in map(self._record, part):
            column = self.events[_OFFSET.size * record.first_event :][: _OFFSET.size * record.event_count]
            starts = [offset for (offset,) in _OFFSET.iter_unpack(column)]
            for start, end in pairwise((*starts, record.write_set)):
                yield bytes(self.data[start:end])

    def _record(self, place: int) -> _Record:
        return _Record(*_RECORD.unpack_from(self.records, _RECORD.size * place))


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
    columns = kernel_columns(domain, chunk, chunk_format, first_version=first_version)
    if columns is None:
        parse_transactions(domain, chunk, chunk_format, first_version=first_version)
        raise disagreement()
    return columns


def kernel_columns(
    domain: Domain, chunk: FramedRecords, chunk_format: ChunkFormat, *, first_version: int
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
        first_version, chunk.data, records=records, events=events, event_hashes=event_hashes, leaves=leaves
    )


def parse_transactions(
    domain: Domain, chunk: FramedRecords, chunk_format: ChunkFormat, *, first_version: int
) -> ParsedTransactions:
    """The Python form of `prove_transactions`: the same checks, record by record."""
    records = []
    for version, record in enumerate(chunk.cut(), first_version):
        with located(version=version):
            records.append(parse_transaction_record(record, chunk_format))
    leaves = check_transactions(domain, records, first_version=first_version)
    return ParsedTransactions(first_version, records, leaves)


def _record_size(record: TransactionRecord) -> int:
    parts = (record.transaction, record.auxiliary_info, record.info.raw, *record.events, record.write_set)
    return sum(map(len, parts))


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
