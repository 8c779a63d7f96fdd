"""The bandwidth limit: who waits for how long, by a clock that only sleeping moves."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

import pytest

from restore.errors import UsageError
from restore.flow.rate import BURST_SECONDS, LONGEST_SLEEP, Rate
from tests.flow.steps import settle

LIMIT = 1000.0
BURST = int(LIMIT * BURST_SECONDS)


@dataclass
class Clock:
    """Time that `advance` moves, and those who sleep until then."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)
    _sleepers: list[tuple[float, asyncio.Future[None]]] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        waiting = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, waiting))
        await waiting

    async def advance(self, seconds: float) -> None:
        """Moves to `seconds` from now, and wakes everybody on the way at their time."""
        end = self.now + seconds
        await settle()
        while due := [sleeper for sleeper in self._sleepers if sleeper[0] <= end + 1e-9]:
            first = min(due, key=lambda sleeper: sleeper[0])
            self._sleepers.remove(first)
            self.now = max(self.now, first[0])
            if not first[1].done():
                first[1].set_result(None)
            await settle()
        self.now = end

    def rate(self, limit: float | None = LIMIT) -> Rate:
        return Rate(limit, clock=self, sleep=self.sleep)


class Sleeper(Clock):
    """Time that each sleep moves at once, for one who is alone."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


async def test_without_a_limit_nobody_waits() -> None:
    clock = Sleeper()
    assert await clock.rate(None).spend(1 << 40) == 0
    assert clock.slept == []


async def test_what_was_earned_in_a_pause_is_a_burst_and_no_more() -> None:
    clock = Sleeper()
    rate = clock.rate()
    clock.now += 3600
    assert await rate.spend(BURST) == 0
    assert await rate.spend(100) == pytest.approx(0.1)


async def test_a_debt_is_paid_off_at_the_rate() -> None:
    clock = Sleeper()
    assert await clock.rate().spend(5000) == pytest.approx(5.0)
    assert clock.now == pytest.approx(105.0)


async def test_one_who_receives_without_end_gets_just_the_rate() -> None:
    clock = Sleeper()
    rate = clock.rate()
    for _ in range(1000):
        await rate.spend(64)
    assert clock.now - 100 == pytest.approx(64.0, abs=0.01)


async def test_time_spent_elsewhere_counts() -> None:
    clock = Sleeper()
    rate = clock.rate()
    for _ in range(100):
        clock.now += 0.1  # somebody decodes meanwhile
        await rate.spend(100)
    assert clock.now - 100 == pytest.approx(10.0)


async def test_a_late_wake_up_loses_nothing() -> None:
    clock = Sleeper()
    rate = clock.rate()
    for _ in range(100):
        await rate.spend(100)
        clock.now += 0.05  # the loop was busy
    assert clock.now - 100 == pytest.approx(10.0, abs=0.06)


async def test_those_who_wait_go_on_in_the_order_in_which_they_received() -> None:
    clock = Clock()
    rate = clock.rate()
    order: list[tuple[int, float]] = []

    async def receive(number: int) -> None:
        await rate.spend(100)
        order.append((number, round(clock.now - 100, 3)))

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(receive(number))
        await clock.advance(0.5)
    assert order == [(0, 0.1), (1, 0.2), (2, 0.3), (3, 0.4), (4, 0.5)]


async def test_many_share_the_rate_and_none_starves() -> None:
    clock = Clock()
    rate = clock.rate()
    got = [0] * 4

    async def receive(number: int, size: int) -> None:
        while True:
            await rate.spend(size)
            got[number] += size

    tasks = [asyncio.create_task(receive(number, 50 * (number + 1))) for number in range(4)]
    await clock.advance(60)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(got) == pytest.approx(60 * LIMIT, rel=0.02)
    # In turns, and so by the size of a block.
    assert [part / sum(got) for part in got] == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.01)


async def test_one_who_was_cancelled_has_received_all_the_same() -> None:
    clock = Clock()
    rate = clock.rate()
    cancelled = asyncio.create_task(rate.spend(1000))
    await settle()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    after = asyncio.create_task(rate.spend(500))
    await clock.advance(1.4)
    assert not after.done()
    await clock.advance(0.1)
    assert after.result() == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("changed", "waited"),
    [
        (10_000.0, 1.9),  # one second has paid a tenth; the rest at ten times the rate
        (500.0, 19.0),
        (None, 1.0),
    ],
)
async def test_those_who_wait_go_by_a_changed_rate(changed: float | None, waited: float) -> None:
    clock = Clock()
    rate = clock.rate()
    waiting = asyncio.create_task(rate.spend(10_000))
    await clock.advance(1.0)
    rate.change(changed)
    await clock.advance(100)
    assert waiting.result() == pytest.approx(waited, abs=LONGEST_SLEEP + 1e-6)


async def test_nobody_sleeps_longer_than_a_change_may_take() -> None:
    clock = Sleeper()
    await clock.rate().spend(10_000)
    assert max(clock.slept) == LONGEST_SLEEP


async def test_debts_are_forgotten_when_the_limit_is_lifted() -> None:
    clock = Sleeper()
    rate = clock.rate()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await rate.spend(1_000_000)
    rate.change(None)
    await rate.spend(1_000_000)
    rate.change(LIMIT)
    assert await rate.spend(100) == pytest.approx(0.1)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_limit_is_above_zero(limit: float) -> None:
    with pytest.raises(UsageError, match="above 0"):
        Rate(limit)


async def test_a_refused_change_changes_nothing() -> None:
    clock = Sleeper()
    rate = clock.rate()
    with pytest.raises(UsageError):
        rate.change(0)
    assert await rate.spend(1000) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(8))
async def test_no_window_of_time_brings_more_than_its_bound(seed: int) -> None:
    draw = random.Random(seed)
    clock = Clock()
    rate = clock.rate()
    blocks = [draw.randint(1, 400) for _ in range(3)]
    came: list[tuple[float, int]] = []

    async def receive(size: int) -> None:
        while True:
            came.append((clock.now, size))
            await rate.spend(size)
            await clock.sleep(draw.random() * 0.6)

    tasks = [asyncio.create_task(receive(size)) for size in blocks]
    await clock.advance(20)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(size for _, size in came) > 1000
    for start, _ in came:
        for end, _ in came:
            if start <= end:
                inside = sum(size for when, size in came if start <= when <= end)
                assert inside <= LIMIT * (end - start + BURST_SECONDS) + sum(blocks) + 3


async def test_by_the_real_clock_too() -> None:
    began = time.monotonic()
    rate = Rate(1 << 20)
    for _ in range(20):
        await rate.spend(1 << 14)
    assert time.monotonic() - began >= 0.3
