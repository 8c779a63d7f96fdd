"""Looks at the processes of this machine, to see which of them a test has left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.flow.steps import settle_until

MARK = "RESTORE_TEST_MARK"
"""A variable that all descendants of a marked program have in their environment."""


def marked(mark: str) -> set[int]:
    """The processes that run with this mark, wherever they have gone; zombies have no environment."""
    wanted = f"{MARK}={mark}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.add(int(entry.name))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


def children_of_this_process() -> set[int]:
    """All of them, zombies too."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and _parent_of(entry) == os.getpid():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


@contextmanager
def no_child_left() -> Iterator[None]:
    """Checks that the block leaves no child process, not even a zombie."""
    before = children_of_this_process()
    yield
    assert children_of_this_process() == before


async def all_gone(mark: str) -> None:
    """Returns when no process has this mark; a process that was killed ends a moment later."""
    await settle_until(lambda: not marked(mark))


def _parent_of(entry: Path) -> int:
    return int((entry / "stat").read_text("ascii", "replace").rpartition(")")[2].split()[1])
