"""Chunks that somebody made to do harm: nothing beyond them is read, and both forms say the same of them."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import pytest

from restore.catalog.manifests import HashValue, StateSnapshotChunk
from restore.errors import RestoreError
from restore.kernel.choice import PURE
from restore.ledger.hashes import APTOS
from restore.proof.snapshot import FrontierProver, SnapshotProver, TreeProver
from restore.snapshot import decode_chunk
from restore.target.chunk_rows import ColumnRows, node_groups, value_groups
from restore.wire.records import FramedRecords, RecordScanner, frame
from tests.kernel.chunks import Columns, expected_columns, framed_items, made_items
from tests.kernel.tables import read_table
from tests.kernels import NATIVE, using

native = pytest.importorskip("restore.kernel._native", reason="the C extension is not built")

VERSION = 7

Told: TypeAlias = tuple[object, ...]


def exactly(data: bytes) -> memoryview:
    """The bytes with nothing behind them: `bytes` end with a zero, of which no sanitizer knows."""
    before = bytes(16)  # else ctypes would keep few bytes in a larger place of its own
    held = (ctypes.c_char * (len(before) + len(data))).from_buffer_copy(before + data)
    return memoryview(held).cast("B")[len(before) :]


RECORDS = [item.key + item.value for item in made_items(40)]
RECORDS += [b"\x02\x00\x00\x00", b"\x02\x00\x01\x00\x00" + bytes(16)]


@pytest.mark.parametrize("record", sorted(RECORDS, key=len)[:30], ids=len)
def test_nothing_beyond_the_file_is_read(record: bytes) -> None:
    for size in range(len(record)):
        assert columns_like_python(frame(record[:size]), 1) is None
    before, file = len(frame(RECORDS[0])), frame(RECORDS[0]) + frame(record)
    for size in range(before, len(file)):
        assert columns_like_python(file[:size], 2) is None
        assert native.scan_records(exactly(file[:size]), 0) == (before, 1)
    assert columns_like_python(file, 2) is not None
    assert native.scan_records(exactly(file), 0) == (len(file), 2)


def columns_like_python(data: bytes, count: int) -> Columns | None:
    found: Columns | None = native.state_columns(exactly(data), count, APTOS.state_key, APTOS.state_value)
    assert found == expected_columns(data, count)
    return found


def test_rows_reach_to_the_end_of_the_file_and_no_further(tmp_path: Path) -> None:
    records = framed_items(made_items(600))
    exact = FramedRecords(exactly(bytes(records.data)), records.count)
    with using(NATIVE):
        items, part = decode_chunk(APTOS, chunk_of(exact), exact, TreeProver(APTOS, VERSION))
        for number, (_, groups) in enumerate(
            [*value_groups(VERSION, items), *node_groups(VERSION, part.nodes)]
        ):
            for group in groups:
                assert isinstance(group, ColumnRows)
                file = tmp_path / f"{number}-{group.depth}-{group.first}"
                group.write(file)
                assert read_table(file.read_bytes()).rows == group.pairs()


def chunk_of(records: FramedRecords) -> StateSnapshotChunk:
    """What an honest manifest says of a chunk, or would if it were sound."""
    columns = expected_columns(bytes(records.data), records.count)
    leaves = columns[1] if columns else bytes(64)
    first, last = HashValue(leaves[:32]), HashValue(leaves[-64:-32])
    return StateSnapshotChunk(0, records.count - 1, first, last, blobs="chunk", proof="proof")


def swap_two(source: random.Random, records: list[bytes]) -> None:
    one, other = (source.randrange(1, len(records) - 1) for _ in range(2))
    records[one], records[other] = records[other], records[one]


def repeat_one(source: random.Random, records: list[bytes]) -> None:
    one = source.randrange(len(records) - 1)
    records[one] = records[one + 1]


def reverse(_: random.Random, records: list[bytes]) -> None:
    records.reverse()


def change_a_byte(source: random.Random, records: list[bytes]) -> None:
    one = source.randrange(len(records))
    place = source.randrange(len(records[one]))
    byte = bytes([source.choice([0, 1, 2, 3, 0x7F, 0x80, 0xFF])])
    records[one] = records[one][:place] + byte + records[one][place + 1 :]


def cut_one(source: random.Random, records: list[bytes]) -> None:
    one = source.randrange(len(records))
    records[one] = records[one][: source.randrange(len(records[one]))]


def keep_one(source: random.Random, records: list[bytes]) -> None:
    records[:] = [source.choice(records)]


def harmed(harm: Callable[[random.Random, list[bytes]], None]) -> Iterator[FramedRecords]:
    """Chunks of few and of many items with some harm done, always the same."""
    source = random.Random(harm.__name__)
    while True:
        records = [item.key + item.value for item in made_items(source.choice([3, 4, 30]))]
        harm(source, records)
        yield FramedRecords(b"".join(map(frame, records)), len(records))


def told(form: str, prover: SnapshotProver, records: FramedRecords) -> Told:
    """All that comes of a chunk: its edge and its rows, or the error with all it says."""
    with using(form):
        scanner = RecordScanner()
        scanner.scan(records.data)
        found = scanner.finish(records.data)
        try:
            items, part = decode_chunk(APTOS, chunk_of(records), found, prover)
        except RestoreError as error:
            return type(error), str(error), error.expected, error.found, error.offset, error.file, error.hint
        groups = [*value_groups(VERSION, items), *node_groups(VERSION, part.nodes)]
        rows = {
            (table, row)
            for table, parts in groups
            for group in parts
            for row in (group if isinstance(group, list) else group.pairs())
        }
        return part.edge, items.usage, rows


@pytest.mark.parametrize(
    "prover", [FrontierProver(APTOS), TreeProver(APTOS, VERSION)], ids=["frontier", "tree"]
)
@pytest.mark.parametrize("harm", [swap_two, repeat_one, reverse, change_a_byte, cut_one, keep_one])
def test_both_forms_say_the_same_of_a_harmed_chunk(
    prover: SnapshotProver, harm: Callable[[random.Random, list[bytes]], None]
) -> None:
    for records in islice(harmed(harm), 40):
        by_kernel, by_python = told(NATIVE, prover, records), told(PURE, prover, records)
        if isinstance(prover, FrontierProver) and isinstance(by_kernel[0], list):
            # The edge of columns has subtrees where that of objects has leaves.
            assert by_kernel[1:] == by_python[1:]
        else:
            assert by_kernel == by_python
