"""Brings the bytes of one chunk here, within the run's budgets.

A task asks for a descriptor, then for bytes, piece by piece; the oldest unfinished chunk always gets both.
Records are cut while the pieces arrive, so that an impossible length stops the chunk before anything is
allocated for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import TracebackType

from restore.errors import CorruptAnswerError, FormatError, ManifestError, located
from restore.flow.budget import Budget, Lease
from restore.flow.slots import Slots
from restore.flow.threads import Workers
from restore.limits import Limits
from restore.report.stopwatch import Stopwatch
from restore.storage.base import FileHandle, Piece, Storage, read_again_if_damaged, read_file
from restore.wire.records import FramedRecords, RecordScanner

MAX_PROOF_BYTES = 16 << 20
"""A proof file holds at most 256 hashes and one ledger info (about 20 KB on mainnet): far below this."""

MAX_CHUNK_BYTES = 1 << 30
"""Unpacked; backups are written in chunks of 128 MiB. No budget stops the oldest chunk, and a packed file of
some MB can unpack to many GB, with as many records as its manifest announces: nothing else would end it."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What one chunk holds of the budgets, from its first byte until it is durable."""

    memory: Lease
    descriptor: Lease

    @property
    def waited(self) -> float:
        """Seconds that it waited for either."""
        return self.memory.waited + self.descriptor.waited

    def release(self) -> None:
        """Gives everything back. Idempotent."""
        self.memory.close()
        self.descriptor.close()


class Fetcher:
    """Reads chunks and small files of one storage under one set of budgets.

    Args:
        storage: where they are.
        limits: the budgets.
        slots: how many chunks may be in progress at once; always `limits.concurrency` if not given. They take
            its events too.

    Bounds: `limits.memory_bytes` plus the oldest chunk, of `MAX_CHUNK_BYTES` at most and what decoding takes;
        `limits.descriptors` open files.
    """

    def __init__(self, storage: Storage, limits: Limits, *, slots: Slots | None = None) -> None:
        self.storage = storage
        self.limits = limits
        self.slots = slots or Slots(limits.concurrency)
        self.memory = Budget("memory", limits.memory_bytes)
        self.descriptors = Budget("descriptors", limits.descriptors)
        self.workers = Workers(limits.threads)

    async def __aenter__(self) -> Fetcher:
        """Starts the worker threads."""
        await self.workers.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Waits for the worker threads."""
        await self.workers.__aexit__(kind, error, traceback)

    @contextmanager
    def holding(self) -> Iterator[Hold]:
        """What the next chunk holds: given back here on an error, else by whoever gets the chunk.

        Age is by the order of these calls, and the oldest never waits: enter it first thing in a stream's
        work.
        """
        hold = Hold(self.memory.lease(), self.descriptors.lease())
        try:
            yield hold
        except BaseException:
            hold.release()
            raise

    @asynccontextmanager
    async def records(
        self,
        handle: FileHandle,
        hold: Hold,
        watch: Stopwatch,
        *,
        expected: int,
        decoded_bytes: Callable[[FramedRecords], int],
    ) -> AsyncIterator[FramedRecords]:
        """Reads one record file; its bytes are on loan for the length of the block.

        Args:
            handle: the file.
            hold: what pays for it.
            watch: is told how long it took.
            expected: how many records it has to have; reading stops at the first one too many.
            decoded_bytes: memory that decoding them takes besides the file; charged once the file is here.

        Raises:
            FormatError: a torn or impossible record, with its offset; more than `MAX_CHUNK_BYTES`.
            ManifestError: another number of records.
        """
        waited = hold.waited
        await hold.descriptor.take(self.storage.descriptors_per_file)
        async with AsyncExitStack() as opened:
            with located(file=handle):
                records, unpacking = await read_again_if_damaged(
                    lambda: self._read_records(opened, handle, hold, expected),
                    file=handle,
                    report=self.slots.report,
                )
                if records.count != expected:
                    raise _miscounted(expected, records.count)
            await hold.memory.take(decoded_bytes(records))
            watch.set_aside("budget", hold.waited - waited)
            watch.set_aside("unpack", unpacking, items=expected, size=records.size)
            watch.lap("fetch", items=expected, size=records.size)
            yield records
        hold.descriptor.give_back(self.storage.descriptors_per_file)

    async def _read_records(
        self, opened: AsyncExitStack, handle: FileHandle, hold: Hold, expected: int
    ) -> tuple[FramedRecords, float]:
        scanner = RecordScanner()

        def check(data: Piece) -> None:
            if len(data) > MAX_CHUNK_BYTES:
                raise FormatError(
                    "file is too long for a chunk", expected=f"{MAX_CHUNK_BYTES} bytes unpacked at most"
                )
            scanner.scan(data)
            if scanner.count > expected:
                raise _miscounted(expected, f"more than {expected}")

        held = hold.memory.held
        try:
            async with AsyncExitStack() as attempt:
                reader = await attempt.enter_async_context(
                    self.storage.open_for_read(handle, payer=hold.memory)
                )
                records = scanner.finish(await reader.read_rest(check))
                # What was read stays on loan until the caller's block is left.
                opened.push_async_exit(attempt.pop_all())
                return records, reader.unpacking
        except CorruptAnswerError:
            hold.memory.give_back(hold.memory.held - held)
            raise

    async def read_small(self, handle: FileHandle, hold: Hold, *, max_bytes: int = MAX_PROOF_BYTES) -> bytes:
        """Reads one small file whole.

        Raises:
            FormatError: it is larger than `max_bytes`.
        """
        await hold.descriptor.take(self.storage.descriptors_per_file)
        data = await read_file(
            self.storage, handle, max_bytes=max_bytes, payer=hold.memory, report=self.slots.report
        )
        hold.descriptor.give_back(self.storage.descriptors_per_file)
        return data


def _miscounted(expected: int, found: object) -> ManifestError:
    return ManifestError("another number of records than the manifest says", expected=expected, found=found)
