"""The figures of all transfers of a run: what comes over the network, and what goes wrong there."""

from __future__ import annotations

from restore.report.events import ConcurrencyChanged, Event, Received, Retried
from restore.report.figures import ALL, joined, show_bytes, show_count
from restore.report.tally import Tally
from restore.report.window import Window

REASON_SECONDS = 5.0
"""So long is shown why something was tried again, or the number of downloads changed: one line of a log."""


class Link:
    """The figures of a run's transfers; nothing moves where the storage is a folder of this machine."""

    def __init__(self, *, now: float) -> None:
        self._tally = Tally()
        self._received = Window(0, now=now)
        self._reason = ("", now)  # the last one, and when it came

    @property
    def has_moved(self) -> bool:
        """Whether there is anything to tell of it."""
        tally = self._tally
        return any((tally.received, tally.retries, tally.stalls, tally.throttles))

    @property
    def retries(self) -> int:
        """Requests and commands that were tried again."""
        return self._tally.retries

    def take(self, event: Event, *, now: float) -> None:
        """Adds what `event` tells."""
        self._tally(event)
        match event:
            case Received():
                self._received.add(event.size, now=now)
            case Retried() | ConcurrencyChanged():
                self._reason = (event.reason, now)

    def progress(self, now: float, *, detail: int = ALL) -> str:
        """The figures so far, as many as `detail` allows."""
        figures = [(0, f"{show_bytes(self._received.rate(now))}/s"), *self._counts()]
        if self._tally.concurrency is not None:
            figures.append((2, show_count(self._tally.concurrency, "downloads")))
        reason, since = self._reason
        if reason and now - since < REASON_SECONDS:
            figures.append((3, reason))
        return joined(figures, detail=detail)

    def summary(self) -> str:
        """The figures of a run that ended."""
        return joined([(0, show_bytes(self._tally.received)), *self._counts()])

    def _counts(self) -> list[tuple[int, str]]:
        tally = self._tally
        counts = (
            (1, tally.retries, "retries"),
            (1, tally.stalls, "stalls"),
            (2, tally.hedges, "hedges"),
            (1, tally.throttles, "throttles"),
        )
        return [(importance, show_count(count, name)) for importance, count, name in counts if count]
