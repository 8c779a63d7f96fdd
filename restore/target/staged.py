"""Rows that are ready to be moved into an instance: made before they are proven, moved in after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from restore.target.schema import KeyValue, Table

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
    def held_bytes(self) -> int:
        """Memory of the rows that are no file: there are few of them, but each may be large."""
        return sum(map(len, chain.from_iterable(self.rows))) + HELD_ROW_BYTES * len(self.rows)


@dataclass(frozen=True, slots=True)
class StagedChunk:
    """The rows of one snapshot chunk: of its values, and of its own tree nodes."""

    values: tuple[StagedTable, ...] = ()
    nodes: tuple[StagedTable, ...] = ()

    @property
    def held_bytes(self) -> int:
        """Memory of all rows that are no file."""
        return sum(staged.held_bytes for staged in (*self.values, *self.nodes))


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
