"""The way in: a mirror of one source in a folder that any number of processes share.

    async with Mirror(folder, source, options).synced() as snapshot:
        async for entries in snapshot.packs():
            ...

    READ { SYNC { sync }  lease }  read what is leased

READ is held from before the sync until the packs are leased, so that nothing can be removed between being
found whole and being leased; and SYNC ends before that, so that the next process may begin its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Set
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from cache.entry import Entry
from cache.errors import DamagedFileError, LeaseLostError
from cache.folder import MirrorFolder, mirror_path
from cache.index import Index
from cache.lease import leased
from cache.lock import Locks, Mode
from cache.probe import check_locks
from cache.prune import Pruned, prune
from cache.source import Source
from cache.sync import SyncOptions, sync
from cache.threads import in_thread


class Snapshot:
    """The files of a source as it last listed them, leased: they stay until the block ends.

    Attributes:
        names: of all files.
    """

    def __init__(self, folder: MirrorFolder, index: Index, locks: Locks) -> None:
        self._folder = folder
        self._index = index
        self._locks = locks
        self.names = index.tags().keys()

    async def packs(self, *, besides: Container[str] = ()) -> AsyncIterator[list[Entry]]:
        """The files, pack by pack, each checked; in no order.

        Args:
            besides: names that are not wanted.

        Raises:
            LeaseLostError: a pack was damaged or removed after it was leased.

        Bounds: one pack.
        """
        for pack in self._index.packs:
            wanted = {name for name in pack.live if name not in besides}
            if wanted:
                yield await in_thread(self._read, pack.file, wanted)

    async def summary(self) -> bytes | None:
        """What was kept with `keep_summary` by whoever had exactly these files; None if nobody did."""
        return await in_thread(self._folder.read_summary, self._index.state)

    async def keep_summary(self, summary: bytes) -> None:
        """Keeps what was made of all files, for the next one who has exactly these.

        It is a convenience, and left undone where the disk is full, or while the mirror is being pruned.
        """
        async with self._locks.try_hold(Mode.READ) as held:
            if held:
                with suppress(OSError):
                    await in_thread(self._folder.write_summary, self._index.state, summary)

    def _read(self, file: str, wanted: Set[str]) -> list[Entry]:
        try:
            entries = self._folder.read_pack(file, identity=self._index.identity)
        except DamagedFileError as error:
            raise LeaseLostError(
                "leased file was damaged by somebody else", file=file, found=error
            ) from error
        return [entry for entry in entries if entry.name in wanted]


class Mirror:
    """The mirror of one source.

    Args:
        root: the folder of mirrors; made if it is missing.
        source: what is mirrored.
        options: how a sync goes.
        timeout_seconds: so long a lock is waited for; for ever unless given.
    """

    def __init__(
        self, root: Path, source: Source, options: SyncOptions, *, timeout_seconds: float | None = None
    ) -> None:
        self._folder = MirrorFolder(mirror_path(root, source.identity))
        self._source = source
        self._options = options
        self._locks = Locks(self._folder.path, tell=options.tell, timeout_seconds=timeout_seconds)

    @asynccontextmanager
    async def synced(self, *, refetch: Set[str] = frozenset()) -> AsyncIterator[Snapshot]:
        """Brings the mirror up to date, and leases what it holds for the length of the block.

        Args:
            refetch: files that are fetched even if they are there.

        Raises:
            NoLocksError: the file system does not lock, so nothing there may be shared.
            LockTimeoutError: another process is busy for too long.
            LeaseLostError: what is leased was taken away meanwhile; it cancels the block.
            Exception: see `sync`.

        Cancellation: locks and lease are given back; what was fetched counts in the next sync.
        Bounds: see `sync`; six descriptors, and those of the source.
        """
        await in_thread(self._folder.create)
        await in_thread(check_locks, self._folder.path.parent)
        async with AsyncExitStack() as stack:
            async with self._locks.hold(Mode.READ):
                async with self._locks.hold(Mode.SYNC):
                    index = await sync(self._folder, self._source, self._options, refetch=refetch)
                files = [pack.file for pack in index.packs]
                await stack.enter_async_context(leased(self._folder, files))
            yield Snapshot(self._folder, index, self._locks)

    async def prune(self) -> Pruned | None:
        """Removes what nobody needs, unless somebody is at work in the mirror; see `prune`."""
        return await prune(self._folder, self._locks)
