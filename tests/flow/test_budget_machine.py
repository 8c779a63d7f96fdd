"""The budget under every order of takes, returns, closes and cancellations that hypothesis can think of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from restore.flow.budget import Budget, Lease
from tests.flow.steps import settle

TOTAL = 10
AMOUNTS = st.integers(0, 15)
PLACES = st.integers(0, 1000)


@dataclass(eq=False)
class Holder:
    """One lease and the takes that were begun on it."""

    lease: Lease
    takes: list[asyncio.Task[None]] = field(default_factory=list)
    amounts: dict[asyncio.Task[None], int] = field(default_factory=dict)

    def waiting(self) -> list[asyncio.Task[None]]:
        return [take for take in self.takes if not take.done()]


class BudgetMachine(RuleBasedStateMachine):
    """Only `run_ready` and `begin_take` let tasks run, so wake-ups and cancellations meet."""

    new_loop: Callable[[], asyncio.AbstractEventLoop]

    def __init__(self) -> None:
        super().__init__()
        self.loop = type(self).new_loop()
        self.budget = Budget("memory", TOTAL)
        self.open: list[Holder] = []  # oldest first
        self.settled = True

    def teardown(self) -> None:
        # Whatever happened: closing the oldest always lets someone go on, so this ends, and nothing is left.
        self.run_ready()
        while self.open:
            assert not self.open[0].waiting(), "the oldest lease waits"
            self.close(0)
            self.run_ready()
        statistics = self.budget.statistics()
        assert (statistics.used, statistics.waiting, statistics.leases) == (0, 0, 0)
        assert not asyncio.all_tasks(self.loop)
        self.loop.close()

    @rule()
    def open_lease(self) -> None:
        self.open.append(Holder(self.budget.lease()))

    @precondition(lambda self: self.open)
    @rule(place=PLACES, amount=AMOUNTS)
    def begin_take(self, place: int, amount: int) -> None:
        holder = self.pick(place)

        async def begin() -> None:
            take = asyncio.ensure_future(holder.lease.take(amount))
            holder.takes.append(take)
            holder.amounts[take] = amount
            await asyncio.sleep(0)

        self.loop.run_until_complete(begin())
        self.settled = False

    @precondition(lambda self: self.open)
    @rule(place=PLACES, amount=AMOUNTS)
    def give_back(self, place: int, amount: int) -> None:
        holder = self.pick(place)
        # A grant whose task has not run yet is not its task's to give back: it may still be cancelled.
        mine = sum(holder.amounts[take] for take in holder.takes if self.ended_well(take))
        given = min(amount, mine, holder.lease.held)
        holder.lease.give_back(given)
        for take in holder.takes:
            if self.ended_well(take):
                reduced = min(given, holder.amounts[take])
                holder.amounts[take] -= reduced
                given -= reduced
        self.settled = False

    @precondition(lambda self: self.open)
    @rule(place=PLACES)
    def close(self, place: int) -> None:
        holder = self.pick(place)
        for (
            take
        ) in holder.waiting():  # a lease is closed by the task that takes; a take in progress is cancelled
            take.cancel()
        self.open.remove(holder)
        holder.lease.close()
        self.settled = False

    @precondition(lambda self: any(holder.waiting() for holder in self.open))
    @rule(place=PLACES)
    def cancel_take(self, place: int) -> None:
        waiting = [take for holder in self.open for take in holder.waiting()]
        waiting[place % len(waiting)].cancel()
        self.settled = False

    @rule()
    def run_ready(self) -> None:
        self.loop.run_until_complete(settle())
        self.settled = True

    @invariant()
    def books_agree(self) -> None:
        statistics = self.budget.statistics()
        assert statistics.used == sum(holder.lease.held for holder in self.open)
        assert statistics.leases == len(self.open)
        assert statistics.peak >= statistics.used

    @invariant()
    def only_the_oldest_goes_past_the_total(self) -> None:
        oldest = self.open[0].lease.held if self.open else 0
        assert self.budget.statistics().used - oldest <= TOTAL

    @invariant()
    def nobody_waits_who_could_go_on(self) -> None:
        if not self.settled:
            return
        for place, holder in enumerate(self.open):
            assert holder.lease.held == sum(
                holder.amounts[take] for take in holder.takes if self.ended_well(take)
            )
            if waiting := holder.waiting():
                assert place > 0
                assert self.budget.statistics().used + holder.amounts[waiting[0]] > TOTAL
                break

    def pick(self, place: int) -> Holder:
        return self.open[place % len(self.open)]

    @staticmethod
    def ended_well(take: asyncio.Task[None]) -> bool:
        return take.done() and not take.cancelled()


@pytest.mark.parametrize(
    "factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_budget_keeps_its_bound_and_never_sticks(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    class Machine(BudgetMachine):
        new_loop = staticmethod(factory)

    run_state_machine_as_test(
        Machine, settings=settings(max_examples=100, stateful_step_count=40, deadline=None)
    )
