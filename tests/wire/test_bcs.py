from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.errors import FormatError
from restore.wire.bcs import MAX_COUNT, Reader, encode_bytes, encode_uleb, read_count, read_uleb


@given(st.integers(0, 2**32 - 1), st.binary(max_size=4))
def test_a_uleb_reads_back_as_it_was_written(value: int, before: bytes) -> None:
    encoded = encode_uleb(value)
    assert read_uleb(before + encoded + b"\x80", len(before)) == (value, len(before) + len(encoded))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (16_384, "808001"), (2**32 - 1, "ffffffff0f")],
)
def test_a_uleb_has_seven_bits_a_byte_lowest_first(value: int, encoded: str) -> None:
    assert encode_uleb(value).hex() == encoded


@pytest.mark.parametrize(
    ("encoded", "what"),
    [
        ("", "past the end"),
        ("80", "past the end"),
        ("ffffffff", "past the end"),
        ("8000", "shortest form"),
        ("ff00", "shortest form"),
        ("8080808000", "shortest form"),
        ("ffffffff10", "32 bits"),
        ("ffffffff7f", "32 bits"),
        ("ffffffff8f01", "longer than five bytes"),
    ],
)
def test_a_malformed_uleb_is_refused_with_its_offset(encoded: str, what: str) -> None:
    with pytest.raises(FormatError, match=what) as caught:
        read_uleb(b"??" + bytes.fromhex(encoded), 2)
    assert caught.value.offset == 2


def test_a_sequence_has_at_most_two_to_the_31_items() -> None:
    assert read_count(encode_uleb(MAX_COUNT), 0) == (MAX_COUNT, 5)
    with pytest.raises(FormatError, match="too long"):
        read_count(encode_uleb(MAX_COUNT + 1), 0)


def test_a_reader_takes_values_in_order() -> None:
    hashes = bytes(range(32)) + bytes(32)
    data = bytes.fromhex("01 0200 03000000 0400000000000000 05000000000000000000000000000000 01 00 abcd")
    data += encode_bytes(b"xyz") + encode_bytes("é".encode()) + encode_uleb(300) + b"\x02" + hashes + b"\x00"
    reader = Reader(b"skipped" + data, 7)
    assert (reader.u8(), reader.u16(), reader.u32(), reader.u64(), reader.u128()) == (1, 2, 3, 4, 5)
    assert (reader.boolean(), reader.option(), reader.fixed(2)) == (True, False, b"\xab\xcd")
    assert (reader.bytes_(), reader.text(), reader.uleb()) == (b"xyz", "é", 300)
    assert reader.hashes() == (hashes[:32], hashes[32:])
    assert reader.hash_option() is None
    reader.finish()
    assert reader.since(7) == data


def test_a_reader_gives_the_bytes_of_a_skipped_value() -> None:
    reader = Reader(b"abcdef", 1)
    assert reader.verbatim(lambda data, offset, end: offset + 2) == b"bc"
    assert (reader.offset, reader.end) == (3, 6)


READS: list[Callable[[Reader], object]] = [
    Reader.u8,
    Reader.u16,
    Reader.u32,
    Reader.u64,
    Reader.u128,
    Reader.boolean,
    Reader.option,
    Reader.uleb,
    Reader.count,
    Reader.bytes_,
    Reader.text,
    Reader.hashes,
    Reader.hash_option,
]


@pytest.mark.parametrize("read", READS)
def test_nothing_is_read_past_the_end_of_the_reader(read: Callable[[Reader], object]) -> None:
    reader = Reader(bytes(64), 2, 2)
    with pytest.raises(FormatError) as caught:
        read(reader)
    assert caught.value.offset == 2


@given(st.sampled_from(READS), st.binary(max_size=40))
def test_random_bytes_raise_nothing_but_format_errors(read: Callable[[Reader], object], data: bytes) -> None:
    reader = Reader(data)
    try:
        read(reader)
    except FormatError:
        return
    assert reader.offset <= len(data)


@pytest.mark.parametrize("read", [Reader.boolean, Reader.option])
def test_a_boolean_is_zero_or_one(read: Callable[[Reader], object]) -> None:
    with pytest.raises(FormatError, match="neither 0 nor 1") as caught:
        read(Reader(b"\x02"))
    assert (caught.value.offset, caught.value.found) == (0, "2")


def test_text_is_utf_8() -> None:
    with pytest.raises(FormatError, match="UTF-8"):
        Reader(b"\x01\xff").text()


def test_a_promised_length_is_not_allocated() -> None:
    promised = encode_uleb(MAX_COUNT)
    with pytest.raises(FormatError, match="past the end"):
        Reader(promised).bytes_()
    with pytest.raises(FormatError, match="past the end"):
        Reader(promised).hashes()


def test_bytes_after_the_last_value_are_refused() -> None:
    reader = Reader(b"\x00\x01\x02")
    reader.u8()
    with pytest.raises(FormatError, match="bytes follow") as caught:
        reader.finish()
    assert (caught.value.offset, caught.value.found) == (1, "2 bytes")
