"""Rows that are ready to be moved into an instance: made before they are proven, moved in after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeAlias

from restore.kernel.choice import uses_native
from restore.target.schema import KeyValue, Table


class EncodedRows(Protocol):
    """Sorted rows of one table that the kernel encodes when they are asked for."""

    def __len__(self) -> int:
        """How many there are."""

    def pairs(self) -> list[KeyValue]:
        """The rows themselves."""

    def write(self, file: Path) -> None:
        """Writes them to a new table file.

        Raises:
            OSError: it cannot be written; there is none then.
        """


RowGroup: TypeAlias = list[KeyValue] | EncodedRows
"""Sorted rows of one table, about STEP_BYTES at most."""

HELD_ROW_BYTES = 160
"""Memory of a row besides its key and its value: a tuple, two objects, and its place in the list."""


@dataclass(frozen=True, slots=True)
class StagedTable:
    """Rows of one table: few in memory, many as table files of the target's side folder.

    Attributes:
        table: where they go.
        rows: for a batch.
        files: to be moved in; their ranges overlap neither each other nor `rows`.
    """

    table: Table
    rows: list[KeyValue]
    files: tuple[Path, ...]

    @property
    def memory_bytes(self) -> int:
        """Memory of the rows that are not in files: there are few of them, but each may be large."""
        return _row_bytes(self.rows) + HELD_ROW_BYTES * len(self.rows)


@dataclass(frozen=True, slots=True)
class StagedChunk:
    """The rows of one snapshot chunk: of its values, and of its own tree nodes."""

    values: tuple[StagedTable, ...] = ()
    nodes: tuple[StagedTable, ...] = ()

    @property
    def memory_bytes(self) -> int:
        """Memory of the rows that are not in files, roughly."""
        return sum(staged.memory_bytes for staged in (*self.values, *self.nodes))


@dataclass(frozen=True, slots=True)
class StagedTransactions:
    """The ledger rows of a step's consecutive transactions.

    Attributes:
        first_version: of the first one.
        tables: the rows.
        write_sets: what has to be applied to the state values; None where that is not wanted.
    """

    first_version: int
    tables: tuple[StagedTable, ...]
    write_sets: Sequence[bytes] | None

    @property
    def memory_bytes(self) -> int:
        """Memory of the write sets, and of the rows that are not in files, roughly."""
        return sum(staged.memory_bytes for staged in self.tables) + sum(map(len, self.write_sets or ()))


def _row_bytes(rows: list[KeyValue]) -> int:
    if not uses_native():
        return sum(map(len, chain.from_iterable(rows)))
    from restore.kernel._native import row_bytes

    return row_bytes(rows)


def merged(tables: Iterable[StagedTable], others: Iterable[StagedTable]) -> list[StagedTable]:
    """Both, with the rows in memory of a table of `others` beside those of its first namesake: one batch."""
    found = list(tables)
    for other in others:
        place = next((index for index, staged in enumerate(found) if staged.table == other.table), None)
        if place is None:
            found.append(other)
        else:
            staged = found[place]
            found[place] = replace(staged, rows=staged.rows + other.rows, files=staged.files + other.files)
    return found
