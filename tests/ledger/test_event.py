from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import FormatError
from restore.ledger.event import NEW_BLOCK_KEY, Event, NewBlock, new_block, parse_event
from restore.wire.bcs import Reader, encode_bytes
from restore.wire.layouts import skipper
from tests.ledger.real import vectors
from tests.wire.values import encoded

U64 = b"\x02"


def new_block_event(data: bytes, key: bytes = NEW_BLOCK_KEY, sequence_number: int = 6) -> bytes:
    return b"\x00" + key + sequence_number.to_bytes(8, "little") + U64 + encode_bytes(data)


def block_data(failed: int = 2) -> bytes:
    numbers = b"".join(number.to_bytes(8, "little") for number in (4, 5, 6))
    votes, failures = encode_bytes(b"\xf0"), bytes([failed]) + bytes(8 * failed)
    return b"i" * 32 + numbers + votes + b"p" * 32 + failures + (7).to_bytes(8, "little")


def real_events() -> list[bytes]:
    found = []
    for known in vectors("transactions.json")["event_roots"]:
        reader = Reader(bytes.fromhex(known["events_bcs"]))
        found += [reader.verbatim(skipper("ContractEvent")) for _ in range(reader.count())]
        reader.finish()
    return found


def test_an_event_v1_has_a_key_and_a_number() -> None:
    key = (9).to_bytes(8, "little") + b"a" * 32
    assert parse_event(new_block_event(b"data", key)) == Event(key, 6, U64, b"data")


def test_an_event_v2_has_neither() -> None:
    assert parse_event(b"\x01" + U64 + encode_bytes(b"data")) == Event(None, None, U64, b"data")


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "past the end"),
        (b"\x02" + U64 + b"\x00", "unknown variant"),
        (b"\x01" + U64 + b"\x01", "past the end"),
        (b"\x01" + U64 + b"\x00\x00", "bytes follow"),
        (b"\x01\x12\x00", "unknown variant of TypeTag"),
    ],
)
def test_a_malformed_event_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        parse_event(raw)


@given(encoded("ContractEvent"))
@settings(deadline=None)
def test_the_parts_of_an_event_are_its_bytes(raw: bytes) -> None:
    event = parse_event(raw)
    head = b"\x01"
    if event.key is not None and event.sequence_number is not None:
        head = b"\x00" + event.key + event.sequence_number.to_bytes(8, "little")
    assert head + event.type_tag + encode_bytes(event.data) == raw


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_format_errors(data: bytes) -> None:
    for parse in (parse_event, new_block):
        with suppress(FormatError):
            parse(data)


def test_a_new_block_event_tells_its_block() -> None:
    assert new_block(new_block_event(block_data())) == NewBlock(
        id=b"i" * 32, epoch=4, round=5, height=6, proposer=b"p" * 32, timestamp_usecs=7
    )


def test_other_events_are_no_new_block() -> None:
    other_number = (4).to_bytes(8, "little") + NEW_BLOCK_KEY[8:]
    other_account = NEW_BLOCK_KEY[:-1] + b"\x02"
    assert new_block(new_block_event(block_data(), other_number)) is None
    assert new_block(new_block_event(block_data(), other_account)) is None
    assert new_block(b"\x01" + U64 + encode_bytes(block_data())) is None


@pytest.mark.parametrize("data", [b"", block_data()[:-1], block_data() + b"\x00", block_data()[:-25]])
def test_a_malformed_new_block_event_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        new_block(new_block_event(data))


def test_real_new_block_events_tell_real_blocks() -> None:
    blocks = [block for event in real_events() if (block := new_block(event)) is not None]
    assert blocks
    for block in blocks:
        assert block.height > 0
        assert block.timestamp_usecs > 1_600_000_000_000_000
