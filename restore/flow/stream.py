"""The buffered stream: concurrent work, ordered results, nothing left behind.

    async with OrderedStream(chunks, download, concurrency=8, discard=Chunk.release) as results:
        async for result in results:
            await save(result)

It is a block that owns a `TaskGroup`, and no bare async generator: a generator that yields inside a group
shows a busy consumer a plain `CancelledError` in place of the error, and leaves its tasks running after
`break`.

Three kinds of task meet here: the consumer (whoever entered the block), the feeder, which pulls items and
starts work, and one task for each item. The held tasks stand in one queue, in item order. Everything else
(how many run, whether there is room) is derived from that queue, so that no counter can be wrong after a
cancellation: a task cancelled before its first step runs no line of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from restore.errors import RestoreError
from restore.flow.cancellation import CancelRequests
from restore.flow.slots import Slots

T = TypeVar("T")
R = TypeVar("R")

HELD_PER_RUNNING = 2
"""Held tasks for each that may run: as many finished chunks may wait for their turn as are in progress."""


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """What a stream does and did.

    Attributes:
        started: items pulled and begun.
        delivered: results the consumer got.
        running: tasks that run now.
        held: tasks that run, or are finished and wait for their turn.
        peak_running: the most that ran at once.
        peak_held: the most that were held at once.
    """

    started: int
    delivered: int
    running: int
    held: int
    peak_running: int
    peak_held: int


class OrderedStream(Generic[T, R]):
    """Runs `work` on each of `items` concurrently and gives the results in the order of the items.

    Entered once, and iterated by the task that entered it. Work begins in item order: what it does before its
    first suspension (opening a lease of a `Budget`) happens in that order too.

    Args:
        items: pulled one by one, each only when there is room to start it.
        work: makes one result. Leaving early cancels it, perhaps before its first step: what it owns it takes
            inside.
        concurrency: how many may run at once. Where `Slots` give fewer than run, those come to their end.
        discard: called with each finished result that the consumer never got (it left early, or another item
            failed), to release what the result holds. It must not raise.

    Cancellation: leaving the block for any reason cancels what runs and waits for it; nothing outlives the
        block. The first error, of work or items, cancels the other tasks and the consumer, wherever that
        waits, and is what the block raises. A consumer that is cancelled from outside gets a plain
        `CancelledError`; if an error comes with it the block raises the error, and the consumer is cancelled
        again where it next waits.
    Bounds: `concurrency` running, twice as many held, and one result in the consumer's hands.

    Raises:
        Exception: what work, items or the body raised; several errors as an `ExceptionGroup`.
    """

    def __init__(
        self,
        items: Iterable[T],
        work: Callable[[T], Awaitable[R]],
        *,
        concurrency: int | Slots,
        discard: Callable[[R], object] | None = None,
    ) -> None:
        self._items = items
        self._work = work
        self._slots = concurrency if isinstance(concurrency, Slots) else Slots(concurrency)
        self._discard = discard
        self._group = asyncio.TaskGroup()
        self._held: deque[asyncio.Task[R]] = deque()
        # Set whenever a task ends (which is also when more may run than before), a task starts or a result is
        # taken. Feeder and consumer share it, and each looks at its own condition, clears and waits without a
        # suspension in between. No wake-up is lost: `set` wakes whoever already waits, whatever is cleared
        # afterwards.
        self._changed = asyncio.Event()
        self._started = self._delivered = self._peak_running = self._peak_held = 0

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._requests = CancelRequests()
        self._slots.begin()
        self._feeder = self._group.create_task(self._feed())
        self._feeder.add_done_callback(self._wake)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A group waits for its tasks on a normal exit; it cancels them only on an error. So leaving early is
        # told to it as a cancellation. Cancelling the tasks ourselves is not enough: an error in one's
        # clean-up would then count as the group's first, and until Python 3.13 the group would leave a cancel
        # request on us that nobody made.
        leaving = asyncio.CancelledError() if error is None else error
        meanwhile = CancelRequests()
        failure: BaseException | None = None
        try:
            await self._group.__aexit__(type(leaving), leaving, traceback)
        except BaseExceptionGroup as group:
            failure = sole_error(group)
        except asyncio.CancelledError:
            # Ours, unless the body was cancelled, or we are, while we wait here.
            if error is not None or meanwhile.pending:
                raise
        finally:
            self._release()
        if failure is None:
            return
        # The group prefers errors to a cancellation from outside, and so do we; but the request stands.
        self._requests.deliver_again()
        if failure is not error:
            _raise_unchanged(failure)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        """The next result, in item order.

        Cancellation: always a cancel point, also when the result is there; the result is not lost to
            `discard`.
        """
        while not self._front().done():
            self._changed.clear()
            await self._changed.wait()
        # When a task fails, its callbacks are queued at once, the group's among them, which cancels us. We
        # queue behind it here. So whether the group or we learned of the failure first, no result is
        # delivered after it, and the error reaches the consumer once, by the group.
        await asyncio.sleep(0)
        front = self._front()
        if front.cancelled() or front.exception() is not None:
            # Still here: the body swallowed the group's cancellation, or work was cancelled by someone who is
            # not its group. Waiting would never end.
            raise RestoreError("ordered stream goes on after a task of it failed or was cancelled")
        if not self._held:
            raise StopAsyncIteration
        # No suspension from here to the consumer: a result is either still held or the consumer's.
        task = self._held.popleft()
        self._delivered += 1
        self._changed.set()
        return task.result()

    def statistics(self) -> StreamStatistics:
        """What runs and waits now, and the most that did."""
        return StreamStatistics(
            started=self._started,
            delivered=self._delivered,
            running=self._running(),
            held=len(self._held),
            peak_running=self._peak_running,
            peak_held=self._peak_held,
        )

    async def _feed(self) -> None:
        for item in self._items:
            task = self._group.create_task(self._one(item))
            task.add_done_callback(self._on_end)
            self._held.append(task)
            self._started += 1
            self._peak_running = max(self._peak_running, self._running())
            self._peak_held = max(self._peak_held, len(self._held))
            self._changed.set()
            await self._room()

    async def _one(self, item: T) -> R:
        return await self._work(item)

    async def _room(self) -> None:
        while self._running() >= self._slots.downloads or self._is_full():
            self._changed.clear()
            await self._changed.wait()

    def _is_full(self) -> bool:
        return len(self._held) >= HELD_PER_RUNNING * self._slots.downloads

    def _running(self) -> int:
        return sum(not task.done() for task in self._held)

    def _front(self) -> asyncio.Task[Any]:
        """What the consumer waits for: the oldest held task, or the feeder when none is held."""
        return self._held[0] if self._held else self._feeder

    def _on_end(self, task: asyncio.Task[Any]) -> None:
        backlog = self._held[0] is not task and self._held[0].done() and self._is_full()
        self._slots.chunk_ended(running=self._running(), backlog=backlog)
        self._wake(task)

    def _wake(self, _task: asyncio.Task[Any]) -> None:
        self._changed.set()

    def _release(self) -> None:
        """Discards the results nobody will get. Every task has ended by now."""
        while self._held:
            task = self._held.popleft()
            if not task.cancelled() and task.exception() is None and self._discard is not None:
                self._discard(task.result())


def sole_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error in `group`, however deep; or the group, outermost or inside, that holds several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _raise_unchanged(error: BaseException) -> NoReturn:
    """Raises `error` with the context it has, not with the body's `CancelledError` that is being handled."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
