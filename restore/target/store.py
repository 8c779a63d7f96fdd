"""The 42 RocksDB instances of one target, opened and closed together."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from cache.atomic import make_directory_durably, write_durably
from restore.errors import RestoreError
from restore.limits import NEEDED_DESCRIPTORS, WANTED_DESCRIPTORS, claim_descriptors
from restore.target.failures import local_failures
from restore.target.instance import Instance, Mode, Resources
from restore.target.mark import CREATED_FILE, SIDE_FOLDER
from restore.target.schema import INSTANCES, KeyValue, Table
from restore.target.staged import RowGroup, StagedTable

TABLES_FOLDER = "tables"
SCRATCH_FOLDER = "scratch"
"""Below the side folder: table files about to be moved in, and a database that is thrown away."""

TABLE_ROWS = 1024
"""Fewer sorted rows go into a batch: moving a table file in takes some 3 ms, a batch half of one."""

OVERLAPPING_TABLE_ROWS = 32 << 10
"""The same where rows fall between those that are there: a table file is then compacted with all of them, and
the smaller it is, the dearer is that for each row. A batch grows in memory with others before it is."""


class RocksStore:
    """The open instances of a target; made by `open`.

    The methods block, and one thread at a time may call them, `stage` apart.

    Bounds: those of `Resources`, and on disk the table files that were not moved in yet.
    """

    def __init__(self, root: Path, instances: Mapping[str, Instance], resources: Resources) -> None:
        self.root = root
        self._side = root / SIDE_FOLDER
        self._instances = dict(instances)
        self._resources = resources
        self._numbers = itertools.count()  # of table files; one step of it is atomic
        self._files: set[Path] = set()  # not moved in yet

    @classmethod
    def open(cls, root: Path, *, read_only: bool = False) -> Self:
        """Opens all instances below `root`; unless read-only, creates them the first time.

        Raises:
            LockedError: another process has one open.
            DamagedTargetError: an instance, a column family or a file is missing or corrupt.
            DiskFullError, AccessDeniedError, ResourceError: as the names say.
        """
        side = root / SIDE_FOLDER
        claim_descriptors(needed=NEEDED_DESCRIPTORS, wanted=WANTED_DESCRIPTORS)
        resources = Resources(len(INSTANCES))
        mode: Mode = "read"
        if not read_only:
            mode = "write" if (side / CREATED_FILE).exists() else "create"
            with local_failures(root):
                _empty_folder(side / TABLES_FOLDER)
                _remove_folder(side / SCRATCH_FOLDER)
        with ExitStack() as opened:
            instances = {}
            for name, families in INSTANCES.items():
                if mode == "create":
                    with local_failures(root / name):
                        make_directory_durably(root / name)
                instances[name] = Instance(root / name, families, resources=resources, mode=mode)
                opened.callback(instances[name].close)
            if mode == "create":
                with local_failures(side):
                    write_durably(side / CREATED_FILE, b"")
            opened.pop_all()
        return cls(root, instances, resources)

    def write(self, instance: str, rows: Mapping[Table, Sequence[KeyValue]]) -> None:
        """Writes rows of one instance: all or none, durable on return.

        Raises:
            DiskFullError: there is no room.
        """
        self._instances[instance].write({table.family: pairs for table, pairs in rows.items()})

    def stage(self, table: Table, groups: Sequence[RowGroup], *, overlapping: bool = False) -> StagedTable:
        """Writes sorted rows to table files that `move_in` takes; few rows are kept in memory instead.

        Other threads may do the same at the same time.

        Args:
            table: where they are to go.
            groups: rows in strictly ascending order each, of ranges that do not overlap each other.
            overlapping: whether they overlap what the table holds, other than as the same rows again. Where
                they do not, the files land at the bottom level, and nothing is left to compact.

        Raises:
            DiskFullError: there is no room.
        """
        few = OVERLAPPING_TABLE_ROWS if overlapping else TABLE_ROWS
        rows: list[KeyValue] = []
        files: list[Path] = []
        for group in groups:
            if len(group) < few:
                rows += group if isinstance(group, list) else group.pairs()
                continue
            file = self._side / TABLES_FOLDER / f"{next(self._numbers)}.sst"
            self._files.add(file)
            if isinstance(group, list):
                self._instances[table.instance].build_table(file, group)
            else:
                with local_failures(file):
                    group.write(file)
            files.append(file)
        return StagedTable(table, rows, tuple(files))

    def move_in(self, *tables: StagedTable) -> None:
        """Keeps staged rows, past any write-ahead log where they are many; durable on return, in any order.

        Args:
            tables: of one instance.

        Raises:
            DiskFullError: there is no room.
        """
        if not tables:
            return
        instance = self._instances[tables[0].table.instance]
        instance.write({staged.table.family: staged.rows for staged in tables})
        for staged in tables:
            if staged.files:
                instance.ingest(staged.table.family, staged.files)
                self._files.difference_update(staged.files)

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value of `key`."""
        return self._instances[table.instance].get(table.family, key)

    def get_many(self, table: Table, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`, in their order."""
        return self._instances[table.instance].get_many(table.family, keys)

    def scan(self, table: Table, first: bytes = b"", *, end: bytes | None = None) -> Iterator[KeyValue]:
        """The rows from `first` on, below `end`, in key order."""
        return self._instances[table.instance].scan(table.family, first, end=end)

    def seeker(self, table: Table) -> Callable[[bytes], KeyValue | None]:
        """A function that finds the first row at or above a key, among the rows there are now."""
        return self._instances[table.instance].seeker(table.family)

    def last(self, table: Table) -> KeyValue | None:
        """The last row."""
        return self._instances[table.instance].last(table.family)

    def scratch(self) -> Scratch:
        """A database to be thrown away, not open yet."""
        return Scratch(self._side / SCRATCH_FOLDER, self._resources)

    def flush(self, instance: str) -> None:
        """Moves every row of one instance out of its write-ahead log."""
        self._instances[instance].flush()

    def close(self) -> None:
        """Flushes and closes all instances; idempotent. Every instance is closed, whichever fails.

        Staged rows that were not moved in are dropped first: on a full disk a flush may need their room.
        """
        with ExitStack() as closing:
            for instance in self._instances.values():
                closing.callback(instance.close)
            closing.callback(self._drop_staged)  # the first of these to be called

    def _drop_staged(self) -> None:
        while self._files:
            file = self._files.pop()
            with local_failures(file):
                file.unlink(missing_ok=True)


class Scratch:
    """One RocksDB instance that is thrown away when it is closed, with one column family."""

    FAMILY = "rows"

    def __init__(self, path: Path, resources: Resources) -> None:
        self._path = path
        self._resources = resources
        self._instance: Instance | None = None

    def open(self) -> None:
        """Creates it, empty.

        Raises:
            DiskFullError, AccessDeniedError, ResourceError: as the names say.
        """
        with local_failures(self._path):
            _empty_folder(self._path)
        self._instance = Instance(self._path, (self.FAMILY,), resources=self._resources, mode="create")

    def write(self, rows: Sequence[KeyValue]) -> None:
        """Writes rows: all or none."""
        self._live().write({self.FAMILY: rows})

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`, in their order."""
        return self._live().get_many(self.FAMILY, keys)

    def close(self) -> None:
        """Closes it and removes its files; idempotent."""
        instance, self._instance = self._instance, None
        try:
            if instance is not None:
                instance.close()
        finally:
            with local_failures(self._path):
                _remove_folder(self._path)

    def _live(self) -> Instance:
        if self._instance is None:
            raise RestoreError("scratch database is not open", file=str(self._path))
        return self._instance


def _empty_folder(path: Path) -> None:
    _remove_folder(path)
    make_directory_durably(path)


def _remove_folder(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
