"""One RocksDB instance: the only module that calls rocksdict and reads its error texts.

rocksdict raises bare `Exception`; `_typed` maps the texts of RocksDB and of the operating system into the
error tree. Its iterators end silently where a block is corrupt, so every scan here asks for their status.

Options follow spec/aptosdb-schema.md 1.3: raw mode, LZ4, format version 5, which RocksDB 8.10 to 10.x read.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    ColumnFamily,
    DBCompressionType,
    IngestExternalFileOptions,
    Options,
    Rdict,
    RdictIter,
    SstFileWriter,
    WriteBatch,
    WriteBufferManager,
)

from restore.errors import (
    AccessDeniedError,
    DamagedTargetError,
    DiskFullError,
    LockedError,
    ResourceError,
    RestoreError,
)
from restore.target.schema import KeyValue

Mode = Literal["create", "write", "read"]
"""`create` makes the instance and its families where they are missing; the others demand them."""

FORMAT_VERSION = 5
BLOCK_BYTES = 4096

CACHE_BYTES = 64 << 20
"""Block cache of all instances together."""

MEMTABLE_BYTES = 128 << 20
"""Rows not yet flushed, of all instances together: a flush is then some MB, the sum far below a budget."""

WRITE_BUFFER_BYTES = 16 << 20
"""Rows not yet flushed of one column family."""

WAL_BYTES = 64 << 20
"""Write-ahead log of one instance, read by an open after a crash; beyond this, old rows are flushed."""

BACKGROUND_JOBS = 4
"""Flushes and compactions at once, over all instances: RocksDB shares its threads in a process."""

LOGS_KEPT = 2
"""RocksDB's own LOG files; every open begins another."""

DESCRIPTORS_PER_INSTANCE = 8
"""Open files of an idle instance: lock, log, manifest, write-ahead log, its folder four times."""

MIN_OPEN_FILES, MAX_OPEN_FILES = 20, 512
"""RocksDB keeps ten of these back; below 20 it takes 20."""

CONFIG_FILE = "rocksdict-config.json"
"""rocksdict drops it into each folder it opens; a node has no use for it."""

_FULL = ("No space left on device", "File too large", "Disk quota exceeded")
_DENIED = ("Permission denied", "Operation not permitted", "Read-only file system")
_LOCKED = ("While lock file", "lock hold by current process")
_EXHAUSTED = ("Too many open files", "Cannot allocate memory")
_DAMAGED = (
    "Corruption",
    "checksum mismatch",
    "No such file or directory",
    "does not exist (create_if_missing is false)",
    "Column family not found",
)


class Resources:
    """What the instances of one store share: memory, and the options made with it.

    Args:
        instances: how many instances share the descriptors; half of what the process may open is theirs.

    Bounds: CACHE_BYTES + MEMTABLE_BYTES over all instances.
    """

    def __init__(self, instances: int) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        half = MAX_OPEN_FILES * instances if soft == resource.RLIM_INFINITY else soft // 2
        table = BlockBasedOptions()
        table.set_format_version(FORMAT_VERSION)
        table.set_block_size(BLOCK_BYTES)
        table.set_block_cache(Cache(CACHE_BYTES))
        # Else the indices of all open table files stay in memory beside the cache, and grow with the state.
        table.set_cache_index_and_filter_blocks(True)
        self.options = Options(raw_mode=True)
        self.options.set_block_based_table_factory(table)
        self.options.set_compression_type(DBCompressionType.lz4())
        self.options.set_write_buffer_size(WRITE_BUFFER_BYTES)
        # Not stalling: a stalled `write` would hold the GIL until the flush is through.
        self.options.set_write_buffer_manager(WriteBufferManager(MEMTABLE_BYTES, False))  # noqa: FBT003
        self.options.set_max_total_wal_size(WAL_BYTES)
        self.options.set_max_background_jobs(BACKGROUND_JOBS)
        self.options.set_keep_log_file_num(LOGS_KEPT)
        files = half // instances - DESCRIPTORS_PER_INSTANCE
        self.options.set_max_open_files(max(MIN_OPEN_FILES, min(MAX_OPEN_FILES, files)))


