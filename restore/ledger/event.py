"""Events of transactions.

Source: spec/ledger-hashing.md section 6.2; NewBlockEvent: spec/aptosdb-schema.md section 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from restore.errors import FormatError
from restore.wire.bcs import Reader
from restore.wire.layouts import skipper

EVENT_KEY_BYTES = 40
"""u64 creation number, little-endian, and an address."""

NEW_BLOCK_KEY = (3).to_bytes(8, "little") + (1).to_bytes(32, "big")
"""The event handle 3 of 0x1."""

_V1, _V2 = 0, 1
"""Variants of ContractEvent."""

_NEW_BLOCK_START = bytes([_V1]) + NEW_BLOCK_KEY

_skip_type_tag = skipper("TypeTag")


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        key: of the handle it was emitted by, EVENT_KEY_BYTES; None for V2.
        sequence_number: in that handle; None for V2.
        type_tag: BCS TypeTag.
        data: BCS of a value of that type.
    """

    key: bytes | None
    sequence_number: int | None
    type_tag: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class NewBlock:
    """What a NewBlockEvent says of its block."""

    id: bytes
    epoch: int
    round: int
    height: int
    proposer: bytes
    timestamp_usecs: int


def parse_event(raw: bytes) -> Event:
    """The parts of a BCS ContractEvent.

    Raises:
        FormatError: malformed, or bytes follow.
    """
    reader = Reader(raw)
    variant = reader.uleb()
    if variant > _V2:
        raise FormatError("unknown variant of ContractEvent", offset=0, found=variant)
    key, sequence_number = (reader.fixed(EVENT_KEY_BYTES), reader.u64()) if variant == _V1 else (None, None)
    event = Event(key, sequence_number, reader.verbatim(_skip_type_tag), reader.bytes_())
    reader.finish()
    return event


def new_block(raw: bytes) -> NewBlock | None:
    """What a BCS ContractEvent says of a new block; None if it is another event.

    Raises:
        FormatError: it is a new-block event, and malformed.
    """
    if not raw.startswith(_NEW_BLOCK_START):
        return None
    reader = Reader(parse_event(raw).data)
    block_id, epoch, block_round, height = reader.fixed(32), reader.u64(), reader.u64(), reader.u64()
    reader.bytes_()  # votes for the previous block
    proposer = reader.fixed(32)
    for _ in range(reader.count()):
        reader.u64()  # index of a proposer that failed
    timestamp_usecs = reader.u64()
    reader.finish()
    return NewBlock(block_id, epoch, block_round, height, proposer, timestamp_usecs)
