"""What the checks of a database share: steps that can be interrupted, and errors that name a row."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias, TypeVar

from restore.errors import DamagedTargetError, located
from restore.target.schema import KeyValue, Table
from restore.target.store import RocksStore

T = TypeVar("T")

Steps: TypeAlias = Generator[int, None, T]
"""A check in steps of well under a second: yields how many items each has checked; returns what it found."""

STEP_ROWS = 4096
"""Rows checked in one step."""


def name_of(table: Table, key: bytes) -> str:
    """How a row is named: its place below the target folder, and its key in hex."""
    return f"{table} {key.hex()}"


def at_row(table: Table, key: bytes) -> AbstractContextManager[None]:
    """Adds to any error raised inside that it is about this row."""
    return located(file=name_of(table, key))


def damaged(
    table: Table,
    key: bytes,
    message: str,
    *,
    version: int | None = None,
    expected: object = None,
    found: object = None,
) -> DamagedTargetError:
    """The error that a row is not what it has to be."""
    return DamagedTargetError(
        message, file=name_of(table, key), version=version, expected=expected, found=found
    )


def demand(store: RocksStore, table: Table, key: bytes) -> bytes:
    """The value of a row that must be there.

    Raises:
        DamagedTargetError: it is not.
    """
    value = store.get(table, key)
    if value is None:
        raise damaged(table, key, "row is missing")
    return value


def compare(store: RocksStore, table: Table, rows: Sequence[KeyValue]) -> None:
    """Checks that the table holds these rows.

    Raises:
        DamagedTargetError: one is missing, or has another value.
    """
    found = store.get_many(table, [key for key, _ in rows])
    for (key, expected), value in zip(rows, found, strict=True):
        if value is None:
            raise damaged(table, key, "row is missing")
        if value != expected:
            raise damaged(table, key, "row has another value", expected=_brief(expected), found=_brief(value))


def demand_count(store: RocksStore, table: Table, expected: int) -> Steps[None]:
    """Checks that the table has so many rows: with all of them compared, that there are no others.

    Raises:
        DamagedTargetError: it has more.
    """
    count = 0
    for count, (key, _) in enumerate(store.scan(table), 1):
        if count > expected and expected == 0:
            raise damaged(table, key, "row should not be there")
        if count % STEP_ROWS == 0:
            yield 0
    if count != expected:
        raise DamagedTargetError(
            "table has rows that nothing accounts for", file=str(table), expected=expected, found=count
        )


def _brief(value: bytes) -> str:
    """A value that may be large, as text for a message."""
    shown = value[:64].hex()
    return shown if len(value) <= 64 else f"{shown}… ({len(value)} bytes)"
