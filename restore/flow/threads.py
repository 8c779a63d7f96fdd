"""Work that a cancelled `await` cannot stop: worker threads, and anything that must not be left half done.

A cancelled `await` does not stop a thread. So the caller waits for the end of what it began, however often it
is cancelled meanwhile, and only then lets the cancellation go on:

| the work      | caller not cancelled | caller cancelled                                            |
| ------------- | -------------------- | ----------------------------------------------------------- |
| ends well     | gets the result      | `CancelledError`; the result is lost, the work is not       |
| raises        | gets the error       | gets the error, and is cancelled again when it next waits   |
| has not begun |                      | `CancelledError`; a call that is still queued never begins  |

The error comes first because nobody else could report it: a full disk must not read as "interrupted".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self, TypeVar, TypeVarTuple

from restore.errors import RestoreError, UsageError
from restore.flow.cancellation import CancelRequests

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Workers:
    """A fixed number of worker threads for CPU work and database writes.

    Its block encloses every task that uses it. (An executor of the standard library does the same, and around
    each call so much that small files were unpacked at seven eighths of the speed.)

    Cancellation: a caller of `run` never leaves before its thread has; leaving the block joins idle threads
        only.
    Bounds: `threads` calls at once; each further caller waits with one queued call.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise UsageError("worker threads must be at least 1", found=threads)
        self._number = threads
        self._threads: list[Thread] = []
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()

    async def __aenter__(self) -> Self:
        for number in range(self._number):
            thread = Thread(target=self._serve, name=f"restore-worker-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                self._join()
                raise
            self._threads.append(thread)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Blocks the loop only while idle threads wake and end: whoever called `run` inside the block got its
        # thread back before the block could be left.
        self._join()

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Runs `function(*args)` in a worker thread and returns its result.

        Cancellation: waits for the thread first, as the table above says.

        Raises:
            RestoreError: outside the block.
        """
        if not self._threads:
            raise RestoreError("worker threads are used outside their block")
        call = _Call(partial(function, *args))
        self._calls.put(call)
        result: T = await _to_the_end(call.future, on_cancel=call.drop)
        return result

    def _join(self) -> None:
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call.make()
            del call  # else its result would live until the next one comes


class _Call:
    """One call: made by a thread, or dropped by who waits for it, whoever comes first."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()
        self._function = function
        self._claim = Lock()  # taken once, and never given back

    def make(self) -> None:
        """Makes it in this thread, unless it was dropped."""
        if not self._claim.acquire(blocking=False):
            return
        try:
            result = self._function()
        except StopIteration as error:
            # A future cannot carry this one.
            wrong = RestoreError("function of a worker thread raised StopIteration")
            wrong.__cause__ = error
            self._loop.call_soon_threadsafe(self.future.set_exception, wrong)
        except BaseException as error:  # noqa: BLE001  it is the caller's
            self._loop.call_soon_threadsafe(self.future.set_exception, error)
        else:
            self._loop.call_soon_threadsafe(self.future.set_result, result)

    def drop(self) -> None:
        """Drops it, unless a thread makes it."""
        if self._claim.acquire(blocking=False):
            self.future.cancel()


async def shielded(awaitable: Awaitable[T]) -> T:
    """Awaits to the end even while cancelled, then lets the cancellation go on.

    Cancellation: never leaves before `awaitable` is done; the table above holds. Keep it short: a signal is
        answered only afterwards.
    """
    return await _to_the_end(asyncio.ensure_future(awaitable))


async def in_thread(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Runs `function(*args)` in a thread of the event loop, to its end even while cancelled.

    Cancellation: waits for the thread first, as the table above says.
    """
    return await shielded(asyncio.to_thread(function, *args))


async def _to_the_end(future: asyncio.Future[T], *, on_cancel: Callable[[], object] | None = None) -> T:
    requests = CancelRequests()
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            # `wait` leaves the future alone when it is cancelled; awaiting the future itself would cancel it.
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            # Perhaps not the last: a group that aborts while its parent is cancelled cancels twice.
            cancelled = cancelled or error
            if on_cancel is not None:
                on_cancel()
    # Done and cancelled in the same tick, in either order, ends up here too: `wait` was cancelled, and the
    # future is done. The caller was asked to stop before it saw the result, so it stops.
    if cancelled is None:
        return future.result()
    if future.cancelled() or future.exception() is None:
        raise cancelled
    requests.deliver_again()
    return future.result()
