"""A call that is made again and again by the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timer:
    """Calls `call` every `seconds`, from `start` to `stop`.

    Not a task, which would have to be cancelled and waited for: `call` does not wait, and is never cut short.
    """

    def __init__(self, seconds: float, call: Callable[[], object]) -> None:
        self._seconds = seconds
        self._call = call
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Calls for the first time after `seconds`."""
        self._next = asyncio.get_running_loop().call_later(self._seconds, self._tick)

    def stop(self) -> None:
        """Calls no more. Idempotent."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _tick(self) -> None:
        self.start()  # first: the call may stop it
        self._call()
