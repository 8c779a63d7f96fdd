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
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self, TypeVar, TypeVarTuple

from restore.errors import RestoreError, UsageError
from restore.flow.cancellation import CancelRequests

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Workers:
    """A fixed number of worker threads for CPU work and database writes.

    Its block encloses every task that uses it.

    Cancellation: a caller of `run` never leaves before its thread has; leaving the block joins idle threads
        only.
    Bounds: `threads` calls at once; each further caller waits with one queued call.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise UsageError("worker threads must be at least 1", found=threads)
        self._threads = threads
        self._executor: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="restore-worker")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._executor is not None:
            # Blocks the loop only while idle threads wake and end: whoever called `run` inside the block got
            # its thread back before the block could be left.
            self._executor.shutdown(wait=True)
            self._executor = None

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Runs `function(*args)` in a worker thread and returns its result.

        Cancellation: waits for the thread first, as the table above says.

        Raises:
            RestoreError: outside the block.
        """
        if self._executor is None:
            raise RestoreError("worker threads are used outside their block")
        call = self._executor.submit(_call, partial(function, *args))
        # `call.cancel` drops a call that is still queued and does nothing to one that runs.
        return await _to_the_end(asyncio.wrap_future(call), on_cancel=call.cancel)


def _call(function: Callable[[], T]) -> T:
    try:
        return function()
    except StopIteration as error:
        # A future cannot carry this one: until Python 3.12 the caller would wait for ever.
        raise RestoreError("function of a worker thread raised StopIteration") from error


async def shielded(awaitable: Awaitable[T]) -> T:
    """Awaits to the end even while cancelled, then lets the cancellation go on.

    Cancellation: never leaves before `awaitable` is done; the table above holds. Keep it short: a signal is
        answered only afterwards.
    """
    return await _to_the_end(asyncio.ensure_future(awaitable))


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
