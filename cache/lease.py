"""Leases: what a reader reads stays where it is, as long as the reader lives.

A lease is a presence file that names packs. The order of things is what makes it safe:

1. Under READ the reader chooses its packs and makes the lease. PRUNE excludes READ, so no pack can go between
   being chosen and being leased.
2. The reader gives READ back, and reads for as long as it likes: nobody waits for it.
3. Under PRUNE, when nobody can be just making one, all living leases are read, and the packs that they name
   are left alone.

A killed reader needs no cleaning up before others go on: the kernel gives back the lock on its file, and with
it the lease. (Nix keeps its temporary roots in the same way.)

Nothing here can keep somebody outside from deleting the folder. So a lease watches what it holds, and when a
pack or the lease itself is gone or replaced, the work that relies on it is cancelled, and `LeaseLostError`
says why.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import msgspec

from cache.errors import DamagedFileError, LeaseLostError
from cache.folder import MirrorFolder
from cache.presence import Holder, Presence, living
from cache.threads import in_thread

WATCH_SECONDS = 5.0
"""Between two looks at what is leased: often enough for people, and a few system calls each."""

Sleep = Callable[[float], Awaitable[None]]


class Lease(msgspec.Struct, frozen=True):
    """Who reads which packs."""

    holder: Holder
    files: frozenset[str]


@asynccontextmanager
async def leased(
    folder: MirrorFolder, files: Iterable[str], *, sleep: Sleep = asyncio.sleep
) -> AsyncIterator[None]:
    """Leases packs for the length of a block, entered while READ is held.

    Raises:
        LeaseLostError: what is leased was taken away meanwhile; it cancels the block.

    Cancellation: the lease is given back.
    Bounds: one descriptor, one task.
    """
    watch = _Watch(folder, frozenset(files))
    try:
        await in_thread(watch.begin)
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(watch.run(sleep))
                yield
                watching.cancel()
        except BaseExceptionGroup as errors:
            # Whatever else fails when a lease is lost fails because of that.
            losses = [error for error in errors.exceptions if isinstance(error, LeaseLostError)]
            if losses:
                raise losses[0] from errors
            # A block of which one thing failed raises just that.
            if len(errors.exceptions) == 1:
                raise errors.exceptions[0] from None
            raise
    finally:
        await in_thread(watch.end)


def living_leases(folder: MirrorFolder) -> list[Lease]:
    """The leases whose processes live.

    Raises:
        DamagedFileError: one cannot be read, so what it protects is not known.
    """
    return [_decode(present.content, file=str(present.path)) for present in living(folder.leases)]


class _Watch:
    """A lease's files, and what they were when they were leased."""

    def __init__(self, folder: MirrorFolder, files: frozenset[str]) -> None:
        lease = Lease(Holder.of_this_process(now=time.time()), files)
        self._folder = folder
        self._presence = Presence(folder.leases, "lease", msgspec.json.encode(lease))
        self._files = files
        self._known: dict[str, tuple[int, int, int]] = {}

    def begin(self) -> None:
        self._presence.appear()
        self._known = {file: self._look(file) for file in self._files}

    def end(self) -> None:
        self._presence.vanish()

    async def run(self, sleep: Sleep) -> None:
        while True:
            await sleep(WATCH_SECONDS)
            await in_thread(self.check)

    def check(self) -> None:
        if not self._presence.is_intact():
            raise LeaseLostError("lease was removed by somebody else", file=self._folder.path)
        for file, known in self._known.items():
            if self._look(file) != known:
                raise LeaseLostError("leased file was replaced by somebody else", file=file)

    def _look(self, file: str) -> tuple[int, int, int]:
        """What a file is, besides its name: device, inode and size."""
        try:
            found = self._folder.stat_pack(file)
        except FileNotFoundError as error:
            raise LeaseLostError("leased file was removed by somebody else", file=file) from error
        return found.st_dev, found.st_ino, found.st_size


def _decode(content: bytes, *, file: str) -> Lease:
    try:
        return msgspec.json.decode(content, type=Lease)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"lease does not parse: {error}", file=file) from error
