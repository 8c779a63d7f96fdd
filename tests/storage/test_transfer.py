"""Parts and races: every byte once and at its place, whatever a request does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from restore.errors import (
    AccessDeniedError,
    CorruptAnswerError,
    MissingFileError,
    RestoreError,
    StalledError,
    TransientStorageError,
)
from restore.flow.retry import CORRUPT_TRIES, TRANSIENT_TRIES, Retry
from restore.report.events import Event, Hedged, Received, Retried, Stalled
from restore.storage.base import UNMETERED, Payer, read_file
from restore.storage.buffers import SMALLEST, STEP, Buffers, buffer_bytes
from restore.storage.origin import Pin
from restore.storage.pace import EXTRA_SHARE, FEWEST_SAMPLES, SHORTEST_SECONDS, SLOWER, Allowance, Pace
from restore.storage.race import STALL_BYTES, STALL_SECONDS, Race
from restore.storage.remote import RemoteStorage
from restore.storage.transfer import PART_BYTES
from tests.contracts.cancelling import cancel_at_every_wait
from tests.contracts.reading import CountingPayer, content
from tests.storage.scripted import Script, ScriptedOrigin

HANDLE = "abc.0000/one.chunk"


class Bench:
    """A storage over a scripted origin, without real pauses."""

    def __init__(self, size: int, *scripts: Script) -> None:
        self.data = content(size)
        self.origin = ScriptedOrigin({HANDLE: self.data}, *scripts)
        self.events: list[Event] = []
        self.slept: list[float] = []
        self.storage = RemoteStorage(
            self.origin, report=self.events.append, retry=Retry(self.events.append, sleep=self._sleep)
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def read(self, payer: Payer = UNMETERED) -> bytes:
        return await read_file(self.storage, HANDLE, max_bytes=1 << 30, payer=payer)

    def told(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)


async def the_race(bench: Bench, number: int = 1) -> Race:
    """The race of the request with this number, once it is under way."""
    await until(lambda: len(bench.origin.asked) >= number)
    (race,) = bench.storage._means.course.watch._races
    return race


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - any state, and what leads to it takes a few turns of the loop
        await asyncio.sleep(0)


def now() -> float:
    return asyncio.get_running_loop().time()


def seen(bench: Bench, size: int, seconds: float) -> None:
    """Makes transfers of this size known to take so long."""
    for _ in range(FEWEST_SAMPLES):
        bench.storage._means.course.pace.add(size, seconds)


@pytest.mark.parametrize("size", [0, 1, SMALLEST, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES])
async def test_an_object_is_read_part_by_part(size: int) -> None:
    bench = Bench(size)
    payer = CountingPayer()
    assert await bench.read(payer) == bench.data
    assert [(asked.start, asked.length) for asked in bench.origin.asked] == [
        (start, PART_BYTES if start == 0 else min(PART_BYTES, size - start))
        for start in range(0, max(size, 1), PART_BYTES)
    ]
    assert [asked.pin for asked in bench.origin.asked[1:]] == [Pin('"1"', size)] * (
        len(bench.origin.asked) - 1
    )
    assert payer.taken == size
    assert sum(event.size for event in bench.events if isinstance(event, Received)) == size


async def test_a_transfer_goes_on_from_its_last_good_byte() -> None:
    reset = TransientStorageError("connection reset")
    bench = Bench(10_000, Script(3500, error=reset), Script(4000, error=reset), Script(0, error=reset))
    assert await bench.read() == bench.data
    assert [(asked.start, asked.fresh) for asked in bench.origin.asked] == [
        (0, False),
        (3500, True),
        (7500, True),
        (7500, True),
    ]
    assert bench.told(Retried) == 3


async def test_a_transfer_that_goes_no_further_ends() -> None:
    bench = Bench(10_000, *[Script(0, error=TransientStorageError("connection reset"))] * 100)
    payer = CountingPayer()
    with pytest.raises(TransientStorageError):
        await bench.read(payer)
    assert len(bench.origin.asked) == TRANSIENT_TRIES
    assert payer.taken == 0


@pytest.mark.parametrize("error", [AccessDeniedError("forbidden"), MissingFileError("not there")])
async def test_what_will_not_get_better_ends_at_once(error: RestoreError) -> None:
    bench = Bench(10_000, Script(error=error))
    with pytest.raises(type(error)) as raised:
        await bench.read()
    assert raised.value is error
    assert len(bench.origin.asked) == 1


async def test_an_object_that_changes_meanwhile_is_read_anew_from_its_beginning() -> None:
    reset = TransientStorageError("connection reset")
    changed = [Script(pin=Pin('"2"', 10_000))] * (CORRUPT_TRIES - 1)
    bench = Bench(10_000, Script(3500, error=reset), *changed)
    payer = CountingPayer()
    assert await bench.read(payer) == bench.data
    # Told so in all tries that such an answer gets, it takes the file for damaged, and begins anew.
    assert [asked.start for asked in bench.origin.asked] == [0, 3500, 3500, 0]
    assert payer.taken == 10_000


async def test_an_object_of_another_length_is_refused() -> None:
    bench = Bench(10_000, *[Script(pin=Pin('"1"', 10_001))] * 10)
    with pytest.raises(CorruptAnswerError) as refusal:
        await bench.read()
    assert (refusal.value.exit_code, refusal.value.file) == (20, HANDLE)


async def test_a_stalled_transfer_is_asked_for_on_a_fresh_connection() -> None:
    bench = Bench(10_000, Script(3000, hangs=True))
    reading = asyncio.create_task(bench.read())
    race = await the_race(bench)
    await until(lambda: bench.origin.asked[0].given == 3000)
    race.look(now() + STALL_SECONDS - 1)
    assert not bench.told(Stalled)
    race.look(now() + STALL_SECONDS + 1)
    assert await reading == bench.data
    assert [(asked.start, asked.fresh) for asked in bench.origin.asked] == [(0, False), (3000, True)]
    assert (bench.told(Stalled), bench.told(Retried)) == (1, 1)


async def test_one_that_stalls_each_time_ends_and_says_so() -> None:
    bench = Bench(10_000, *[Script(hangs=True)] * 100)
    reading = asyncio.create_task(bench.read())
    for number in range(1, TRANSIENT_TRIES + 1):
        (await the_race(bench, number)).look(now() + STALL_SECONDS + 1)
        await until(
            lambda: bench.told(Stalled) == len(bench.origin.asked) and not bench.origin.asked[-1].open
        )
    with pytest.raises(StalledError) as stalled:
        await reading
    assert stalled.value.file == HANDLE


async def test_one_that_drips_is_stalled_and_one_that_moves_is_not() -> None:
    steps = asyncio.Event()
    bench = Bench(10 * STALL_BYTES, Script(proceed=steps, piece=STALL_BYTES))
    reading = asyncio.create_task(bench.read())
    race = await the_race(bench)
    began = now()
    race.moved(STALL_BYTES)  # as a request that got so much
    race.look(began + STALL_SECONDS - 0.1)
    race.look(began + 2 * STALL_SECONDS - 1)
    assert not bench.told(Stalled)
    race.moved(STALL_BYTES - 1)
    race.look(began + 3 * STALL_SECONDS)
    assert bench.told(Stalled) == 1
    steps.set()
    assert await reading == bench.data


async def test_a_late_transfer_is_hedged_and_the_first_to_end_wins() -> None:
    bench = Bench(10_000, Script(3000, hangs=True))
    seen(bench, 10_000, 0.01)
    reading = asyncio.create_task(bench.read())
    race = await the_race(bench)
    await until(lambda: bench.origin.asked[0].given == 3000)
    race.look(now() + SHORTEST_SECONDS / 2)
    assert not bench.told(Hedged)
    race.look(now() + SHORTEST_SECONDS + 0.1)
    assert await reading == bench.data
    assert [event for event in bench.events if isinstance(event, Hedged)] == [Hedged(HANDLE, 7000)]
    assert [(asked.start, asked.fresh) for asked in bench.origin.asked] == [(0, False), (3000, True)]
    assert not any(asked.open for asked in bench.origin.asked)
    assert not bench.told(Retried)


async def test_a_late_transfer_that_ends_first_after_all_wins_too() -> None:
    ends = asyncio.Event()
    bench = Bench(10_000, Script(proceed=ends), Script(0, hangs=True))
    seen(bench, 10_000, 0.01)
    reading = asyncio.create_task(bench.read())
    race = await the_race(bench)
    await until(lambda: bench.storage._means.course.watch._races)
    # The answer has come by now, so the length is known.
    race.look(now() + SHORTEST_SECONDS + 0.1)
    await until(lambda: len(bench.origin.asked) == 2)
    race.look(now() + SHORTEST_SECONDS + 0.2)
    assert len(bench.origin.asked) == 2  # never a third
    ends.set()
    assert await reading == bench.data
    assert not bench.origin.asked[1].open


async def test_a_hedge_that_fails_harms_nobody() -> None:
    ends = asyncio.Event()
    bench = Bench(10_000, Script(proceed=ends), Script(error=AccessDeniedError("forbidden")))
    seen(bench, 10_000, 0.01)
    reading = asyncio.create_task(bench.read())
    (await the_race(bench)).look(now() + SHORTEST_SECONDS + 0.1)
    await until(lambda: len(bench.origin.asked) == 2 and not bench.origin.asked[1].open)
    ends.set()
    assert await reading == bench.data


async def test_a_transfer_that_fails_after_its_hedge_started_waits_for_the_hedge() -> None:
    fails, ends = asyncio.Event(), asyncio.Event()
    reset = TransientStorageError("connection reset")
    bench = Bench(10_000, Script(0, error=reset, proceed=fails), Script(proceed=ends))
    seen(bench, 10_000, 0.01)
    reading = asyncio.create_task(bench.read())
    (await the_race(bench)).look(now() + SHORTEST_SECONDS + 0.1)
    await until(lambda: len(bench.origin.asked) == 2)
    fails.set()
    await until(lambda: not bench.origin.asked[0].open)
    ends.set()
    assert await reading == bench.data
    assert len(bench.origin.asked) == 2
    assert not bench.told(Retried)


async def test_waiting_for_memory_is_no_stall_and_not_late() -> None:
    bench = Bench(10_000)
    seen(bench, 10_000, 0.01)
    payer = CountingPayer()
    payer.room.clear()
    reading = asyncio.create_task(bench.read(payer))
    race = await the_race(bench)
    await until(lambda: race._pauses)
    race.look(now() + 10 * STALL_SECONDS)
    payer.room.set()
    assert await reading == bench.data
    assert not bench.told(Stalled)
    assert not bench.told(Hedged)


async def test_without_allowance_nothing_is_asked_for_twice() -> None:
    ends = asyncio.Event()
    bench = Bench(10_000, Script(proceed=ends))
    seen(bench, 10_000, 0.01)
    bench.storage._means.course.allowance.reserve(1 << 24)
    while bench.storage._means.course.allowance.reserve(1 << 10):
        pass
    reading = asyncio.create_task(bench.read())
    (await the_race(bench)).look(now() + SHORTEST_SECONDS + 0.1)
    ends.set()
    assert await reading == bench.data
    assert not bench.told(Hedged)


async def test_a_read_cancelled_at_any_wait_leaves_no_request_and_pays_nothing() -> None:
    payer = CountingPayer()
    benches: list[Bench] = []

    async def read() -> None:
        bench = Bench(PART_BYTES + 5000, Script(3000, error=TransientStorageError("reset")))
        benches.append(bench)
        async with bench.storage.open_for_read(HANDLE, payer=payer) as reader:
            while piece := await reader.read_piece():
                await asyncio.sleep(0)
                payer.give_back(len(piece))

    async def check() -> None:
        # What the body had got and not given back when it was cancelled is not the reader's.
        assert payer.taken in {0, PART_BYTES, 5000}
        payer.taken = 0
        assert not any(asked.open for asked in benches[-1].origin.asked)
        assert len(asyncio.all_tasks()) == tasks

    tasks = len(asyncio.all_tasks())
    assert await cancel_at_every_wait(read, check) >= 5


async def test_the_oldest_file_is_looked_at_first() -> None:
    bench = Bench(10_000, *[Script(hangs=True)] * 3)
    readings = [asyncio.create_task(bench.read()) for _ in range(3)]
    await until(lambda: len(bench.origin.asked) == 3)
    course = bench.storage._means.course
    assert sorted(race.age for race in course.watch._races) == [1, 2, 3]
    looked: list[int] = []
    for race in course.watch._races:
        race.look = lambda _now, age=race.age: looked.append(age)  # type: ignore[method-assign, misc]
    course.watch._look()
    assert looked == [1, 2, 3]
    for reading in readings:
        reading.cancel()
    await asyncio.wait(readings)


def test_pace_needs_samples_and_follows_them() -> None:
    pace = Pace()
    for number in range(FEWEST_SAMPLES - 1):
        pace.add(1000, 1.0 + number)
    assert pace.late_after(1000) is None
    pace.add(1000, 2.0)
    assert pace.late_after(1000) == SLOWER * 6.0  # the 95 % quantile of 1, 2, 2, 3 ... 7
    assert pace.late_after(100) == pace.late_after(0) == pace.late_after(1000)
    assert pace.late_after(5000) is None
    for _ in range(200):
        pace.add(1000, 0.001)
    assert pace.late_after(1000) == SHORTEST_SECONDS


def test_the_allowance_is_a_share_of_what_came() -> None:
    allowance = Allowance(at_first=1000)
    assert allowance.reserve(1000)
    assert not allowance.reserve(0)
    allowance.settle(received=10_000, twice=400, reserved=1000)
    room = 600 + EXTRA_SHARE * 10_000
    assert not allowance.reserve(int(room) + 1)
    assert allowance.reserve(int(room))


def test_buffers_are_used_again_and_few_are_kept() -> None:
    buffers = Buffers()
    first = buffers.lend(5 * STEP - 1)
    assert len(first) == buffer_bytes(5 * STEP - 1) == 5 * STEP
    buffers.give_back(first)
    assert buffers.lend(4 * STEP + 1) is first
    assert buffers.lend(4 * STEP + 1) is not first
    assert len(buffers.lend(10)) == 10
    for _ in range(20):
        buffers.give_back(memoryview(bytearray(16 * STEP)))
    assert buffers._idle_bytes == 48 * STEP
