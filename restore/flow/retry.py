"""Who is tried again, how often, and after how long: decided by an error's class, never by its text.

| class                 | what it is                   | tries without progress | pause before the next  |
| --------------------- | ---------------------------- | ---------------------- | ---------------------- |
| TransientStorageError | a reset, a time-out, a stall | 10                     | 0.1 s, doubled to 20 s |
| ThrottledError        | 429, 503, SlowDown           | for 10 minutes         | as asked, or 1 to 30 s |
| CorruptAnswerError    | bytes that cannot be right   | 3                      | as the first           |
| any other             | fatal: it stays so           | 1                      |                        |

Progress starts the count anew: a link that breaks every few megabytes still brings a file here. Each pause is
drawn between its half and its whole, so that those who failed together do not come back together. A throttled
request stops all of them: whoever asks next waits at the gate until the pause is over.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState

from restore.errors import CorruptAnswerError, RestoreError, ThrottledError, TransientStorageError
from restore.report.events import Report, Retried, Throttled

T = TypeVar("T")

RETRIED = (TransientStorageError, ThrottledError, CorruptAnswerError)

TRANSIENT_TRIES = 10
"""With the pauses below that is about a minute without one byte: longer than a fail-over takes."""

CORRUPT_TRIES = 3
"""Another server, another connection may answer right; a file that lies there damaged will not change."""

THROTTLED_SECONDS = 600.0
"""A storage that refuses everybody for ten minutes is down."""

FIRST_PAUSE = 0.1
"""Seconds; most failures are gone by then."""

LONGEST_PAUSE = 20.0
FIRST_THROTTLED_PAUSE = 1.0
LONGEST_THROTTLED_PAUSE = 30.0
"""Seconds; a server that names a longer one in Retry-After is obeyed up to `THROTTLED_SECONDS`."""

Sleep = Callable[[float], Awaitable[None]]


class Retry:
    """Tries the requests to one storage again.

    Args:
        report: is told of each retry.
        sleep: waits; the event loop's unless a test says otherwise.
        clock: the time that `sleep` passes; the event loop's unless a test says otherwise.
        jitter: draws from 0 to 1.
    """

    def __init__(
        self,
        report: Report,
        *,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._report = report
        self._sleep = sleep
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._jitter = jitter
        self._open_at = 0.0  # when the gate opens; it is open where that is over

    async def run(
        self, attempt: Callable[[], Awaitable[T]], *, file: str, progress: Callable[[], int] = lambda: 0
    ) -> T:
        """The result of `attempt`, called again as the table says.

        Args:
            attempt: one try; it goes on from where the last one came to.
            file: what the tries are about, for the report.
            progress: how far they have come; the counts start anew when it has grown.

        Raises:
            RestoreError: what the last try raised.
        """
        try:
            if self._open_at:
                await self._pass_gate()
            return await attempt()
        except RETRIED as error:
            failed = [error]  # most requests never come this far, and so pay nothing for the machinery below

        patience = _Patience(progress, self._clock)

        async def next_try() -> T:
            if failed:
                raise failed.pop()  # the first try, which has been made
            await self._pass_gate()
            return await attempt()

        def counts(state: RetryCallState) -> bool:  # is asked first, and once for each try
            if not isinstance(state.outcome and state.outcome.exception(), RETRIED):
                return False
            patience.count_failure()
            return True

        def pause(state: RetryCallState) -> float:
            return self._pause(patience, _error_of(state))

        def tell(state: RetryCallState) -> None:
            wait = state.next_action.sleep if state.next_action else 0.0
            reason = _error_of(state).message
            self._report(Retried(file, reason, attempt=state.attempt_number + 1, wait=wait))

        return await AsyncRetrying(
            retry=counts,
            stop=lambda state: patience.is_over(_error_of(state)),
            wait=pause,
            before_sleep=tell,
            sleep=self._sleep,
            reraise=True,
        )(next_try)

    def _pause(self, patience: _Patience, error: RestoreError) -> float:
        doubled: float = 2.0 ** min(patience.failures - 1, 16)
        if not isinstance(error, ThrottledError):
            return self._drawn(min(FIRST_PAUSE * doubled, LONGEST_PAUSE))
        if error.retry_after is None:
            seconds = self._drawn(min(FIRST_THROTTLED_PAUSE * doubled, LONGEST_THROTTLED_PAUSE))
        else:
            seconds = min(error.retry_after, THROTTLED_SECONDS)
        self._close_gate(seconds)
        return seconds

    def _close_gate(self, seconds: float) -> None:
        now = self._clock()
        if now + seconds > self._open_at:
            if now >= self._open_at:  # else it was told when the gate closed
                self._report(Throttled(seconds))
            self._open_at = now + seconds

    async def _pass_gate(self) -> None:
        # More may be refused, and the gate be closed for longer, while this waits.
        while (seconds := self._open_at - self._clock()) > 0:
            await self._sleep(seconds + self._drawn(FIRST_PAUSE))

    def _drawn(self, seconds: float) -> float:
        return seconds * (0.5 + 0.5 * self._jitter())


class _Patience:
    """What of the tries is used up since the last progress."""

    def __init__(self, progress: Callable[[], int], clock: Callable[[], float]) -> None:
        self.failures = 0
        self._progress = progress
        self._clock = clock
        self._reached = progress()
        self._since = clock()

    def count_failure(self) -> None:
        """Counts a failure: as the first, if it came after progress."""
        reached = self._progress()
        if reached > self._reached:
            self._reached, self._since, self.failures = reached, self._clock(), 0
        self.failures += 1

    def is_over(self, error: RestoreError) -> bool:
        """Whether the failure just counted, `error`, was the last that is borne."""
        if isinstance(error, ThrottledError):
            return self._clock() - self._since >= THROTTLED_SECONDS
        tries = CORRUPT_TRIES if isinstance(error, CorruptAnswerError) else TRANSIENT_TRIES
        return self.failures >= tries


def _error_of(state: RetryCallState) -> RestoreError:
    """What the try that just ended raised: one of `RETRIED`."""
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, RestoreError):
        raise RestoreError("a try that did not fail is looked at as a failure")
    return error
