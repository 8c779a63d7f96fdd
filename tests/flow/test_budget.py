"""The budget: privilege of the oldest, order of the others, cancellation in every state."""

from __future__ import annotations

import asyncio
import gc

import pytest

from restore.errors import RestoreError, UsageError
from restore.flow.budget import Budget, BudgetStatistics, Lease
from restore.flow.stream import OrderedStream
from tests.flow.steps import no_task_left, settle


async def holding(budget: Budget, amount: int) -> Lease:
    """A lease that holds `amount`, granted at once."""
    lease = budget.lease()
    await lease.take(amount)
    return lease


async def test_takes_that_fit_do_not_suspend() -> None:
    budget = Budget("memory", 10)
    budget.lease()
    lease = budget.lease()
    ran = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(ran.set_result, None)
    await lease.take(4)
    await lease.take(6)
    assert not ran.done()
    assert lease.held == 10
    await ran


async def test_oldest_lease_never_waits_even_past_the_total() -> None:
    budget = Budget("memory", 10)
    oldest = await holding(budget, 3)
    await holding(budget, 7)
    await oldest.take(100)
    assert budget.statistics() == BudgetStatistics(total=10, used=110, peak=110, waiting=0, leases=2)


async def test_others_wait_for_room_and_get_it_when_bytes_come_back() -> None:
    async with no_task_left():
        budget = Budget("memory", 10)
        oldest = await holding(budget, 6)
        younger = budget.lease()
        take = asyncio.create_task(younger.take(5))
        await settle()
        assert not take.done()
        assert budget.statistics().waiting == 1
        oldest.give_back(1)
        await take
        assert (oldest.held, younger.held) == (5, 5)


async def test_closing_the_oldest_passes_the_privilege_on() -> None:
    async with no_task_left():
        budget = Budget("memory", 10)
        oldest = await holding(budget, 10)
        second, third = budget.lease(), budget.lease()
        takes = [asyncio.create_task(second.take(50)), asyncio.create_task(third.take(1))]
        await settle()
        assert not any(take.done() for take in takes)
        oldest.close()
        await takes[0]  # five times the total, and alone
        await settle()
        assert not takes[1].done()
        second.close()
        await takes[1]
        third.close()
        assert budget.statistics() == BudgetStatistics(total=10, used=0, peak=50, waiting=0, leases=0)


async def test_waiters_are_served_by_age_of_their_leases_and_nobody_overtakes() -> None:
    async with no_task_left():
        budget = Budget("memory", 10)
        oldest = await holding(budget, 10)
        second, third = budget.lease(), budget.lease()
        served: list[str] = []

        async def take(lease: Lease, amount: int, name: str) -> None:
            await lease.take(amount)
            served.append(name)

        tasks = [asyncio.create_task(take(third, 1, "third"))]  # asks first, is younger
        await settle()
        tasks += [
            asyncio.create_task(take(second, 8, "second")),
            asyncio.create_task(take(second, 1, "second again")),
        ]
        await settle()
        oldest.give_back(5)  # enough for the youngest, who must not overtake
        await settle()
        assert served == []
        oldest.give_back(3)
        await settle()
        assert served == ["second"]
        oldest.give_back(2)
        await settle()
        assert served == ["second", "second again", "third"]
        await asyncio.gather(*tasks)


async def test_waiter_cancelled_while_it_waits_lets_the_next_one_go_on() -> None:
    async with no_task_left():
        budget = Budget("memory", 10)
        await holding(budget, 5)
        second, third = budget.lease(), budget.lease()
        blocked, behind = asyncio.create_task(second.take(8)), asyncio.create_task(third.take(4))
        await settle()
        assert not behind.done()
        blocked.cancel()
        await behind
        assert blocked.cancelled()
        assert (second.held, third.held) == (0, 4)


@pytest.mark.parametrize(
    "grant_first", [True, False], ids=["granted, then cancelled", "cancelled, then freed"]
)
async def test_waiter_granted_and_cancelled_in_one_tick_passes_its_grant_on(grant_first: bool) -> None:
    async with no_task_left():
        budget = Budget("memory", 10)
        oldest = await holding(budget, 10)
        second, third = budget.lease(), budget.lease()
        unlucky, behind = asyncio.create_task(second.take(6)), asyncio.create_task(third.take(6))
        await settle()
        if grant_first:
            oldest.give_back(6)
            assert second.held == 6
            unlucky.cancel()
        else:
            unlucky.cancel()
            oldest.give_back(6)
            assert second.held == 0
        await behind
        assert unlucky.cancelled()
        assert (oldest.held, second.held, third.held) == (4, 0, 6)
        assert budget.statistics().peak == 10


