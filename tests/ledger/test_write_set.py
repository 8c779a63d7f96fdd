from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import FormatError
from restore.ledger.state import split_state_record
from restore.ledger.write_set import WriteOp, parse_write_set
from restore.wire.bcs import encode_uleb
from restore.wire.layouts import skipper
from tests.wire.values import encoded

KEYS = [b"\x02\x01" + letter for letter in (b"a", b"b", b"c", b"d", b"e", b"f")]
DATA = b"\x03new"
METADATA = b"\x00" + bytes(16)


def write_set(*entries: bytes) -> bytes:
    return b"\x00" + encode_uleb(len(entries)) + b"".join(entries)


def test_an_operation_gives_the_value_that_the_state_will_have() -> None:
    raw = write_set(
        KEYS[0] + b"\x00" + DATA,
        KEYS[1] + b"\x01" + DATA,
        KEYS[2] + b"\x02",
        KEYS[3] + b"\x03" + DATA + METADATA,
        KEYS[4] + b"\x04" + DATA + METADATA,
        KEYS[5] + b"\x05" + METADATA,
    )
    plain, with_metadata = b"\x00" + DATA, b"\x01" + DATA + METADATA
    values = [plain, plain, None, with_metadata, with_metadata, None]
    assert parse_write_set(raw) == [WriteOp(key, value) for key, value in zip(KEYS, values, strict=True)]


def test_a_write_set_may_be_empty() -> None:
    assert parse_write_set(b"\x00\x00") == []


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "past the end"),
        (b"\x01\x00", "unknown variant"),
        (write_set(KEYS[0] + b"\x02", KEYS[0] + b"\x02"), "do not increase"),
        (write_set(KEYS[1] + b"\x02", KEYS[0] + b"\x02"), "do not increase"),
        (write_set(KEYS[0] + b"\x06"), "unknown variant"),
        (write_set(KEYS[0] + b"\x00"), "past the end"),
        (write_set(KEYS[0] + b"\x03" + DATA + b"\x01" + bytes(24)), "bytes deposit of 0"),
        (write_set(KEYS[0] + b"\x05\x01" + bytes(24)), "bytes deposit of 0"),
        (b"\x00\x02" + KEYS[0] + b"\x02", "past the end"),
        (write_set(KEYS[0] + b"\x02") + b"\x00", "bytes follow"),
    ],
)
def test_a_malformed_write_set_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        parse_write_set(raw)


@given(encoded("WriteSet"))
@settings(deadline=None)
def test_every_value_written_is_a_state_value(raw: bytes) -> None:
    for key, value in parse_write_set(raw):
        if value is not None:
            assert split_state_record(key + value) == (key, value)


@given(st.binary(max_size=200))
def test_what_the_layout_refuses_is_refused(data: bytes) -> None:
    data = b"\x00" + data
    try:
        whole = skipper("WriteSet")(data, 0, len(data)) == len(data)
    except FormatError:
        whole = False
    if whole:
        parse_write_set(data)
    else:
        with pytest.raises(FormatError):
            parse_write_set(data)
