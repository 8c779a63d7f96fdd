from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.errors import FormatError
from restore.wire.records import (
    MAX_RECORD_BYTES,
    FramedRecords,
    RecordCutter,
    RecordScanner,
    cut_records,
    frame,
)
from tests.kernels import KERNELS, using


@given(st.lists(st.binary(max_size=20), max_size=8), st.lists(st.integers(0, 200), max_size=10))
def test_records_come_back_however_the_stream_is_cut(records: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(frame, records))
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    cutter = RecordCutter()
    found = []
    for start, stop in pairwise(places):
        found += cutter.feed(data[start:stop])
        assert cutter.offset == sum(4 + len(record) for record in found)
    cutter.finish()
    assert found == records == cut_records(data)


@pytest.mark.parametrize(
    ("data", "records"),
    [("", []), ("00000003616263", [b"abc"]), ("00000000", [b""]), ("0000000000000000", [b"", b""])],
)
def test_the_examples_of_the_format_are_read(data: str, records: list[bytes]) -> None:
    assert cut_records(bytes.fromhex(data)) == records


@pytest.mark.parametrize(
    ("data", "offset", "expected", "found"),
    [
        ("000000", 0, "4 bytes", "3 bytes"),
        ("00000001", 0, "5 bytes", "4 bytes"),
        ("0000000a00", 0, "14 bytes", "5 bytes"),
        ("00000000 00", 4, "4 bytes", "1 bytes"),
        ("00000001ff 00000002ff", 5, "6 bytes", "5 bytes"),
    ],
)
def test_a_file_that_ends_inside_a_record_is_refused(
    data: str, offset: int, expected: str, found: str
) -> None:
    with pytest.raises(FormatError, match="ends inside a record") as caught:
        cut_records(bytes.fromhex(data))
    assert (caught.value.offset, caught.value.expected, caught.value.found) == (offset, expected, found)


@pytest.mark.parametrize("length", [MAX_RECORD_BYTES + 1, 2**31, 2**32 - 1])
def test_an_impossible_length_stops_before_anything_is_allocated(length: int) -> None:
    cutter = RecordCutter()
    cutter.feed(frame(b"fine"))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="too long") as caught:
            cutter.feed(frame(b"fine") + length.to_bytes(4, "big"))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert (caught.value.offset, caught.value.found) == (16, f"{length} bytes")


def test_an_announced_record_holds_only_what_arrived() -> None:
    cutter = RecordCutter()
    tracemalloc.start()
    try:
        assert cutter.feed(MAX_RECORD_BYTES.to_bytes(4, "big")) == []
        assert cutter.feed(b"beginning") == []
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert cutter.offset == 0


def test_a_large_record_in_small_pieces_is_put_together_once() -> None:
    record = bytes(4 << 20)
    data = frame(record)
    cutter = RecordCutter()
    found = [
        record for start in range(0, len(data), 1024) for record in cutter.feed(data[start : start + 1024])
    ]
    assert found == [record]


def test_a_record_that_no_reader_accepts_is_not_framed() -> None:
    with pytest.raises(FormatError, match="too long"):
        frame(bytes(MAX_RECORD_BYTES + 1))


def scan(data: bytes, cuts: list[int]) -> FramedRecords:
    """Looks at a file that grows up to each of `cuts`, and then to its end."""
    scanner = RecordScanner()
    for cut in sorted(cuts):
        scanner.scan(data[:cut])
    scanner.scan(data)
    return scanner.finish(data)


@pytest.mark.parametrize("form", KERNELS)
@settings(deadline=None)
@given(
    records=st.lists(st.binary(max_size=20), max_size=8),
    cuts=st.lists(st.integers(0, 200), max_size=10),
)
def test_a_file_is_looked_at_however_it_grows(form: str, records: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(frame, records))
    with using(form):
        found = scan(data, cuts)
    assert (found.count, found.size, found.cut()) == (len(records), len(data), records)


@pytest.mark.parametrize("form", KERNELS)
@settings(deadline=None)
@given(data=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=4))
def test_files_are_refused_in_the_words_of_the_cutter(form: str, data: bytes, cuts: list[int]) -> None:
    try:
        records: list[bytes] | None = cut_records(data)
    except FormatError as error:
        records, told = None, str(error)
    with using(form):
        if records is not None:
            assert scan(data, cuts).cut() == records
        else:
            with pytest.raises(FormatError) as caught:
                scan(data, cuts)
            assert str(caught.value) == told


@pytest.mark.parametrize("length", [MAX_RECORD_BYTES + 1, 2**31, 2**32 - 1])
def test_an_impossible_length_is_seen_as_soon_as_it_is_there(kernel: str, length: int) -> None:
    scanner = RecordScanner()
    data = frame(b"fine") + length.to_bytes(4, "big")
    scanner.scan(data[:-1])
    assert (scanner.offset, scanner.count) == (8, 1)
    with pytest.raises(FormatError, match="too long") as caught:
        scanner.scan(data)
    assert (caught.value.offset, caught.value.found) == (8, f"{length} bytes")