class Instance:
    """One open RocksDB instance with its column families.

    Args:
        path: its folder; the folder above exists.
        families: its column families besides `default`.
        resources: shared with the store's other instances.
        mode: see `Mode`.

    Raises:
        LockedError: another process, or another object, has it open for writing.
        DamagedTargetError: a file of it is missing or corrupt.
        DiskFullError, AccessDeniedError, ResourceError: as the names say.
    """

    def __init__(self, path: Path, families: Sequence[str], *, resources: Resources, mode: Mode) -> None:
        self._path = path
        self._options = resources.options
        self._options.create_if_missing(mode == "create")
        self._options.create_missing_column_families(mode == "create")
        self._mode = mode
        self._failed = False
        access = AccessType.read_only(False) if mode == "read" else AccessType.read_write()  # noqa: FBT003
        with self._typed():
            self._db: Rdict | None = Rdict(
                str(path), self._options, dict.fromkeys(families, self._options), access
            )
            self._views = {family: self._db.get_column_family(family) for family in families}
            self._handles: dict[str, ColumnFamily] = {
                family: self._db.get_column_family_handle(family) for family in families
            }

    def write(self, rows: Mapping[str, Iterable[KeyValue]]) -> None:
        """Writes rows of several families: all or none, durable on return.

        Raises:
            DiskFullError: there is no room; the instance takes no more writes, and closes as it is.
        """
        database, batch = self._live(), WriteBatch(raw_mode=True)
        for family, pairs in rows.items():
            handle = self._handles[family]
            for key, value in pairs:
                batch.put(key, value, handle)
        if not batch.is_empty():
            self._change(partial(self._write_durably, database, batch))

    def _write_durably(self, database: Rdict, batch: WriteBatch) -> None:
        # In two steps, since rocksdict holds the interpreter's lock while it writes, but not while it syncs.
        database.write(batch)
        database.flush_wal(True)  # noqa: FBT003  it has no name

    def ingest(self, family: str, files: Sequence[Path]) -> None:
        """Moves table files in, durably: all or none. They must not overlap each other."""
        options = IngestExternalFileOptions()
        options.set_move_files(True)
        paths = [str(file) for file in files]
        self._change(partial(self._views[family].ingest_external_file, paths, options))

    def build_table(self, file: Path, rows: Iterable[KeyValue]) -> None:
        """Writes a table file to move in: at least one row, keys strictly ascending."""
        with self._typed():
            writer = SstFileWriter(self._options)
            writer.open(str(file))
            for key, value in rows:
                writer[key] = value
            writer.finish()

    def get(self, family: str, key: bytes) -> bytes | None:
        """The value of `key`."""
        with self._typed():
            value: bytes | None = self._views[family].get(key)
            return value

    def get_many(self, family: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`, in their order."""
        with self._typed():
            values: list[bytes | None] = []
            if keys:
                values += self._views[family].get(list(keys)) or ()
            return values

    def scan(self, family: str, first: bytes = b"", *, end: bytes | None = None) -> Iterator[KeyValue]:
        """The rows from `first` on, below `end`, in key order, as they are at the first step."""
        with self._typed():
            rows = self._views[family].iter()
            rows.seek(first)
            while rows.valid():
                key: bytes = rows.key()
                if end is not None and key >= end:
                    return
                yield key, rows.value()
                rows.next()
            rows.status()

    def seeker(self, family: str) -> Callable[[bytes], KeyValue | None]:
        """A function that finds the first row at or above a key, among the rows there are now."""
        rows = self._views[family].iter()

        def seek(key: bytes) -> KeyValue | None:
            with self._typed():
                rows.seek(key)
                return _row(rows)

        return seek

    def last(self, family: str, *, below: bytes | None = None) -> KeyValue | None:
        """The last row, or the last one at or below `below`."""
        with self._typed():
            rows = self._views[family].iter()
            if below is None:
                rows.seek_to_last()
            else:
                rows.seek_for_prev(below)
            return _row(rows)

    def flush(self) -> None:
        """Moves every row out of the write-ahead log into table files."""
        for view in self._views.values():
            self._change(view.flush)

    def close(self) -> None:
        """Flushes and closes; idempotent.

        After a failed write nothing is flushed, and what RocksDB says of that is not raised again: what was
        durable is in the write-ahead log, and the failure itself has been raised where it happened.
        """
        if self._db is None:
            return
        try:
            if self._mode != "read" and not self._failed:
                self.flush()
        finally:
            db, self._db = self._db, None
            # Any of these would keep the instance open, and its lock held.
            self._views.clear()
            self._handles.clear()
            try:
                with self._typed():
                    db.close()
            except RestoreError:
                if not self._failed:
                    raise
            finally:
                (self._path / CONFIG_FILE).unlink(missing_ok=True)

    def _change(self, change: Callable[[], object]) -> None:
        if self._failed:
            raise RestoreError("instance takes no writes after a failed one", file=str(self._path))
        try:
            with self._typed():
                change()
        except RestoreError:
            # RocksDB refuses all later writes too, with texts that say nothing.
            self._failed = True
            raise

    def _live(self) -> Rdict:
        if self._db is None:
            raise RestoreError("instance is closed", file=str(self._path))
        return self._db

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except RestoreError:
            raise
        except Exception as error:
            raise _typed(error, self._path) from error


def _row(rows: RdictIter) -> KeyValue | None:
    if rows.valid():
        return rows.key(), rows.value()
    rows.status()
    return None


def _typed(error: Exception, path: Path) -> RestoreError:
    """The typed error for what RocksDB or the operating system says."""
    text = " ".join(str(error).split())
    file = str(path)
    for texts, kind, clause in (
        (_FULL, DiskFullError, "cannot write the database"),
        (_DENIED, AccessDeniedError, "cannot use the database"),
        (_LOCKED, LockedError, "database is open in another process"),
        (_EXHAUSTED, ResourceError, "cannot use the database"),
        (_DAMAGED, DamagedTargetError, "database is damaged"),
    ):
        if any(part in text for part in texts):
            return kind(f"{clause}: {text}", file=file)
    return RestoreError(f"database failed: {text}", file=file)
