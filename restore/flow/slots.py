"""How many chunks may be in progress at once: a fixed number, or one that follows what the link brings.

| what a window shows                               | what follows                                     |
| ------------------------------------------------- | ------------------------------------------------ |
| the storage throttles                             | a step down, at once; no step up for 5 minutes   |
| a step up brought clearly more                    | the next step up                                 |
| it brought no more                                | it is taken back; no step up for a minute        |
| most of the time too many wait to be applied      | no step up; a step down if it lasts for a minute |

It begins at a quick pace, as a TCP connection does, so that a link with room is full within seconds. It goes
on at a careful one as soon as the storage throttles, chunks wait to be applied, or a second step was in vain;
after the first, there is no minute's rest.

A step is judged by goodput: all bytes of a window over its time. How long one transfer takes is no measure:
it grows with every step, also where the whole becomes faster, and what follows it collapses on a fast link.
Nor is a link that gets slower a cause for fewer chunks.

A window is over when its time is, and when what was under way at its beginning has told of its bytes: a
transfer tells at its end. The first window after a change only settles, and shows nothing but throttling:
more may run than the new number allows, and its bytes are partly of the old one. At the quick pace, and if
the number grew, it takes only as long as one transfer of each chunk.

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

RECEIPTS_PER_CHUNK = 4
"""A chunk of the published backups takes about so many transfers: its records in parts, and its proof."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How steps up are tried.

    Attributes:
        window_seconds: what a window that counts takes, at least.
        step: so many times as many chunks.
        gain: so many times the goodput; a step that brings less was in vain.
    """

    window_seconds: float
    step: float
    gain: float


QUICK = Pace(window_seconds=0.5, step=2.0, gain=1.2)
"""From 2 to 64 in five steps. So short a time is noisy, but twice as many bring twice as much where there is
room; a fifth more is no noise, and no sign of much more."""

QUICK_TRIES = 2
"""Steps in vain until the pace is careful: one may be so since the few files before it were large ones."""

CAREFUL = Pace(window_seconds=5.0, step=1.5, gain=1.1)
"""At most two steps above what fills the link. A window is long enough for a command to start, a second or
two, and for a new connection to find its speed; less than a tenth more may be noise even so."""

REST_WINDOWS = 12
"""A careful minute between two steps in vain; the best of these windows is what the next step has to beat."""

THROTTLED_REST_WINDOWS = 60
"""Five minutes: a storage that throttles stops all transfers, so it is not tempted often."""


@dataclass(slots=True)
class _Window:
    """What was seen since the last decision.

    Attributes:
        began: when, by the clock.
        settling: its bytes are partly of the number before.
        forgiving: so is its throttling, since that number was larger.
        size: bytes received.
        receipts: how often we were told of bytes.
        throttled: the storage asked us to slow down.
        chunks: chunks that ended.
        backlogged: those of them that left no room for another, since too many wait to be applied.
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
        self._quick_tries = QUICK_TRIES
        self._rest = 0  # windows before the next step up
        self.begin()

    def report(self, event: Event) -> None:
        """Takes the events of the storage that is read, learns from them, and passes them on."""
        if isinstance(event, Received):
            self._window.size += event.size
            self._window.receipts += 1
            if self._settles_early():
                self._look()
        elif isinstance(event, Throttled):
            self._window.throttled = not self._window.forgiving
        self._report(event)

    def begin(self) -> None:
        """A stream begins: what was measured before tells nothing about it."""
        self._before: int | None = None  # the number before the step up that is on trial
        self._best = 0.0  # goodput that it has to beat
        self._backlogs = 0  # windows in a row with a backlog
        self._look(settling=True)

    def chunk_ended(self, *, running: int, backlog: bool) -> None:
        """A chunk has ended: decides, if it is time to.

        Args:
            running: chunks that are still in progress.
            backlog: no other can begin, since too many wait to be applied.
        """
        window = self._window
        window.chunks += 1
        window.backlogged += backlog
        if window.throttled:
            self._quick_tries = 0
            self._lower("the storage throttles", rest=THROTTLED_REST_WINDOWS)
        elif running > self.downloads or not self._is_over():
            return
        elif window.settling:
            self._look()
        elif 2 * window.backlogged > window.chunks:
            self._quick_tries = 0
            self._backlogs += 1
            if self._backlogs >= REST_WINDOWS:
                self._lower("chunks wait to be applied", rest=REST_WINDOWS)
            else:
                self._look()
        else:
            self._backlogs = 0
            self._judge(window.size / (self._clock() - window.began))

    @property
    def _pace(self) -> Pace:
        return QUICK if self._quick_tries else CAREFUL

    def _settles_early(self) -> bool:
        window = self._window
        if self._pace is CAREFUL or not window.settling or window.forgiving or window.throttled:
            return False
        return window.receipts >= self.downloads

    def _is_over(self) -> bool:
        if self._window.receipts < RECEIPTS_PER_CHUNK * self.downloads:
            return False
        return self._clock() - self._window.began >= self._pace.window_seconds

    def _judge(self, goodput: float) -> None:
        """Takes the step on trial back, or goes on."""
        if self._before is not None and goodput < self._pace.gain * self._best:
            self._quick_tries = max(0, self._quick_tries - 1)
            self._lower("more at once brought no more", rest=0 if self._quick_tries else REST_WINDOWS)
            return
        self._before = None
        self._best = max(self._best, goodput)
        if self._rest or self.downloads == self._ceiling:
            self._rest = max(0, self._rest - 1)
            self._look()
        else:
            self._before = self.downloads
            step_up = min(self._ceiling, math.ceil(self.downloads * self._pace.step))
            self._change(step_up, "more at once may bring more")

    def _lower(self, reason: str, *, rest: int) -> None:
        step_down = self._before or max(self._floor, int(self.downloads / self._pace.step))
        self._rest = max(self._rest, rest)
        self._before = None
        self._best = 0.0
        self._backlogs = 0
        self._change(step_down, reason, forgiving=True)

    def _change(self, downloads: int, reason: str, *, forgiving: bool = False) -> None:
        if downloads != self.downloads:
            self.downloads = downloads
            self._report(ConcurrencyChanged(downloads, reason))
        self._look(settling=True, forgiving=forgiving)

    def _look(self, *, settling: bool = False, forgiving: bool = False) -> None:
        self._window = _Window(self._clock(), settling=settling, forgiving=forgiving)
