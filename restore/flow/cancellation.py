"""Cancellation that an error overtook: noticed, and delivered again.

asyncio tells a task only once that it is cancelled. Where an error is raised in place of that
`CancelledError` (a failed sibling, a failed write), code above that handles the error and goes on would never
learn of it.
"""

from __future__ import annotations

import asyncio

from restore.errors import RestoreError


class CancelRequests:
    """Counts the requests to cancel the current task that came after this object was made."""

    __slots__ = ("_before", "_task")

    def __init__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RestoreError("structured concurrency needs a running task")
        self._task = task
        self._before = task.cancelling()

    @property
    def pending(self) -> bool:
        """Whether the task was asked to stop and has not taken that back (`Task.uncancel`)."""
        return self._task.cancelling() > self._before

    def deliver_again(self) -> None:
        """Cancels the task at its next suspension, if the request still stands by then.

        Call it just before raising an error in place of a `CancelledError`.
        """
        # Not at once: `asyncio.timeout` around us takes its own request back while the error passes through
        # it, without suspending. A cancellation set before that would outlive it (until Python 3.13) and hit
        # a task that nobody wants to stop. The callback runs only when the task suspends or ends, so it sees
        # the truth.
        if self.pending:
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        if self.pending and not self._task.done():
            # One request, delivered twice: the count stays as it was.
            self._task.uncancel()
            self._task.cancel()
