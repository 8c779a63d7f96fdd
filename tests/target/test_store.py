"""The 42 instances: what is on disk, what survives, and how each failure of RocksDB reads."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rocksdict import AccessType, Options, Rdict

from restore.errors import (
    AccessDeniedError,
    DamagedTargetError,
    DiskFullError,
    LockedError,
    ResourceError,
    RestoreError,
)
from restore.target.instance import _typed
from restore.target.mark import SIDE_FOLDER
from restore.target.schema import (
    INSTANCES,
    STATE_VALUES,
    TRANSACTION,
    TRANSACTION_BY_HASH,
    TRANSACTION_DB,
    VERSION_DATA,
    KeyValue,
    Table,
)
from restore.target.store import TABLE_ROWS, RocksStore

VALUES = STATE_VALUES[3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "database"
    (folder / SIDE_FOLDER).mkdir(parents=True)
    return folder


@pytest.fixture
def store(database: Path) -> Iterator[RocksStore]:
    opened = RocksStore.open(database)
    yield opened
    opened.close()


def rows_of(first: int, count: int, *, size: int = 20) -> list[KeyValue]:
    return [(number.to_bytes(40), os.urandom(size)) for number in range(first, first + count)]


def keep(store: RocksStore, table: Table, groups: list[list[KeyValue]]) -> None:
    store.move_in(store.stage(table, groups))


def files(root: Path, pattern: str) -> list[Path]:
    return sorted(root.rglob(pattern))


def in_child(code: str, *arguments: object) -> str:
    """Runs code in another Python; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def levels(root: Path, table: Table) -> list[int]:
    """The levels of all table files of an instance."""
    with_files = Rdict(
        str(root / table.instance),
        Options(raw_mode=True),
        {family: Options(raw_mode=True) for family in INSTANCES[table.instance]},
        AccessType.read_only(False),
    )
    found = [file["level"] for file in with_files.live_files()]
    with_files.close()
    return found


def test_a_new_store_has_all_instances_and_families(root: Path) -> None:
    RocksStore.open(root).close()
    for name, families in INSTANCES.items():
        assert sorted(Rdict.list_cf(str(root / name))) == sorted(("default", *families))


def test_files_are_written_for_old_and_new_readers(root: Path) -> None:
    store = RocksStore.open(root)
    store.write(VALUES.instance, {VALUES: rows_of(0, 10)})
    store.close()
    options = max(files(root / VALUES.instance, "OPTIONS-*")).read_text()
    # RocksDB names its families in no fixed order.
    (family,) = (part for part in options.split("[CFOptions ") if part.startswith(f'"{VALUES.family}"'))
    assert "compression=kLZ4Compression" in family
    assert "format_version=5" in family


def test_a_closed_store_has_an_empty_log_and_nothing_of_rocksdict(database: Path) -> None:
    store = RocksStore.open(database)
    for instance, families in INSTANCES.items():
        store.write(instance, {Table(instance, family): [(b"k" * 40, b"v")] for family in families})
    store.close()
    assert sum(file.stat().st_size for file in files(database, "*.log")) == 0
    assert files(database, "rocksdict-config.json") == []
    again = RocksStore.open(database, read_only=True)
    assert all(
        again.get(Table(instance, family), b"k" * 40) == b"v"
        for instance, families in INSTANCES.items()
        for family in families
    )
    again.close()
    assert files(database, "rocksdict-config.json") == []


def test_closing_twice_is_fine(root: Path) -> None:
    store = RocksStore.open(root)
    store.close()
    store.close()
    with pytest.raises(RestoreError, match="closed"):
        store.write(VALUES.instance, {VALUES: [(b"k" * 40, b"")]})


def test_rows_are_read_one_by_one_in_bulk_in_order_and_by_seeking(store: RocksStore) -> None:
    rows = rows_of(0, 9)
    store.write(VALUES.instance, {VALUES: list(reversed(rows))})
    keys = [key for key, _ in rows]
    assert store.get(VALUES, keys[4]) == rows[4][1]
    assert store.get(VALUES, b"none") is None
    assert store.get_many(VALUES, [keys[7], b"none", keys[0]]) == [rows[7][1], None, rows[0][1]]
    assert store.get_many(VALUES, []) == []
    assert list(store.scan(VALUES)) == rows
    assert list(store.scan(VALUES, keys[3], end=keys[6])) == rows[3:6]
    seek = store.seeker(VALUES)
    assert seek(keys[4][:-1]) == rows[0]
    assert seek(keys[4]) == rows[4]
    assert seek(b"\xff") is None
    assert store.last(VALUES) == rows[8]
    assert store.last(VERSION_DATA) is None


