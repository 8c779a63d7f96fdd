"""Table files as RocksDB takes them: moved into an instance as a restore does it, and read in every way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rocksdict import BlockBasedOptions, ChecksumType, SstFileWriter

from restore.errors import DamagedTargetError
from restore.target.instance import BLOCK_BYTES, FORMAT_VERSION, Instance, Mode, Resources
from tests.kernel.tables import FOOTER_BYTES, Row, read_table

native = pytest.importorskip("restore.kernel._native", reason="the C extension is not built")

FAMILY, OTHER = "rows", "others"


class Database:
    """An instance that can be closed and opened again, and files to move into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = 0
        self.instance = self._open("create")

    def _open(self, mode: Mode) -> Instance:
        return Instance(self.folder / "db", [FAMILY, OTHER], resources=Resources(1), mode=mode)

    def reopen(self) -> None:
        self.instance.close()
        self.instance = self._open("write")

    def file(self, rows: list[Row]) -> Path:
        """A table file of these rows."""
        self.files += 1
        path = self.folder / f"{self.files}.sst"
        native.write_table(path, rows)
        return path

    def ingest(self, *rows: list[Row], family: str = FAMILY) -> None:
        """Moves one file for each list of rows in, all at once."""
        self.instance.ingest(family, [self.file(each) for each in rows])

    def compact(self) -> None:
        """Makes RocksDB read all files and write them anew."""
        self.instance.flush()
        self.instance._views[FAMILY].compact_range(None, None)

    def rows(self, family: str = FAMILY) -> list[Row]:
        return list(self.instance.scan(family))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A new database."""
    database = Database(tmp_path)
    yield database
    database.instance.close()


def make_rows(count: int, *, seed: int = 0, value: Callable[[bytes], bytes] = bytes) -> list[Row]:
    """Rows of random keys, always the same; `value` makes 100 random bytes a value."""
    source = random.Random(f"{seed} {count}")
    return sorted((source.randbytes(40), value(source.randbytes(100))) for _ in range(count))


def assert_reads(database: Database, rows: list[Row]) -> None:
    """Every way of reading finds these rows, and no other."""
    instance = database.instance
    assert database.rows() == rows
    keys = [key for key, _ in rows]
    assert instance.get_many(FAMILY, keys) == [value for _, value in rows]
    assert instance.last(FAMILY) == rows[-1]
    seek = instance.seeker(FAMILY)
    for at in range(0, len(rows), len(rows) // 50 + 1):
        key, value = rows[at]
        assert instance.get(FAMILY, key) == value
        assert seek(key) == rows[at]
        assert seek(key + b"\0") == (rows[at + 1] if at + 1 < len(rows) else None)
        assert instance.last(FAMILY, below=key + b"\0") == rows[at]
        assert instance.get(FAMILY, key + b"\0") is None
    assert instance.last(FAMILY, below=b"") is None


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 1000, 100_000])
def test_rows_are_found(database: Database, count: int) -> None:
    rows = make_rows(count)
    database.ingest(rows)
    assert_reads(database, rows)


@pytest.mark.parametrize(
    "value",
    [lambda data: data[:10] * 20, lambda _: b"", lambda data: data * (data[0] * data[1] // 32)],
    ids=["compressible", "empty", "up to 200,000 bytes"],
)
def test_values_of_every_kind_are_found(database: Database, value: Callable[[bytes], bytes]) -> None:
    rows = make_rows(300, value=value)
    database.ingest(rows)
    assert_reads(database, rows)


def test_keys_of_any_size_are_found(database: Database) -> None:
    source = random.Random(1)
    rows = sorted((source.randbytes(size // 2) + bytes(size - size // 2), b"") for size in range(1, 301))
    database.ingest(rows)
    assert_reads(database, rows)


def test_keys_by_number_are_found(database: Database) -> None:
    rows = [(version.to_bytes(8), version.to_bytes(8, "little") * 9) for version in range(250, 5000)]
    database.ingest(rows)
    assert_reads(database, rows)


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=3000), min_size=1))
def test_any_rows_are_found(tmp_path_factory: pytest.TempPathFactory, rows: dict[bytes, bytes]) -> None:
    database = Database(tmp_path_factory.mktemp("database"))
    try:
        database.ingest(sorted(rows.items()))
        assert_reads(database, sorted(rows.items()))
    finally:
        database.instance.close()


def test_a_file_says_of_itself_what_that_of_rocksdb_says(database: Database) -> None:
    rows = make_rows(3000, value=lambda data: data[:50] * 2)
    own = read_table(database.file(rows).read_bytes())
    theirs = read_table(_file_of_rocksdb(database.folder / "theirs.sst", rows))
    assert own.rows == theirs.rows == rows
    sizes = {"rocksdb.data.size", "rocksdb.index.size", "rocksdb.tail.start.offset"}
    of_the_writer = {
        "rocksdb.compression_options",
        "rocksdb.creating.db.identity",
        "rocksdb.creating.host.identity",
        "rocksdb.creating.session.identity",
        "rocksdb.original.file.number",
    }
    assert set(theirs.properties) - set(own.properties) == of_the_writer
    different = {name for name, value in own.properties.items() if theirs.properties.get(name) != value}
    assert different <= sizes


def _file_of_rocksdb(file: Path, rows: list[Row]) -> bytes:
    """A file that RocksDB wrote with a restore's options, but for the checksum, which there is XXH3."""
    table = BlockBasedOptions()
    table.set_format_version(FORMAT_VERSION)
    table.set_block_size(BLOCK_BYTES)
    table.set_checksum_type(ChecksumType.crc32c())
    options = Resources(1).options
    options.set_block_based_table_factory(table)
    writer = SstFileWriter(options)
    writer.open(str(file))
    for key, value in rows:
        writer[key] = value
    writer.finish()
    return file.read_bytes()