@pytest.mark.parametrize(
    "close_first", [True, False], ids=["closed, then cancelled", "cancelled, then closed"]
)
@pytest.mark.parametrize("granted", [True, False], ids=["granted", "waiting"])
async def test_lease_closed_and_waiter_cancelled_in_one_tick_leave_nothing(
    granted: bool, close_first: bool
) -> None:
    async with no_task_left():
        budget = Budget("memory", 10)
        oldest = await holding(budget, 10)
        second = budget.lease()
        unlucky = asyncio.create_task(second.take(6))
        await settle()
        if granted:
            oldest.give_back(6)
        if close_first:
            second.close()
            unlucky.cancel()
        else:
            unlucky.cancel()
            second.close()
        await settle()
        assert unlucky.cancelled()
        oldest.close()
        assert budget.statistics() == BudgetStatistics(total=10, used=0, peak=10, waiting=0, leases=0)


async def test_waiter_of_a_lease_that_is_closed_gets_an_error() -> None:
    async with no_task_left():
        budget = Budget("memory", 10)
        oldest = await holding(budget, 10)
        second = budget.lease()
        take = asyncio.create_task(second.take(1))
        await settle()
        second.close()
        with pytest.raises(RestoreError, match="lease of the memory budget is closed"):
            await take
        oldest.close()


async def test_error_that_a_cancelled_waiter_never_sees_is_not_reported_as_forgotten() -> None:
    reported: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: reported.append(context))
    budget = Budget("memory", 10)
    oldest = await holding(budget, 10)
    second = budget.lease()
    take = asyncio.create_task(second.take(1))
    await settle()
    second.close()
    take.cancel()
    await settle()
    assert take.cancelled()
    del take
    gc.collect()
    assert reported == []
    oldest.close()


async def test_task_cancelled_before_its_first_step_takes_nothing() -> None:
    async with no_task_left():
        budget = Budget("memory", 10)
        lease = budget.lease()
        take = asyncio.create_task(lease.take(1))
        take.cancel()
        with pytest.raises(asyncio.CancelledError):
            await take
        assert budget.statistics().used == 0


async def test_block_returns_everything_whatever_happens_in_it() -> None:
    budget = Budget("memory", 10)
    lease = budget.lease()

    async def fill_the_disk() -> None:
        async with lease:
            await lease.take(10)
            raise OSError

    with pytest.raises(OSError):
        await fill_the_disk()
    assert budget.statistics().used == budget.statistics().leases == 0
    lease.close()  # once more does nothing
    assert budget.statistics().used == 0


async def test_misuse_is_refused() -> None:
    budget = Budget("memory", 10)
    lease = await holding(budget, 2)
    with pytest.raises(RestoreError, match="more given back to the memory budget than was taken") as caught:
        lease.give_back(3)
    assert (caught.value.expected, caught.value.found) == ("2", "3")
    with pytest.raises(RestoreError, match="amounts from 0 up"):
        lease.give_back(-1)
    with pytest.raises(RestoreError, match="amounts from 0 up"):
        await lease.take(-1)
    lease.close()
    with pytest.raises(RestoreError, match="closed"):
        await lease.take(1)
    with pytest.raises(RestoreError, match="closed"):
        lease.give_back(0)
    with pytest.raises(UsageError, match="memory budget must be at least 1"):
        Budget("memory", 0)


@pytest.mark.parametrize("total", [1, 2, 3])
async def test_ordered_stream_over_a_small_budget_does_not_deadlock(total: int) -> None:
    """Four chunks of three pieces, the young ones faster than the old: with a plain limit this hangs."""
    budget = Budget("memory", total)
    begun: list[int] = []

    async def work(item: int) -> tuple[int, Lease]:
        lease = budget.lease()  # before the first suspension: in item order
        begun.append(item)
        for _ in range(3):
            for _ in range(20 - item):
                await asyncio.sleep(0)
            await lease.take(1)
        return item, lease

    async with no_task_left():
        taken: list[int] = []
        async with OrderedStream(range(20), work, concurrency=4) as results:
            async for item, lease in results:
                taken.append(item)
                lease.close()
        assert taken == begun == list(range(20))
        assert budget.statistics().peak <= total + 3
        assert budget.statistics().used == 0


async def test_stream_left_early_gives_everything_back() -> None:
    budget = Budget("memory", 4)

    async def work(item: int) -> tuple[int, Lease]:
        lease = budget.lease()
        try:
            await lease.take(2)
            return item, lease
        except BaseException:
            lease.close()
            raise

    async with no_task_left():
        stream = OrderedStream(range(20), work, concurrency=4, discard=lambda result: result[1].close())
        async with stream as results:
            async for _, lease in results:
                await settle()
                assert budget.statistics().leases > 1
                lease.close()
                break
        assert budget.statistics() == BudgetStatistics(total=4, used=0, peak=4, waiting=0, leases=0)