def test_an_empty_value_is_not_a_missing_one(store: RocksStore) -> None:
    store.write(VALUES.instance, {VALUES: [(b"k" * 40, b"")]})
    assert store.get(VALUES, b"k" * 40) == b""


@pytest.mark.parametrize("count", [1, TABLE_ROWS - 1, TABLE_ROWS, 3 * TABLE_ROWS])
def test_sorted_rows_are_there_whichever_way_they_went(store: RocksStore, count: int) -> None:
    groups = [rows_of(0, count), rows_of(10**6, 5), rows_of(2 * 10**6, count)]
    keep(store, VALUES, groups)
    assert list(store.scan(VALUES)) == [row for group in groups for row in group]


def test_many_sorted_rows_land_at_the_bottom_and_leave_nothing_behind(database: Path) -> None:
    store = RocksStore.open(database)
    for part in range(4):
        keep(store, VALUES, [rows_of(part * 10**6, TABLE_ROWS), rows_of(part * 10**6 + 10**5, TABLE_ROWS)])
    store.close()
    assert levels(database, VALUES) == [6] * 8
    assert files(database / SIDE_FOLDER, "*.sst") == []


def test_the_same_sorted_rows_may_come_again(store: RocksStore) -> None:
    rows = rows_of(0, TABLE_ROWS)
    for _ in range(3):
        keep(store, VALUES, [rows])
    assert list(store.scan(VALUES)) == rows


def test_rows_out_of_order_are_refused(store: RocksStore) -> None:
    with pytest.raises(RestoreError, match="ascending"):
        keep(store, VALUES, [rows_of(0, TABLE_ROWS)[::-1]])
    assert list(store.scan(VALUES)) == []


def test_table_files_of_a_crash_are_removed_at_the_next_start(root: Path) -> None:
    for name in ("tables/7.sst", "scratch/LOG"):
        left = root / SIDE_FOLDER / name
        left.parent.mkdir()
        left.write_bytes(b"half a file")
    RocksStore.open(root).close()
    assert files(root / SIDE_FOLDER, "*") == [root / SIDE_FOLDER / "created", root / SIDE_FOLDER / "tables"]


def test_what_a_killed_process_wrote_is_there(database: Path) -> None:
    code = """
        import os, sys
        from pathlib import Path
        from restore.target.store import RocksStore, TABLE_ROWS
        from restore.target.schema import STATE_VALUES, VERSION_DATA
        store = RocksStore.open(Path(sys.argv[1]))
        store.write("ledger_db/metadata", {VERSION_DATA: [(b"k", b"v")]})
        rows = [(n.to_bytes(40), b"v") for n in range(TABLE_ROWS)]
        store.move_in(store.stage(STATE_VALUES[3], [rows]))
        print("written", flush=True)
        os._exit(0)
    """
    assert in_child(code, database) == "written"
    store = RocksStore.open(database)
    assert store.get(VERSION_DATA, b"k") == b"v"
    assert len(list(store.scan(VALUES))) == TABLE_ROWS
    store.close()


def test_a_batch_over_several_families_is_whole_or_absent(database: Path) -> None:
    # The log is cut in the middle of the second batch: neither of its rows may be there.
    code = """
        import os, sys
        from pathlib import Path
        from restore.target.store import RocksStore
        from restore.target.schema import TRANSACTION, TRANSACTION_BY_HASH, TRANSACTION_DB
        store = RocksStore.open(Path(sys.argv[1]))
        for name in (b"a", b"b"):
            rows = [(name, name * 100)]
            store.write(TRANSACTION_DB, {TRANSACTION: rows, TRANSACTION_BY_HASH: rows})
        os._exit(0)
    """
    in_child(code, database)
    (log,) = [file for file in files(database / TRANSACTION_DB, "*.log") if file.stat().st_size]
    os.truncate(log, log.stat().st_size - 10)
    store = RocksStore.open(database)
    assert [key for key, _ in store.scan(TRANSACTION)] == [b"a"]
    assert [key for key, _ in store.scan(TRANSACTION_BY_HASH)] == [b"a"]
    store.close()


OPEN = """
    import sys
    from pathlib import Path
    from restore.target.store import RocksStore
    try:
        RocksStore.open(Path(sys.argv[1])).close()
    except Exception as error:
        print(type(error).__name__, error.exit_code)
    RocksStore.open(Path(sys.argv[1]), read_only=True).close()
    print("read")
"""


