"""Table files by their bytes, as `tests.kernel.tables`, which shares no code with the writer, reads them."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernel.tables import LZ4, STORED, TRAILER_BYTES, Row, TableFile, crc32c, read_table

native = pytest.importorskip("restore.kernel._native", reason="the C extension is not built")

Write: TypeAlias = Callable[[Iterable[Row]], bytes]

LARGEST_FILE = 100_000


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Writes rows to a file, and gives its bytes."""
    path = tmp_path_factory.mktemp("tables") / "rows.sst"

    def write(rows: Iterable[Row]) -> bytes:
        size = native.write_table(path, rows)
        data = path.read_bytes()
        path.unlink()
        assert len(data) == size
        return data

    return write


def random_rows(count: int, *, value_bytes: int = 100) -> list[Row]:
    """Rows of random keys and values, always the same."""
    source = random.Random(count)
    return sorted((source.randbytes(40), source.randbytes(value_bytes)) for _ in range(count))


def number(table: TableFile, name: str) -> int:
    """A property that is a varint."""
    value = table.properties[name]
    return sum((byte & 127) << 7 * place for place, byte in enumerate(value))


def test_the_reader_knows_the_published_checksum() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 1000])
def test_all_rows_are_there(write: Write, count: int) -> None:
    rows = random_rows(count)
    assert read_table(write(rows)).rows == rows


@pytest.mark.parametrize("size", [0, 1, 127, 128, 4095, 4096, 4097, 65_535, 65_536, 200_000, 600_000])
@pytest.mark.parametrize("kind", [random.Random(0).randbytes, bytes], ids=["random", "zeros"])
def test_a_value_of_any_size_keeps_its_bytes(write: Write, size: int, kind: Callable[[int], bytes]) -> None:
    rows = [(b"a", b"before"), (b"b", kind(size)), (b"c", b"after")]
    assert read_table(write(rows)).rows == rows


def test_keys_of_any_size_keep_their_bytes(write: Write) -> None:
    rows = [(b"k" * size, str(size).encode()) for size in range(301)]
    assert read_table(write(rows)).rows == rows


def test_keys_that_share_nearly_everything_keep_their_bytes(write: Write) -> None:
    rows = [(bytes(280) + number.to_bytes(8), b"") for number in range(2000)]
    assert read_table(write(rows)).rows == rows


@settings(max_examples=200, deadline=None)
@given(
    rows=st.dictionaries(
        st.lists(st.sampled_from([b"\0", b"\1", b"a", b"ab", b"\xff", b"\xff" * 30]), max_size=8).map(
            b"".join
        )
        | st.binary(max_size=300),
        st.builds(lambda piece, times: piece * times, st.binary(max_size=300), st.integers(0, 300)),
        min_size=1,
    ).map(lambda rows: sorted(rows.items()))
)
def test_any_rows_come_back(write: Write, rows: list[Row]) -> None:
    assert read_table(write(rows)).rows == rows


def test_blocks_are_as_large_as_rocksdb_makes_them(write: Write) -> None:
    blocks = read_table(write(random_rows(1000))).blocks
    assert {block.compression for block in blocks} == {STORED}
    assert all(3686 < block.stored_bytes <= 4096 for block in blocks[:-1])


def test_what_compresses_is_compressed(write: Write) -> None:
    rows = [(key, value[:10] * 20) for key, value in random_rows(1000)]
    table = read_table(write(rows))
    assert {block.compression for block in table.blocks} == {LZ4}
    assert table.rows == rows
    assert number(table, "rocksdb.data.size") < 90 * len(rows)


def test_a_block_that_is_not_nearly_full_takes_a_large_row(write: Write) -> None:
    rows = [(bytes([first]), bytes(3000)) for first in range(10)]
    assert [len(block.rows) for block in read_table(write(rows)).blocks] == [2] * 5


def test_after_a_block_that_does_not_compress_one_is_not_tried(write: Write) -> None:
    source = random.Random(3)
    rows = [(b"a", source.randbytes(4000)), (b"b", bytes(4000)), (b"c", bytes(4000)), (b"d", bytes(4000))]
    assert [block.compression for block in read_table(write(rows)).blocks] == [STORED, STORED, LZ4, LZ4]


@pytest.mark.parametrize("random_blocks", range(60, 76))
def test_compression_is_tried_again_within_nine_blocks(write: Write, random_blocks: int) -> None:
    source = random.Random(random_blocks)
    values = [source.randbytes(4000) for _ in range(random_blocks)] + [bytes(4000)] * 20
    blocks = read_table(write([(bytes([key]), value) for key, value in enumerate(values)])).blocks
    kinds = [block.compression for block in blocks]
    assert kinds[:random_blocks] == [STORED] * random_blocks
    assert kinds[random_blocks + 8 :] == [LZ4] * 12


def test_a_match_beyond_the_reach_of_lz4_is_none(write: Write) -> None:
    piece = random.Random(7).randbytes(1000)
    for gap in (65_535 - 1000, 65_536 - 1000, 70_000):
        rows = [(b"key", piece + bytes(gap) + piece)]
        table = read_table(write(rows))
        assert table.blocks[0].compression == LZ4
        assert table.rows == rows


def test_a_match_too_near_to_the_end_is_none(write: Write) -> None:
    # Behind the value follow four zeros and four bytes more; a match may start 12 before the end.
    for tail in (b"-abc", b"-abcd", b"-abcde"):
        rows = [(b"key", tail[1:] + bytes(60) + tail)]
        table = read_table(write(rows))
        assert table.blocks[0].compression == LZ4
        assert table.rows == rows


