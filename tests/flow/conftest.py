"""Fixtures of the tests of child processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from restore.flow.children import Children
from restore.report.events import Event
from tests.flow.processes import no_child_left


@pytest.fixture
def nothing_of_children_left() -> Iterator[None]:
    """After each test all children are gone and reaped."""
    with no_child_left():
        yield


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def children(events: list[Event]) -> AsyncIterator[Children]:
    async with Children(4, report=events.append) as children:
        yield children


@pytest.fixture
def mark(tmp_path: Path) -> str:
    return str(tmp_path)
