"""State chunks in columns against the Python forms: the same hashes, and the same files refused."""

from __future__ import annotations

import mmap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore.ledger.hashes import APTOS, Domain
from restore.proof.items import LEAF_BYTES
from restore.wire.bcs import HASH_BYTES, encode_bytes
from restore.wire.records import LENGTH_BYTES, MAX_RECORD_BYTES, RecordCutter, frame
from tests.kernel.chunks import Columns, expected_columns, framed, framed_items, made_items
from tests.wire.values import encoded

native = pytest.importorskip("restore.kernel._native", reason="the C extension is not built")

properties = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

ADDRESS = bytes(range(32))
PATH = b"\x00" + ADDRESS + encode_bytes(b"path")
TABLE = b"\x01" + ADDRESS + encode_bytes(b"key")
RAW = b"\x02" + encode_bytes(b"raw")
METADATA_V0 = b"\x00" + bytes(16)
METADATA_V1 = b"\x01" + bytes(8) + b"\x01" + bytes(15)
SMALL = {
    "path": PATH + b"\x00" + encode_bytes(b"value"),
    "table item": TABLE + b"\x01" + encode_bytes(b"value") + METADATA_V0,
    "raw": RAW + b"\x01" + encode_bytes(b"value") + METADATA_V1,
    "nothing": b"\x02\x00\x00\x00",
    "two bytes of length": TABLE[:33] + encode_bytes(b"k" * 128) + b"\x00" + encode_bytes(b"v" * 128),
}
"""Records of all kinds, to be damaged everywhere."""

TELLING = (0, 1, 2, 3, 4, 5, 0x10, 0x7F, 0x80, 0x81, 0xFF)
"""Bytes that are variants, or lengths of one byte and more."""


def columns(data: bytes | bytearray | memoryview, count: int, domain: Domain = APTOS) -> Columns | None:
    found: Columns | None = native.state_columns(data, count, domain.state_key, domain.state_value)
    return found


def assert_same(data: bytes, count: int) -> None:
    assert columns(data, count) == expected_columns(data, count)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 511, 512, 513, 1023, 1024, 1025, 5000])
def test_items_of_all_kinds_have_the_same_columns(count: int) -> None:
    records = framed_items(made_items(count))
    found = columns(bytes(records.data), count)
    assert found is not None
    assert len(found[1]) == LEAF_BYTES * count
    assert found == expected_columns(bytes(records.data), count)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 70_000])
@pytest.mark.parametrize("metadata", [None, METADATA_V0, METADATA_V1])
@pytest.mark.parametrize("key", [b"\x00" + ADDRESS, b"\x01" + ADDRESS, b"\x02"])
def test_keys_and_values_of_all_sizes_have_the_same_columns(
    key: bytes, metadata: bytes | None, size: int
) -> None:
    data = encode_bytes(b"d" * size)
    value = b"\x00" + data if metadata is None else b"\x01" + data + metadata
    records = framed([key + encode_bytes(b"k" * size) + value, key + b"\x00" + value, PATH + value])
    assert columns(bytes(records.data), 3) is not None
    assert_same(bytes(records.data), 3)


@pytest.mark.parametrize(
    ("key", "key_hash"),
    [
        ("0203010203", "655ab5766bc87318e18d9287f32d318e15535d3db9d21a6e5a2b41a51b535aff"),
        (
            "01" + "1002".zfill(64) + "03070203",
            "6f5550015f7a6036f88b2458f98a7e4800aba09e83f8f294dbf70bff77f224e6",
        ),
    ],
)
def test_keys_have_their_known_hashes(key: str, key_hash: str) -> None:
    found = columns(frame(bytes.fromhex(key) + b"\x00\x00"), 1)
    assert found is not None
    assert found[1][:HASH_BYTES].hex() == key_hash


def test_the_seeds_are_those_that_are_given() -> None:
    data = frame(SMALL["path"])
    assert columns(data, 1, Domain("DIEM::")) != columns(data, 1)


@properties
@given(st.lists(encoded("StateRecord"), min_size=1, max_size=12))
def test_every_well_formed_chunk_is_read(records: list[bytes]) -> None:
    data = bytes(framed(records).data)
    assert columns(data, len(records)) is not None
    assert_same(data, len(records))


