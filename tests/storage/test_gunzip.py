"""Gzip, unpacked whole and as it comes: against the standard library."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.errors import CorruptAnswerError, FormatError
from restore.storage.gunzip import (
    FEED_BYTES,
    MOST_SMALL_MEMBERS,
    SMALL_MEMBER,
    Gunzip,
    announced_bytes,
    unpack_whole,
)

MIXED = random.Random(1).randbytes(50_000) + bytes(3_000_000) + b"words " * 20_000


def stream(packed: bytes, *, step: int = 1 << 20, most: int = 1 << 20) -> bytes:
    """Unpacks what comes in steps, `most` bytes at once."""
    gunzip = Gunzip("file")
    unpacked = []
    for start in range(0, len(packed), step):
        gunzip.feed(packed[start : start + step])
        while piece := gunzip.take(most):
            assert len(piece) <= most
            unpacked.append(piece)
    gunzip.finish()
    return b"".join(unpacked)


def whole(packed: bytes) -> bytes | None:
    """Unpacks in one go, or declines."""
    announced = announced_bytes(packed)  # whatever the last bytes are, where they are no trailer
    place = memoryview(bytearray(announced if announced < 1 << 24 else 0))
    return bytes(place) if unpack_whole(memoryview(bytearray(packed)), place) else None


def test_the_library_is_found() -> None:
    """Else everything would still work, and take half as long again."""
    assert whole(gzip.compress(b"data")) == b"data"


@pytest.mark.parametrize("data", [b"", b"x", b"some text", MIXED], ids=len)
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_one_member(data: bytes, level: int) -> None:
    packed = gzip.compress(data, level)
    assert announced_bytes(packed) == len(data)
    assert whole(packed) == (data or None)
    assert stream(packed) == data


@pytest.mark.parametrize("step", [1, 7, FEED_BYTES - 1, FEED_BYTES, FEED_BYTES + 1])
@pytest.mark.parametrize("most", [1000, 1 << 20])
def test_steps_of_any_size(step: int, most: int) -> None:
    data = MIXED[:120_000]
    assert stream(gzip.compress(data), step=step, most=most) == data


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.integers(1, 64), st.integers(1, 300))
def test_members_follow_each_other(parts: list[bytes], step: int, most: int) -> None:
    packed = b"".join(map(gzip.compress, parts))
    assert stream(packed, step=step, most=most) == b"".join(parts)
    assert whole(packed) in {None, b"".join(parts)}


@pytest.mark.parametrize("data", [b"", b"x" * (SMALL_MEMBER - 1)], ids=len)
def test_a_file_of_tiny_members_is_refused(data: bytes) -> None:
    member = gzip.compress(data, mtime=0)
    assert stream(member * MOST_SMALL_MEMBERS) == data * MOST_SMALL_MEMBERS
    with pytest.raises(FormatError) as refusal:
        stream(member * (MOST_SMALL_MEMBERS + 1))
    assert refusal.value.offset == len(member) * (MOST_SMALL_MEMBERS + 1)


def test_members_that_bring_something_are_not_counted() -> None:
    data = b"x" * SMALL_MEMBER
    assert stream(gzip.compress(data) * (MOST_SMALL_MEMBERS + 1)) == data * (MOST_SMALL_MEMBERS + 1)


def test_two_equal_members_are_not_taken_for_one() -> None:
    packed = gzip.compress(MIXED, mtime=0)
    assert whole(packed + packed) is None
    assert stream(packed + packed) == MIXED + MIXED


def test_a_header_with_all_its_fields() -> None:
    body = gzip.compress(b"data", mtime=0)[10:]
    header = b"\x1f\x8b\x08\x1e" + bytes(4) + b"\x00\x03"
    extra, name, comment = b"\x04\x00abcd", b"name\x00", b"comment\x00"
    head = header + extra + name + comment
    packed = head + (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little") + body
    assert gzip.decompress(packed) == b"data"
    assert stream(packed) == b"data"
    assert whole(packed) == b"data"


@pytest.mark.parametrize("garbage", [b"\x00", b"x", b"\x1f\x8b", b"more of it", bytes(100)])
def test_what_follows_a_member_must_be_another(garbage: bytes) -> None:
    packed = gzip.compress(b"data" * 1000)
    assert whole(packed + garbage) is None
    with pytest.raises(CorruptAnswerError) as refusal:
        stream(packed + garbage)
    assert refusal.value.exit_code == 20
    assert refusal.value.file == "file"


def test_a_repeated_end_is_garbage_too() -> None:
    packed = gzip.compress(MIXED)
    for size in (8, 9, 1000):
        assert whole(packed + packed[-size:]) is None
        with pytest.raises(CorruptAnswerError):
            stream(packed + packed[-size:])


def test_every_cut_is_found() -> None:
    packed = gzip.compress(b"some data, and some more data")
    for size in range(1, len(packed)):
        assert whole(packed[:size]) is None
        with pytest.raises(CorruptAnswerError):
            stream(packed[:size])


def test_every_flipped_bit_is_found_or_means_nothing() -> None:
    data = b"some data, and some more data"
    packed = gzip.compress(data, mtime=0)
    for bit in range(8 * len(packed)):
        spoiled = bytearray(packed)
        spoiled[bit // 8] ^= 1 << bit % 8
        assert whole(bytes(spoiled)) in {None, data}
        try:
            assert stream(bytes(spoiled)) == data
        except CorruptAnswerError:
            continue
        # Flags that say nothing, time and system, and what fills the last byte of the content.
        assert bit // 8 in {3, 4, 5, 6, 7, 8, 9, len(packed) - 9}


def test_a_trailer_that_lies_costs_what_it_announces_and_is_refused() -> None:
    packed = gzip.compress(bytes(10_000_000))
    for lie in (0, 100, 9_999_999, 10_000_001):
        spoiled = packed[:-4] + lie.to_bytes(4, "little")
        assert whole(spoiled) is None
        with pytest.raises(CorruptAnswerError):
            stream(spoiled)


def test_damage_tells_where_it_is() -> None:
    packed = bytearray(gzip.compress(random.Random(2).randbytes(500_000)))
    packed[300_000] ^= 1
    packed[-6] ^= 1
    with pytest.raises(CorruptAnswerError) as refusal:
        stream(bytes(packed))
    assert refusal.value.offset is not None
    assert 0 < refusal.value.offset <= len(packed)
