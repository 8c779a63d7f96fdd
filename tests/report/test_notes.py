"""Which troubles of transfers are told in a sentence, and how often."""

from __future__ import annotations

import pytest

from restore.report.events import ConcurrencyChanged, Event, Hedged, Received, Retried, Stalled, Throttled
from restore.report.link import Link
from restore.report.notes import NOTE_SECONDS, RETRY_SECONDS, SILENT_SECONDS, Notes

STALL = "no progress in 10.0 s, tried anew: a/b"
THROTTLE = "storage asks to slow down: nothing is requested for 20.0 s"


class Told:
    """What is told of a run that begins at 0."""

    def __init__(self) -> None:
        self._link = Link(now=0)
        self._notes = Notes(self._link, now=0)

    def take(self, event: Event, now: float) -> str | None:
        """What is told of `event`."""
        self._link.take(event, now=now)
        return self._notes.take(event, now=now)


@pytest.fixture
def told() -> Told:
    return Told()


def retried(*, wait: float = 0.1) -> Retried:
    return Retried("a/b", "connection failed", attempt=2, wait=wait)


def note(retries: str) -> str:
    return f"connection failed, tried anew, {retries} so far: a/b"


@pytest.mark.parametrize(("event", "text"), [(Stalled("a/b", 10.0), STALL), (Throttled(20.0), THROTTLE)])
def test_a_stall_and_a_throttle_are_told_once_a_minute(told: Told, event: Event, text: str) -> None:
    seconds = range(int(2 * NOTE_SECONDS))
    assert [now for now in seconds if told.take(event, now) == text] == [0, NOTE_SECONDS]


def test_one_trouble_does_not_hide_another(told: Told) -> None:
    assert told.take(Stalled("a/b", 10.0), 0) == STALL
    assert told.take(Throttled(20.0), 0) == THROTTLE


@pytest.mark.parametrize("event", [Received(1), Hedged("a/b", 1), ConcurrencyChanged(4, "throttled")])
def test_what_is_no_trouble_is_not_told(told: Told, event: Event) -> None:
    assert told.take(event, 100) is None


def test_retries_are_told_with_their_number_every_few_seconds(told: Told) -> None:
    notes = {now: told.take(retried(wait=SILENT_SECONDS), now) for now in range(int(2 * RETRY_SECONDS) + 1)}
    assert {now: text for now, text in notes.items() if text} == {
        0: note("1 retry"),
        RETRY_SECONDS: note("6 retries"),
        2 * RETRY_SECONDS: note("11 retries"),
    }


def test_retries_that_nobody_notices_are_counted_and_not_told(told: Told) -> None:
    for tenth in range(100):
        told.take(Received(1), tenth / 10)
        assert told.take(retried(), tenth / 10) is None
    assert told.take(retried(wait=SILENT_SECONDS), 10) == note("101 retries")


def test_short_retries_are_told_once_no_byte_has_come_for_a_second(told: Told) -> None:
    told.take(Received(1), 7)
    assert told.take(retried(), 7 + 0.9 * SILENT_SECONDS) is None
    assert told.take(retried(), 7 + SILENT_SECONDS) == note("2 retries")


def test_the_retry_after_a_stall_is_not_told_twice(told: Told) -> None:
    assert told.take(Stalled("a/b", 10.0), 10) == STALL
    assert told.take(retried(), 10) is None
    assert told.take(Stalled("a/b", 10.0), 20) is None
    assert told.take(retried(), 20) == note("2 retries")


def test_retries_of_a_storage_that_throttles_are_not_told(told: Told) -> None:
    for now in range(0, 100, 20):
        told.take(Throttled(20.0), now)
        assert told.take(retried(wait=20), now) is None
    assert told.take(retried(), 80 + 20 + RETRY_SECONDS) == note("6 retries")