@pytest.mark.parametrize("record", SMALL.values(), ids=SMALL)
def test_a_record_with_any_byte_changed_is_refused_where_the_python_form_does(record: bytes) -> None:
    for place, byte in enumerate(record):
        for other in {*TELLING, byte ^ 1, byte ^ 0x80, byte - 1 & 0xFF, byte + 1 & 0xFF}:
            assert_same(frame(record[:place] + bytes([other]) + record[place + 1 :]), 1)


@pytest.mark.parametrize("record", SMALL.values(), ids=SMALL)
def test_a_record_cut_short_or_made_longer_is_refused(record: bytes) -> None:
    assert columns(frame(record), 1) is not None
    for other in [record[:size] for size in range(len(record))] + [record + b"\x00", record + record]:
        assert columns(frame(other), 1) is None
        assert_same(frame(other), 1)
    for place in range(len(record)):
        for byte in (b"\x00", b"\x01", b"\x80", b"\xff"):
            assert_same(frame(record[:place] + byte + record[place:]), 1)
        assert_same(frame(record[:place] + record[place + 1 :]), 1)


@pytest.mark.parametrize(
    "length",
    [
        b"\x80\x00",
        b"\x84\x00",
        b"\x84\x80\x00",
        b"\xff\xff\xff\xff\x07",
        b"\xff\xff\xff\xff\x08",
        b"\xff\xff\xff\xff\x0f",
        b"\xff\xff\xff\xff\x10",
        b"\x84\x80\x80\x80\x80\x00",
        b"\xff" * 10,
    ],
    ids=bytes.hex,
)
def test_lengths_that_are_no_lengths_are_refused(length: bytes) -> None:
    for record in (
        PATH[:33] + length + b"path" + b"\x00\x00",
        TABLE[:33] + length + b"path" + b"\x00\x00",
        b"\x02" + length + b"path" + b"\x00\x00",
        RAW + b"\x00" + length + b"data",
        RAW + b"\x01" + length + b"data" + METADATA_V0,
    ):
        assert columns(frame(record), 1) is None
        assert_same(frame(record), 1)


def test_a_frame_with_any_byte_changed_is_refused_where_the_python_form_does() -> None:
    data = b"".join(frame(SMALL[name]) for name in ("path", "nothing", "raw"))
    second = LENGTH_BYTES + len(SMALL["path"])
    third = second + LENGTH_BYTES + len(SMALL["nothing"])
    for start in (0, second, third):
        for place in range(start, start + LENGTH_BYTES):
            for byte in range(256):
                assert_same(data[:place] + bytes([byte]) + data[place + 1 :], 3)


def test_a_file_cut_short_or_made_longer_is_refused() -> None:
    data = b"".join(frame(SMALL[name]) for name in ("path", "nothing", "raw"))
    for size in range(3 * LENGTH_BYTES, len(data)):
        assert columns(data[:size], 3) is None
    for more in (b"\x00", bytes(4), frame(SMALL["raw"])):
        assert columns(data + more, 3) is None


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_another_number_of_records_is_refused(count: int) -> None:
    data = b"".join(frame(SMALL[name]) for name in ("path", "table item", "raw"))
    assert columns(data, 3) is not None
    assert columns(data, count) is None


@properties
@given(st.binary(max_size=200), st.integers(1, 3))
def test_random_bytes_are_refused_by_both(data: bytes, count: int) -> None:
    if count <= len(data) // LENGTH_BYTES:
        assert_same(data, count)


@settings(properties, max_examples=400)
@given(st.lists(encoded("StateRecord"), min_size=1, max_size=5), st.data())
def test_damaged_chunks_are_refused_where_the_python_form_does(
    records: list[bytes], data: st.DataObject
) -> None:
    damaged = bytearray(framed(records).data)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        kind = data.draw(st.sampled_from(["change", "insert", "remove"]))
        if kind == "change":
            damaged[place] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            damaged.insert(place, data.draw(st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF])))
        elif len(damaged) > LENGTH_BYTES * len(records):
            del damaged[place]
    assert_same(bytes(damaged), len(records))


