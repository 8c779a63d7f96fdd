"""Halts whoever works in a mirror where a race is decided; and takes away what keeps it safe there."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import cache.folder
import cache.lease
import cache.lock
import cache.mirror
import cache.prune
from cache.entry import PACK_MAGIC
from cache.folder import MirrorFolder

Install: TypeAlias = Callable[[object, str, object], None]
"""As `setattr`; in the process of the tests it is undone in the end."""

HALTED_SECONDS = 60.0
"""Whoever a script forgot goes on after so long, and fails."""


class Halt:
    """Stops the first thread that comes by, until it is let go.

    Args:
        tell: is called in that thread.
    """

    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell = tell
        self._comers = threading.Semaphore()
        self._is_let_go = threading.Event()

    def let_go(self) -> None:
        """Lets it go on, and all that come later."""
        self._is_let_go.set()

    def come_by(self) -> None:
        """The thread's side."""
        if self._comers.acquire(blocking=False):
            self._tell()
            assert self._is_let_go.wait(HALTED_SECONDS), "it was forgotten"


def put_halt(halt: Halt, point: str, install: Install) -> None:
    """Puts a halt at a point of this process."""
    _POINTS[point](halt, install)


def leave_without(safeguards: Iterable[str], install: Install) -> None:
    """Leaves this process without something."""
    for safeguard in safeguards:
        install(*_WITHOUT[safeguard])


def _before(owner: object, name: str) -> Callable[[Halt, Install], None]:
    def put(halt: Halt, install: Install) -> None:
        original = getattr(owner, name)

        def halting(*args: Any, **kwargs: Any) -> Any:
            halt.come_by()
            return original(*args, **kwargs)

        install(owner, name, halting)

    return put


def _halfway(is_meant: Callable[[bytes], bool]) -> Callable[[Halt, Install], None]:
    """Has a system call write half; the other half is written by the next one."""

    def put(halt: Halt, install: Install) -> None:
        write = os.write

        def halting(descriptor: int, data: Any) -> int:
            if not is_meant(bytes(data)):
                return write(descriptor, data)
            written = write(descriptor, data[: len(data) // 2])
            halt.come_by()
            return written

        install(os, "write", halting)

    return put


def _is_pack(data: bytes) -> bool:
    return data.startswith(PACK_MAGIC)


def _is_index(data: bytes) -> bool:
    return b"folder:" in data and not data.startswith((PACK_MAGIC, b"{"))


_POINTS: dict[str, Callable[[Halt, Install], None]] = {
    "before leasing": _before(cache.lease._Watch, "begin"),
    "before removing": _before(MirrorFolder, "remove_pack"),
    "before tidying": _before(MirrorFolder, "remove_temporary_files"),
    "halfway in a pack": _halfway(_is_pack),
    "halfway in the index": _halfway(_is_index),
}


@asynccontextmanager
async def _no_lease(*args: object) -> AsyncIterator[None]:
    yield


@contextmanager
def _no_lock(*args: object) -> Iterator[bool]:
    yield True


def _write_straight(path: Path, data: bytes) -> None:
    """Writes to the final name, in as many steps as `write_durably`."""
    with path.open("wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[os.write(file.fileno(), view) :]


def _remove_strictly(folder: MirrorFolder, file: str) -> int:
    """Removes a pack that must be there."""
    size = folder.stat_pack(file).st_size
    (folder.path / "packs" / file).unlink()
    return size


_WITHOUT: dict[str, tuple[object, str, object]] = {
    "leases": (cache.mirror, "leased", _no_lease),
    "a look at leases": (cache.prune, "living_leases", lambda folder: []),
    "locks": (cache.lock, "_locked", _no_lock),
    "temporary files": (cache.folder, "write_durably", _write_straight),
    "leniency": (MirrorFolder, "remove_pack", _remove_strictly),
}