def test_separators_are_short(write: Write) -> None:
    blocks = read_table(write(random_rows(1000))).blocks
    assert all(len(block.separator) <= 4 for block in blocks[:-1])
    assert blocks[-1].separator == blocks[-1].rows[-1][0]


@pytest.mark.parametrize(
    ("last", "following", "separator"),
    [
        (b"abcd", b"abxy", b"abd"),
        (b"abcd", b"abdz", b"abd"),
        (b"abcd", b"abd", b"abcd"),
        (b"ab", b"abcd", b"ab"),
        (b"a\xfe\xff", b"a\xff", b"a\xfe\xff"),
        (b"a\xfe\xff", b"a\xff\0", b"a\xff"),
    ],
)
def test_a_separator_lies_between_its_neighbours(
    write: Write, last: bytes, following: bytes, separator: bytes
) -> None:
    rows = [(last, bytes(5000)), (following, bytes(5000))]
    blocks = read_table(write(rows)).blocks
    assert [block.separator for block in blocks] == [separator, following]


def test_the_properties_count_what_is_there(write: Write) -> None:
    rows = random_rows(500)
    data = write(rows)
    table = read_table(data)
    assert number(table, "rocksdb.num.entries") == 500
    assert number(table, "rocksdb.num.data.blocks") == len(table.blocks)
    assert number(table, "rocksdb.raw.key.size") == 500 * 48
    assert number(table, "rocksdb.raw.value.size") == 500 * 100
    stored = sum(block.stored_bytes + TRAILER_BYTES for block in table.blocks)
    assert number(table, "rocksdb.data.size") == number(table, "rocksdb.tail.start.offset") == stored
    assert stored + number(table, "rocksdb.index.size") < len(data)


def test_no_property_makes_two_files_one_to_the_block_cache(write: Write) -> None:
    properties = read_table(write(random_rows(1))).properties
    assert "rocksdb.creating.session.identity" not in properties
    assert "rocksdb.original.file.number" not in properties


def test_the_same_rows_give_the_same_bytes(write: Write) -> None:
    rows = random_rows(300)
    assert write(iter(rows)) == write(tuple(rows))


def test_files_are_written_side_by_side(tmp_path: Path) -> None:
    rows = {tmp_path / f"{count}.sst": random_rows(count) for count in range(100, 500, 50)}
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(native.write_table, rows, rows.values()))
    assert {path: read_table(path.read_bytes()).rows for path in rows} == rows


@pytest.mark.parametrize("path", [str, os.fsencode, Path], ids=["str", "bytes", "Path"])
def test_a_path_is_whatever_python_takes_for_one(tmp_path: Path, path: Callable[[Path], str]) -> None:
    file = tmp_path / os.fsdecode(b"tab\xff\xc3\xa4le.sst")
    assert native.write_table(path(file), [(b"a", b"b")]) == file.stat().st_size


@pytest.mark.parametrize(
    "keys", [[], [b"b", b"a"], [b"a", b"a"], [b"ab", b"a"], [b"", b""], [b"\x80", b"\x7f"]], ids=repr
)
def test_keys_that_do_not_ascend_are_refused(tmp_path: Path, keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        native.write_table(tmp_path / "table.sst", [(key, b"") for key in keys])
    assert not list(tmp_path.iterdir())


def test_keys_that_do_not_ascend_are_refused_after_many_that_do(tmp_path: Path) -> None:
    rows = random_rows(10_000)
    with pytest.raises(ValueError, match="ascend"):
        native.write_table(tmp_path / "table.sst", [*rows, rows[0]])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "rows",
    [[(b"a", "b")], [("a", b"b")], [(b"a",)], [(b"a", b"b", b"c")], [[b"a", b"b"]], [b"ab"], 5, None],
    ids=repr,
)
def test_rows_that_are_no_pairs_of_bytes_are_refused(tmp_path: Path, rows: list[Row]) -> None:
    with pytest.raises(TypeError):
        native.write_table(tmp_path / "table.sst", rows)
    assert not list(tmp_path.iterdir())


def test_an_error_while_rows_are_made_is_that_error(tmp_path: Path) -> None:
    def rows() -> Iterable[Row]:
        yield b"a", b"b"
        raise LookupError

    with pytest.raises(LookupError):
        native.write_table(tmp_path / "table.sst", rows())
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "table.sst"
    file.write_bytes(b"kept")
    with pytest.raises(FileExistsError) as error:
        native.write_table(file, [(b"a", b"b")])
    assert error.value.filename == file
    assert file.read_bytes() == b"kept"


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        native.write_table(tmp_path / "missing" / "table.sst", [(b"a", b"b")])


def test_a_path_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        native.write_table("table\0.sst", [(b"a", b"b")])


@pytest.mark.parametrize("value_bytes", [100, 2 * LARGEST_FILE], ids=["small rows", "one large row"])
def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path, value_bytes: int) -> None:
    rows = random_rows(LARGEST_FILE // value_bytes * 5 + 1, value_bytes=value_bytes)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            native.write_table(tmp_path / "table.sst", rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.filename == tmp_path / "table.sst"
    assert not list(tmp_path.iterdir())


def test_bytes_of_rows_are_those_of_keys_and_values() -> None:
    assert native.row_bytes([]) == 0
    assert native.row_bytes([(b"key", b""), (b"k", b"value")]) == 9


@pytest.mark.parametrize("rows", [((b"k", b"v"),), [(b"k",)], [(b"k", "v")], [[b"k", b"v"]]], ids=repr)
def test_bytes_of_other_rows_are_an_error(rows: object) -> None:
    with pytest.raises(TypeError):
        native.row_bytes(rows)