@properties
@given(st.lists(encoded("StateRecord"), min_size=1, max_size=4), st.data())
def test_damaged_records_in_sound_frames_are_refused_where_the_python_form_does(
    records: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(records) - 1))
    record = bytearray(records[index])
    place = data.draw(st.integers(0, len(record) - 1))
    record[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    records[index] = bytes(record)
    assert_same(bytes(framed(records).data), len(records))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do_and_is_let_go_of(kind: Any) -> None:
    data = bytearray(frame(SMALL["raw"]))
    assert columns(kind(bytes(data)), 1) == expected_columns(bytes(data), 1)
    assert columns(data, 1) is not None
    data.append(0)  # a buffer that is still held could not grow
    assert columns(data, 1) is None
    data.append(0)
    for arguments in ((data, 0, bytes(32), bytes(32)), (data, 1, bytes(32), bytes(31))):
        with pytest.raises(ValueError, match="cannot be"):
            native.state_columns(*arguments)
    with pytest.raises(TypeError):
        native.state_columns(data, 1, bytes(32), "seed")
    data.append(0)


@pytest.mark.parametrize("count", [0, -1, 2, 2**40, -(2**63)])
def test_a_number_of_records_that_cannot_be_is_an_error(count: int) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        native.state_columns(bytes(2 * LENGTH_BYTES - 1), count, bytes(32), bytes(32))


OTHER: dict[str, tuple[Any, ...]] = {
    "none": (),
    "too few": (b"datadata", 1, bytes(32)),
    "text": ("datadata", 1, bytes(32), bytes(32)),
    "bytes as a number": (b"datadata", b"1", bytes(32), bytes(32)),
    "no seed": (b"datadata", 1, None, bytes(32)),
    "bytes with gaps": (memoryview(b"datadata")[::2], 1, bytes(32), bytes(32)),
}
"""Arguments of other types, by what is wrong with them."""


@pytest.mark.parametrize("name", OTHER)
def test_arguments_of_other_types_are_errors(name: str) -> None:
    with pytest.raises((TypeError, BufferError)):
        native.state_columns(*OTHER[name])


def test_threads_do_the_same_at_the_same_time() -> None:
    records = framed_items(made_items(5000))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: columns(records.data, records.count), range(8)))
    assert found == [columns(records.data, records.count)] * 8


@properties
@given(st.lists(st.binary(max_size=20), max_size=8), st.binary(max_size=6), st.data())
def test_whole_records_are_found_as_the_cutter_finds_them(
    records: list[bytes], rest: bytes, data: st.DataObject
) -> None:
    file = b"".join(map(frame, records)) + rest[:3]
    cutter = RecordCutter()
    cutter.feed(file)
    assert native.scan_records(file, 0) == (cutter.offset, len(records))
    if records:  # from the beginning of any record on
        index = data.draw(st.integers(0, len(records) - 1))
        offset = sum(LENGTH_BYTES + len(record) for record in records[:index])
        assert native.scan_records(file, offset) == (cutter.offset, len(records) - index)


@pytest.mark.parametrize("length", [MAX_RECORD_BYTES + 1, 2**31, 2**32 - 1])
def test_an_impossible_length_is_where_whole_records_end(length: int) -> None:
    with mmap.mmap(-1, MAX_RECORD_BYTES + 64) as file:  # untouched pages cost nothing
        file[:5] = frame(b"x")
        file[5:9] = length.to_bytes(LENGTH_BYTES, "big")
        assert native.scan_records(file, 0) == (5, 1)
        file[5:9] = MAX_RECORD_BYTES.to_bytes(LENGTH_BYTES, "big")
        end = 5 + LENGTH_BYTES + MAX_RECORD_BYTES
        empty = (len(file) - end) // LENGTH_BYTES
        assert native.scan_records(file, 0) == (end + LENGTH_BYTES * empty, 2 + empty)


@pytest.mark.parametrize("offset", [-1, 9, 2**62, -(2**63)])
def test_an_offset_outside_the_file_is_an_error(offset: int) -> None:
    data = bytearray(8)
    assert native.scan_records(data, 8) == (8, 0)
    with pytest.raises(ValueError, match="outside"):
        native.scan_records(data, offset)
    data.append(0)