def test_a_second_process_is_locked_out_but_may_read(store: RocksStore) -> None:
    assert in_child(OPEN, store.root).split() == ["LockedError", "11", "read"]


def test_a_second_store_of_the_same_process_is_locked_out(store: RocksStore) -> None:
    with pytest.raises(LockedError):
        RocksStore.open(store.root)
    store.write(VALUES.instance, {VALUES: [(b"k" * 40, b"")]})  # the first one is none the worse


def test_a_read_only_store_takes_no_writes(database: Path) -> None:
    RocksStore.open(database).close()
    store = RocksStore.open(database, read_only=True)
    with pytest.raises(RestoreError):
        store.write(VALUES.instance, {VALUES: [(b"k" * 40, b"")]})
    store.close()


def test_reading_what_is_no_database_creates_nothing(root: Path) -> None:
    with pytest.raises(DamagedTargetError):
        RocksStore.open(root, read_only=True)
    assert not (root / VALUES.instance).exists() or files(root, "CURRENT") == []


WRITE_TOO_MUCH = """
    import resource, sys
    from pathlib import Path
    from restore.errors import RestoreError
    from restore.target.store import RocksStore
    from restore.target.schema import STATE_VALUES
    store = RocksStore.open(Path(sys.argv[1]))
    way, limit = sys.argv[2:]
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    import os
    rows = [(n.to_bytes(40), os.urandom(200)) for n in range(20000)]
    try:
        if way == "batch":
            store.write(STATE_VALUES[3].instance, {STATE_VALUES[3]: rows})
        else:
            store.move_in(store.stage(STATE_VALUES[3], [rows]))
    except RestoreError as error:
        print(type(error).__name__, error.exit_code, sys.argv[1] in error.file)
    if way == "batch":
        try:
            store.write(STATE_VALUES[3].instance, {STATE_VALUES[3]: rows})
        except RestoreError as error:
            print("again")
        store.close()
        print("closed")
"""


@pytest.mark.parametrize("way", ["batch", "table"])
def test_a_file_that_may_not_grow_reads_as_a_full_disk(database: Path, way: str) -> None:
    told = in_child(WRITE_TOO_MUCH, database, way, 1 << 20).split()
    assert told[:3] == ["DiskFullError", "40", "True"]
    assert told[3:] == (["again", "closed"] if way == "batch" else [])
    # Nothing of it is there, and the target works on once there is room.
    store = RocksStore.open(database)
    assert list(store.scan(VALUES)) == []
    keep(store, VALUES, [rows_of(0, 20000, size=200)])
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB, where one can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("way", ["batch", "table"])
def test_a_full_disk_reads_as_one(small_disk: Path, way: str) -> None:
    (small_disk / SIDE_FOLDER).mkdir()
    room = os.statvfs(small_disk)
    assert room.f_bavail * room.f_bsize > 5 << 20
    told = in_child(WRITE_TOO_MUCH, small_disk, way, 0).split()
    assert told[:3] == ["DiskFullError", "40", "True"]


def test_closing_on_a_full_disk_finds_the_room_of_what_was_not_moved_in(small_disk: Path) -> None:
    (small_disk / SIDE_FOLDER).mkdir()
    store = RocksStore.open(small_disk)
    store.write(VALUES.instance, {VALUES: rows_of(0, TABLE_ROWS, size=200)})
    store.stage(VALUES, [rows_of(TABLE_ROWS, 2 * TABLE_ROWS, size=200)])
    with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    store.close()
    (small_disk / "filler").unlink()
    assert files(small_disk / VALUES.instance, "*.sst")


def test_a_truncated_table_file_is_damage(database: Path) -> None:
    store = RocksStore.open(database)
    keep(store, VALUES, [rows_of(0, TABLE_ROWS)])
    store.close()
    (table,) = files(database / VALUES.instance, "*.sst")
    os.truncate(table, 1000)
    for read_only in (False, True):
        with pytest.raises(DamagedTargetError) as caught:
            RocksStore.open(database, read_only=read_only)
        assert caught.value.file == str(database / VALUES.instance)


def test_a_missing_table_file_is_damage(database: Path) -> None:
    store = RocksStore.open(database)
    keep(store, VALUES, [rows_of(0, TABLE_ROWS)])
    store.close()
    files(database / VALUES.instance, "*.sst")[0].unlink()
    with pytest.raises(DamagedTargetError):
        RocksStore.open(database)


