"""Transactions of all kinds whose infos commit to their parts."""

from __future__ import annotations

from hypothesis import strategies as st

from restore.crypto.digest import sha3_256, sha3_256_many
from restore.ledger.hashes import APTOS
from restore.ledger.transaction import ChunkFormat, hashed_transaction
from restore.proof.accumulator import root_of
from restore.wire.bcs import encode_uleb
from restore.wire.records import FramedRecords, frame
from tests.wire.values import encoded

AUXILIARY_INFOS = (b"\x00", b"\x01\x05\x00\x00\x00", b"\x02\x05\x00\x00\x00")


def record(
    transaction: bytes,
    *,
    events: tuple[bytes, ...] = (),
    write_set: bytes = b"\x00\x00",
    auxiliary_info: bytes | None = None,
    status: bytes = b"\x00",
    checkpoint: bytes | None = None,
    variant: int = 0,
) -> bytes:
    """A record; of format V1 if it has an auxiliary info."""
    auxiliary_hash = None
    if auxiliary_info is not None and auxiliary_info[0] == 1:
        auxiliary_hash = sha3_256(APTOS.auxiliary_info + auxiliary_info)
    hashes = (
        sha3_256(APTOS.transaction + hashed_transaction(transaction))
        + root_of(APTOS.event_accumulator, sha3_256_many(APTOS.event, events))
        + sha3_256(APTOS.write_set + write_set)
    )
    options = (
        [checkpoint, auxiliary_hash] if variant == 0 else [checkpoint, b"o" * 32, auxiliary_hash, *[None] * 8]
    )
    encoded_options = b"".join(b"\x00" if option is None else b"\x01" + option for option in options)
    info = bytes([variant]) + bytes(8) + status + hashes + encoded_options
    return (
        transaction + (auxiliary_info or b"") + info + encode_uleb(len(events)) + b"".join(events) + write_set
    )


@st.composite
def records(draw: st.DrawFn, chunk_format: ChunkFormat) -> bytes:
    """Encodings of honest transactions."""
    return record(
        draw(encoded("Transaction")),
        events=tuple(draw(st.lists(encoded("ContractEvent"), max_size=5))),
        write_set=draw(encoded("WriteSet")),
        auxiliary_info=draw(st.sampled_from(AUXILIARY_INFOS)) if chunk_format == "V1" else None,
        status=draw(encoded("ExecutionStatus")),
        checkpoint=draw(st.none() | st.binary(min_size=32, max_size=32)),
        variant=draw(st.sampled_from([0, 1])),
    )


def framed(parts: list[bytes]) -> FramedRecords:
    """The file of these records."""
    return FramedRecords(b"".join(map(frame, parts)), len(parts))