def test_rows_equal_those_of_rocksdbs_own_file(database: Database) -> None:
    rows = make_rows(5000, value=lambda data: data[:60] + bytes(40))
    database.instance.build_table(database.folder / "theirs.sst", rows)
    database.instance.ingest(OTHER, [database.folder / "theirs.sst"])
    database.ingest(rows)
    assert database.rows(FAMILY) == database.rows(OTHER) == rows


def test_several_files_of_one_family_are_not_mixed_up(database: Database) -> None:
    rows = make_rows(4000)
    database.ingest(*(rows[start : start + 500] for start in range(0, 4000, 500)))
    assert_reads(database, rows)
    database.reopen()
    assert_reads(database, rows)


def test_files_lie_beside_rows_that_are_there(database: Database) -> None:
    rows = make_rows(3000)
    database.instance.write({FAMILY: rows[:1000]})
    database.ingest(rows[1000:2000])
    database.instance.write({FAMILY: rows[2000:]})
    assert_reads(database, rows)


def test_a_file_over_rows_that_are_there_replaces_them(database: Database) -> None:
    rows = make_rows(1000)
    second = [(key, b"second") for key, _ in rows[::2]]
    third = [(key, b"third") for key, _ in rows[::3]]
    database.ingest(rows)
    database.instance.write({FAMILY: second})
    database.ingest(third)
    assert_reads(database, sorted({**dict(rows), **dict(second), **dict(third)}.items()))
    database.reopen()
    assert_reads(database, sorted({**dict(rows), **dict(second), **dict(third)}.items()))


def test_the_same_file_twice_leaves_the_same_rows(database: Database) -> None:
    rows = make_rows(1000)
    database.ingest(rows)
    database.reopen()
    database.ingest(rows)
    assert_reads(database, rows)


def test_compaction_keeps_every_row(database: Database) -> None:
    rows = make_rows(3000)
    newer = [(key, b"newer") for key, _ in rows[::2]]
    database.ingest(rows[:2000], rows[2000:])
    database.ingest(newer)
    database.compact()
    assert_reads(database, sorted((dict(rows) | dict(newer)).items()))
    database.reopen()
    assert_reads(database, sorted((dict(rows) | dict(newer)).items()))


def test_every_flipped_byte_of_a_block_is_found(database: Database) -> None:
    rows = make_rows(8, value=lambda data: data[:10] * 2)
    database.ingest(rows)
    database.instance.close()
    (file,) = (database.folder / "db").glob("*.sst")
    whole = file.read_bytes()
    block = read_table(whole).blocks[0].stored_bytes + 5
    for place in [*range(0, block, 17), *range(block - 6, block)]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
        database.instance = database._open("read")
        with pytest.raises(DamagedTargetError):
            database.rows()
        database.instance.close()
    file.write_bytes(whole)
    database.instance = database._open("write")
    assert_reads(database, rows)


@pytest.mark.parametrize("size", [0, 1, FOOTER_BYTES, 300])
def test_a_file_that_is_cut_off_is_not_taken(database: Database, size: int) -> None:
    file = database.file(make_rows(10))
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(DamagedTargetError):
        database.instance.ingest(FAMILY, [file])
