"""How often a command of an adapter is run, and after which pauses.

| failed with                    | runs | pause before the next |
| ------------------------------ | ---- | --------------------- |
| an exit status, a signal       | 3    | 1 s, then 2 s         |
| no progress                    | 3    | the same              |
| anything else                  | 1    |                       |

Fewer and longer than for requests of our own (flow/retry.py): programs like `aws` have tried again themselves
before they fail. Each pause is drawn between its half and its whole.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from restore.errors import TransientStorageError
from restore.report.events import Report, Retried

RUNS = 3
FIRST_PAUSE = 1.0
"""Seconds, doubled for each further one."""

Sleep: TypeAlias = Callable[[float], Awaitable[object]]

T = TypeVar("T")


class Repeating:
    """Runs commands again.

    Args:
        report: is told of each further try.
        sleep: waits; the event loop's unless a test says otherwise.
        jitter: draws from 0 to 1.
    """

    def __init__(
        self, report: Report, *, sleep: Sleep = asyncio.sleep, jitter: Callable[[], float] = random.random
    ) -> None:
        self._report = report
        self._sleep = sleep
        self._jitter = jitter

    async def run(self, attempt: Callable[[], Awaitable[T]], *, file: str) -> T:
        """The result of `attempt`, called again as the table says.

        Raises:
            RestoreError: what the last try raised.
        """
        runs = 1
        while True:
            try:
                return await attempt()
            except TransientStorageError as error:
                await self.pause(error, runs, file=file)
                runs += 1

    async def pause(self, error: TransientStorageError, runs: int, *, file: str) -> None:
        """Waits after the run number `runs`, which failed with `error`.

        Raises:
            TransientStorageError: `error`, as it was the last one.
        """
        if runs >= RUNS:
            raise error
        wait = FIRST_PAUSE * 2 ** (runs - 1) * (0.5 + 0.5 * self._jitter())
        self._report(Retried(file, error.message, attempt=runs + 1, wait=wait))
        await self._sleep(wait)
