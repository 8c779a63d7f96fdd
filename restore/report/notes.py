"""What the operator reads of transfers besides the figures: now and then a sentence, which names one trouble.

| of                   | is told                                                                         |
| -------------------- | ------------------------------------------------------------------------------- |
| a retry              | where it is noticed: without a byte for a second; every few seconds, with count |
| a stall, a throttle  | once a minute                                                                   |

A stall and a throttle also cause retries, of which nothing more is told then.
"""

from __future__ import annotations

from restore.report.events import Event, Received, Retried, Stalled, Throttled
from restore.report.figures import show_count, show_seconds
from restore.report.link import Link

NOTE_SECONDS = 60.0
"""Between two sentences of one kind: the figures count those in between."""

RETRY_SECONDS = 5.0
"""Between two about retries: a storage that does not answer is given up within a minute."""

SILENT_SECONDS = 1.0
"""Without a byte for so long, or about to be: what is over sooner nobody misses."""


class Notes:
    """Chooses the sentences of one run.

    Args:
        link: the figures of its transfers, which take an event first.
        now: when it began.
    """

    def __init__(self, link: Link, *, now: float) -> None:
        self._link = link
        self._received_at = now
        self._next: dict[type[Event], float] = {}

    def take(self, event: Event, *, now: float) -> str | None:
        """What the operator should read of `event`, if anything."""
        match event:
            case Received():
                self._received_at = now
            case Retried() if max(event.wait, now - self._received_at) >= SILENT_SECONDS:
                if self._is_due(Retried, now=now, again=now + RETRY_SECONDS):
                    retries = show_count(self._link.retries, "retries")
                    return f"{event.reason}, tried anew, {retries} so far: {event.file}"
            case Stalled() if self._is_due(Stalled, now=now, again=now + NOTE_SECONDS):
                self._put_off_retries(now + RETRY_SECONDS)
                return f"no progress in {show_seconds(event.seconds)}, tried anew: {event.file}"
            case Throttled():
                self._put_off_retries(now + event.seconds + RETRY_SECONDS)
                if self._is_due(Throttled, now=now, again=now + NOTE_SECONDS):
                    seconds = show_seconds(event.seconds)
                    return f"storage asks to slow down: nothing is requested for {seconds}"
        return None

    def _is_due(self, kind: type[Event], *, now: float, again: float) -> bool:
        if now < self._next.get(kind, now):
            return False
        self._next[kind] = again
        return True

    def _put_off_retries(self, until: float) -> None:
        self._next[Retried] = max(until, self._next.get(Retried, until))