def test_a_corrupt_block_is_damage_for_every_way_of_reading(database: Path) -> None:
    rows = rows_of(0, TABLE_ROWS, size=100)
    store = RocksStore.open(database)
    keep(store, VALUES, [rows])
    store.close()
    (table,) = files(database / VALUES.instance, "*.sst")
    with table.open("r+b") as file:
        file.seek(300)
        file.write(b"\xff" * 64)
    store = RocksStore.open(database, read_only=True)
    for read in (
        lambda: store.get(VALUES, rows[0][0]),
        lambda: store.get_many(VALUES, [rows[0][0]]),
        lambda: list(store.scan(VALUES)),
        lambda: store.seeker(VALUES)(rows[0][0]),
    ):
        with pytest.raises(DamagedTargetError, match="checksum mismatch"):
            read()
    store.close()


@pytest.mark.parametrize("left", ["CURRENT", "everything"])
def test_an_instance_that_vanished_is_not_made_again(database: Path, left: str) -> None:
    RocksStore.open(database).close()
    for file in files(database / VALUES.instance, "CURRENT" if left == "CURRENT" else "*"):
        file.unlink()
    for read_only in (False, True):
        with pytest.raises(DamagedTargetError):
            RocksStore.open(database, read_only=read_only)


def test_a_store_that_was_being_created_is_completed(root: Path) -> None:
    RocksStore.open(root).close()
    (root / SIDE_FOLDER / "created").unlink()
    for file in files(root / VALUES.instance, "*"):
        file.unlink()
    RocksStore.open(root).close()


def test_a_failed_open_leaves_no_lock(database: Path) -> None:
    RocksStore.open(database).close()
    last = list(INSTANCES)[-1]
    current = (database / last / "CURRENT").read_bytes()
    (database / last / "CURRENT").unlink()
    with pytest.raises(DamagedTargetError):
        RocksStore.open(database)
    (database / last / "CURRENT").write_bytes(current)
    RocksStore.open(database).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_database_of_somebody_else_is_refused(database: Path) -> None:
    code = """
        import os, sys
        from pathlib import Path
        from restore.target.store import RocksStore
        RocksStore.open(Path(sys.argv[1])).close()  # rocksdict imports modules on its first use
        os.setresuid(65534, 65534, 65534)
        try:
            RocksStore.open(Path(sys.argv[1]), read_only=True)
        except Exception as error:
            print(type(error).__name__, error.exit_code)
    """
    temporary = Path(tempfile.gettempdir())
    for folder in (database, *database.parents):
        if folder.is_relative_to(temporary) and folder != temporary:
            folder.chmod(0o755)  # so that it is the database that is refused, not the way to it
    assert in_child(code, database).split() == ["AccessDeniedError", "31"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("IO error: No space left on device: While appending to file: x.sst", DiskFullError),
        ("IO error: While appending to file: /x/000004.log: File too large", DiskFullError),
        ("No space left on device (os error 28)", DiskFullError),
        ("IO error: While lock file: /x/LOCK: Resource temporarily unavailable", LockedError),
        (
            "IO error: lock hold by current process, acquire time 1: /x/LOCK: No locks available",
            LockedError,
        ),
        ("Corruption: Sst file size mismatch: /x/000009.sst. Expected 2, actual size 1", DamagedTargetError),
        ("Corruption: block checksum mismatch: stored = 1, computed = 2", DamagedTargetError),
        ("IO error: No such file or directory: While opening a file: /x/MANIFEST-5", DamagedTargetError),
        ("Invalid argument: /x/CURRENT: does not exist (create_if_missing is false)", DamagedTargetError),
        ("Invalid argument: Column family not found: x", DamagedTargetError),
        ("IO error: While open a file for appending: /x: Too many open files", ResourceError),
        ("Permission denied (os error 13)", AccessDeniedError),
        ("IO error: While mkdir: /x: Read-only file system", AccessDeniedError),
        ("Busy: something new", RestoreError),
    ],
)
def test_what_rocksdb_says_has_a_class(text: str, kind: type[RestoreError]) -> None:
    error = _typed(Exception(text), Path("/x"))
    assert type(error) is kind
    assert error.file == "/x"


def test_scratch_is_empty_each_time_and_gone_afterwards(store: RocksStore) -> None:
    for _ in range(2):
        scratch = store.scratch()
        scratch.open()
        assert scratch.get_many([b"k"]) == [None]
        scratch.write([(b"k", b"v")])
        assert scratch.get_many([b"k", b"x"]) == [b"v", None]
        scratch.close()
        assert not (store.root / SIDE_FOLDER / "scratch").exists()
    scratch.close()
    with pytest.raises(RestoreError, match="not open"):
        scratch.write([])
