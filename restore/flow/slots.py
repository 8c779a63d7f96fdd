"""How many chunks may be in progress at once: a fixed number, or one that follows what the link brings.

| what a window shows                            | what follows                                            |
| ---------------------------------------------- | ------------------------------------------------------- |
| the storage throttled us                       | half as many; no more for `THROTTLED_REST_WINDOWS`      |
| as many chunks wait to be applied as are read  | a step down; no more for `REST_WINDOWS`                 |
| the last step up brought clearly more          | the next step up                                        |
| it did not                                     | the step is taken back; no more for `REST_WINDOWS`      |

A step is judged by goodput: all bytes of a window over its time. How long one transfer takes is no measure:
it grows with every step, also where the whole becomes faster, and what follows it collapses on a fast link.
For the same reason a link that gets slower is no cause for fewer chunks. Nothing is ever below the floor.

A window is over after `WINDOW_SECONDS`, and when what was under way at its beginning has told of its bytes:
a transfer tells at its end. The first window after a change settles. Its bytes are partly of the number
before, so it shows only throttling.

There is no timer. The clock is looked at when a chunk ends: only then can another begin, so only then does
the number matter; and then the stream looks for room anyway, so nobody has to be woken when it grows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from restore.errors import UsageError
from restore.report.events import ConcurrencyChanged, Event, Received, Report, Throttled, silent

WINDOW_SECONDS = 5.0
"""Long enough for a command to start, a second or two, and for a new connection to find its speed."""

RECEIPTS_PER_CHUNK = 2
"""A chunk is two files at least, its records and its proof, and each tells of its bytes."""

STEP_UP = 1.5
"""From 2 to 64 in nine steps; and where the last one was too many, that is by half."""

GAIN = 1.1
"""A step that brings a tenth more was worth it: half of them would, and less is noise."""

REST_WINDOWS = 6
"""Half a minute between two tries in vain; what these windows bring is what the next try has to beat."""

THROTTLED_REST_WINDOWS = 60
"""Five minutes until a storage that threatened us is tempted again: each time it may stop all transfers."""


@dataclass(slots=True)
class _Window:
    """What was seen since the last decision.

    Attributes:
        began: when, by the clock.
        settling: bytes are partly of the number before.
        forgiving: so is throttling.
        size: bytes received.
        receipts: how often we were told of bytes.
        throttled: the storage asked us to slow down.
        chunks: chunks that ended.
        backlogged: those of them that ended while as many waited to be applied as ran.
    """

    began: float
    settling: bool
    forgiving: bool = False
    size: int = 0
    receipts: int = 0
    throttled: bool = False
    chunks: int = 0
    backlogged: int = 0


class Slots:
    """How many chunks may be in progress; shared by the streams of one run, one after the other.

    Args:
        floor: the number at first, and at least.
        ceiling: the number at most; the floor if not given, and the number is fixed.
        report: takes events.
        clock: seconds that never go back.

    Attributes:
        downloads: the number now.

    Raises:
        UsageError: a floor below 1, or above the ceiling.
    """

    def __init__(
        self,
        floor: int,
        *,
        ceiling: int | None = None,
        report: Report = silent,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if floor < 1:
            raise UsageError("concurrency must be at least 1", found=floor)
        if ceiling is not None and ceiling < floor:
            raise UsageError("ceiling of the concurrency is below its floor", expected=floor, found=ceiling)
        self.downloads = floor
        self._floor = floor
        self._ceiling = floor if ceiling is None else ceiling
        self._report = report
        self._clock = clock
        self._rest = 0  # windows before the next step up
        self.begin()

    def report(self, event: Event) -> None:
        """Takes the events of the storage that is read, learns from them, and passes them on."""
        if isinstance(event, Received):
            self._window.size += event.size
            self._window.receipts += 1
        elif isinstance(event, Throttled):
            self._window.throttled = not self._window.forgiving
        self._report(event)

    def begin(self) -> None:
        """A stream begins: what was measured before tells nothing about it."""
        self._before: int | None = None  # the number before the step up that is on trial
        self._best = 0.0  # goodput that the step has to beat
        self._look(settling=True)

    def chunk_ended(self, *, running: int, ready: int) -> None:
        """A chunk has ended: decides, if it is time to.

        Args:
            running: chunks that are still in progress.
            ready: finished ones that could be applied now.
        """
        if self._floor == self._ceiling:
            return
        window = self._window
        window.chunks += 1
        window.backlogged += ready >= running
        if window.throttled:
            half = self.downloads // 2
            self._lower(half, "the storage throttles", rest=THROTTLED_REST_WINDOWS, forgiving=True)
        elif not self._is_over():
            return
        elif window.settling:
            self._look()
        elif 2 * window.backlogged > window.chunks:
            step = int(self.downloads / STEP_UP)
            self._lower(step, "chunks wait to be applied", rest=REST_WINDOWS)
        else:
            self._judge(window.size / (self._clock() - window.began))

    def _is_over(self) -> bool:
        if self._window.receipts < RECEIPTS_PER_CHUNK * self.downloads:
            return False
        return self._clock() - self._window.began >= WINDOW_SECONDS

    def _judge(self, goodput: float) -> None:
        """Takes the step on trial back, or goes on."""
        if self._before is not None and goodput < GAIN * self._best:
            self._lower(self._before, "more at once brought no more", rest=REST_WINDOWS)
            return
        self._before = None
        self._best = max(self._best, goodput)
        if self._rest or self.downloads == self._ceiling:
            self._rest = max(0, self._rest - 1)
            self._look()
        else:
            self._before = self.downloads
            step = min(self._ceiling, math.ceil(self.downloads * STEP_UP))
            self._change(step, "looking whether more at once brings more")

    def _lower(self, downloads: int, reason: str, *, rest: int, forgiving: bool = False) -> None:
        self._rest = rest
        self._before = None
        self._best = 0.0
        self._change(max(self._floor, downloads), reason, forgiving=forgiving)

    def _change(self, downloads: int, reason: str, *, forgiving: bool = False) -> None:
        if downloads != self.downloads:
            self.downloads = downloads
            self._report(ConcurrencyChanged(downloads, reason))
        self._look(settling=True, forgiving=forgiving)

    def _look(self, *, settling: bool = False, forgiving: bool = False) -> None:
        self._window = _Window(self._clock(), settling=settling, forgiving=forgiving)
