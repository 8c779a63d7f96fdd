"""Retries: by class, with their pauses, counted anew after progress, and everybody at the gate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from restore.errors import (
    AccessDeniedError,
    CorruptAnswerError,
    MissingFileError,
    RestoreError,
    StalledError,
    StorageUnavailableError,
    ThrottledError,
    TransientStorageError,
)
from restore.flow.retry import (
    CORRUPT_TRIES,
    LONGEST_PAUSE,
    THROTTLED_SECONDS,
    TRANSIENT_TRIES,
    Retry,
)
from restore.report.events import Event, Retried, Throttled


@dataclass
class Harness:
    """A clock that only sleeping moves, and what was reported."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def retry(self, *, jitter: float = 1.0) -> Retry:
        return Retry(self.events.append, sleep=self.sleep, clock=lambda: self.now, jitter=lambda: jitter)


class Tries:
    """Raises one error after the other, then gives "done"."""

    def __init__(self, errors: Iterable[RestoreError | int]) -> None:
        self.errors = list(errors)
        self.made = 0
        self.progress = 0

    async def __call__(self) -> str:
        self.made += 1
        await asyncio.sleep(0)
        if not self.errors:
            return "done"
        error = self.errors.pop(0)
        if isinstance(error, int):
            self.progress += error
            raise TransientStorageError("reset after progress")
        raise error


async def run(harness: Harness, tries: Tries, *, jitter: float = 1.0) -> str:
    return await harness.retry(jitter=jitter).run(tries, file="a/b", progress=lambda: tries.progress)


async def test_what_goes_well_is_done_once_and_told_to_nobody() -> None:
    harness, tries = Harness(), Tries([])
    assert await run(harness, tries) == "done"
    assert (tries.made, harness.slept, harness.events) == (1, [], [])


async def test_a_passing_failure_is_tried_again_with_growing_pauses() -> None:
    harness, tries = Harness(), Tries([TransientStorageError("reset"), StalledError("stalled")] * 4)
    assert await run(harness, tries) == "done"
    assert harness.slept == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8])
    assert harness.events[:2] == [
        Retried("a/b", "reset", attempt=2, wait=0.1),
        Retried("a/b", "stalled", attempt=3, wait=0.2),
    ]


async def test_pauses_are_drawn_between_half_and_whole() -> None:
    harness, tries = Harness(), Tries([TransientStorageError("reset")] * 2)
    await run(harness, tries, jitter=0.0)
    assert harness.slept == pytest.approx([0.05, 0.1])


@pytest.mark.parametrize(
    ("error", "tries_made"),
    [
        (TransientStorageError("reset"), TRANSIENT_TRIES),
        (CorruptAnswerError("another range"), CORRUPT_TRIES),
        (StorageUnavailableError("not implemented"), 1),
        (AccessDeniedError("forbidden"), 1),
        (MissingFileError("not there"), 1),
        (RestoreError("a bug"), 1),
    ],
)
async def test_the_class_decides_how_often(error: RestoreError, tries_made: int) -> None:
    harness, tries = Harness(), Tries([error] * 100)
    with pytest.raises(type(error)) as raised:
        await run(harness, tries)
    assert raised.value is error
    assert tries.made == tries_made
    assert len(harness.events) == len(harness.slept) == tries_made - 1
    assert max(harness.slept, default=0) <= LONGEST_PAUSE


async def test_progress_starts_the_count_anew() -> None:
    harness, tries = Harness(), Tries([1] * 5 * TRANSIENT_TRIES)
    assert await run(harness, tries) == "done"
    # The first of them is counted with what came before it, so it too is at its first pause.
    assert harness.slept == pytest.approx([0.1] * 5 * TRANSIENT_TRIES)


async def test_without_progress_the_count_goes_on_whatever_came_before() -> None:
    harness, tries = Harness(), Tries([1, 1, *[TransientStorageError("reset")] * 100])
    with pytest.raises(TransientStorageError):
        await run(harness, tries)
    assert tries.made == 2 + TRANSIENT_TRIES - 1


async def test_a_throttled_request_waits_as_long_as_it_was_told() -> None:
    harness, tries = Harness(), Tries([ThrottledError("slow down", retry_after=7.0)])
    assert await run(harness, tries) == "done"
    assert harness.slept[0] == 7.0
    assert harness.events == [
        Throttled(7.0),
        Retried("a/b", "slow down", attempt=2, wait=7.0),
    ]


async def test_throttling_is_borne_for_minutes_but_not_for_ever() -> None:
    harness, tries = Harness(), Tries([ThrottledError("slow down")] * 10_000)
    began = harness.now
    with pytest.raises(ThrottledError):
        await run(harness, tries)
    assert THROTTLED_SECONDS <= harness.now - began < THROTTLED_SECONDS + 120
    assert max(harness.slept) <= 30


async def test_one_that_is_throttled_stops_all_others_at_the_gate() -> None:
    harness = Harness()
    retry = harness.retry()
    asked: list[tuple[str, float]] = []
    refused = asyncio.Event()

    async def throttled() -> None:
        asked.append(("first", harness.now))
        if not refused.is_set():
            refused.set()
            raise ThrottledError("slow down", retry_after=5.0)

    async def other() -> None:
        asked.append(("other", harness.now))

    async def later() -> None:
        await refused.wait()
        await asyncio.sleep(0)
        await retry.run(other, file="c/d")

    await asyncio.gather(retry.run(throttled, file="a/b"), later())
    assert asked[0] == ("first", 100.0)
    assert all(when >= 105.0 for _, when in asked[1:])
    assert [type(event) for event in harness.events].count(Throttled) == 1


async def test_a_cancelled_pause_ends_at_once() -> None:
    waiting = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    retry = Retry(lambda _event: None, sleep=sleep)
    task = asyncio.create_task(retry.run(Tries([TransientStorageError("reset")]), file="a/b"))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
