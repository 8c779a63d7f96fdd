"""A budget that ordered work shares without deadlock: bytes, descriptors, children.

Chunks are delivered in order, so the oldest unfinished one must come to its end before a younger one may give
anything back. With a plain limit the young can hold everything while the oldest waits: a deadlock. Hence two
rules:

1. The oldest open lease never waits, even past the total.
2. Every other lease waits for room, in the order of age: while an older lease waits, no younger one is
   served, even if its amount would fit. (Small takes cannot starve a large one.)

No deadlock: the longest a lease can wait is until all older ones are closed, and then rule 1 holds for it.
This needs leases opened in the order of delivery, and closed by whoever ends up with them. A lease that is
forgotten keeps the privilege for ever, and the others wait for it. A consumer that needs more while it holds
a result takes it on that result's lease (the oldest); on a new one it would wait behind the results that wait
for it.

Alternative not chosen: one reserve beside the total, lent to the oldest. It needs the largest chunk's size
beforehand, which manifests do not give.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from restore.errors import RestoreError, UsageError


@dataclass(frozen=True, slots=True)
class BudgetStatistics:
    """What a budget lent.

    Attributes:
        total: what it may lend, apart from rule 1.
        used: lent now.
        peak: the most that was lent at once; above `total` only by what the oldest lease held then.
        waiting: calls of `take` that wait now.
        leases: open leases.
    """

    total: int
    used: int
    peak: int
    waiting: int
    leases: int


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """One call of `take` that waits. Its future is done when it was granted, cancelled or refused."""

    amount: int
    future: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class _Account:
    """One lease, as the book sees it."""

    held: int = 0
    closed: bool = False
    waiters: deque[_Waiter] = field(default_factory=deque)


class _Book:
    """The accounts of one budget, and the two rules."""

    def __init__(self, name: str, total: int) -> None:
        self.name = name
        self.total = total
        self.used = 0
        self.peak = 0
        self.accounts: dict[_Account, None] = {}  # open ones, oldest first: dicts keep the order of insertion

    def move(self, account: _Account, amount: int) -> None:
        account.held += amount
        self.used += amount
        self.peak = max(self.peak, self.used)

    def serve(self) -> None:
        """Grants what the rules allow. Called after every change that could allow more."""
        for place, account in enumerate(self.accounts):
            while account.waiters:
                waiter = account.waiters[0]
                # Cancelled before its grant: its task has yet to run and clean up, and must not get anything.
                if not waiter.future.done():
                    if place > 0 and self.used + waiter.amount > self.total:
                        return
                    # Booked here, not when its task runs: in between, nobody else can get the same room.
                    self.move(account, waiter.amount)
                    waiter.future.set_result(None)
                account.waiters.popleft()


class Budget:
    """Lends up to `total` of something countable.

    Not for use from several threads.

    Bounds: `total`, and besides what the oldest open lease holds.
    """

    def __init__(self, name: str, total: int) -> None:
        if total < 1:
            raise UsageError(f"{name} budget must be at least 1", found=total)
        self._book = _Book(name, total)

    def lease(self) -> Lease:
        """Opens a lease. Its age is its place in the order of these calls."""
        return Lease(self._book)

    def statistics(self) -> BudgetStatistics:
        """What is lent now, and the most that was."""
        book = self._book
        waiting = sum(len(account.waiters) for account in book.accounts)
        return BudgetStatistics(book.total, book.used, book.peak, waiting, len(book.accounts))


class Lease:
    """What one piece of work holds of a budget; opened by `Budget.lease`.

    `async with budget.lease() as lease:` closes it at the end of the block; `close` does without a block.
    """

    __slots__ = ("_account", "_book", "_waited")

    def __init__(self, book: _Book) -> None:
        self._book = book
        self._account = _Account()
        self._waited = 0.0
        book.accounts[self._account] = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def held(self) -> int:
        """How much this lease holds now."""
        return self._account.held

    @property
    def waited(self) -> float:
        """Seconds that `take` has waited for room."""
        return self._waited

    async def take(self, amount: int) -> None:
        """Takes `amount` more, as soon as the rules allow it; does not suspend where they allow it at once.

        Takes of one lease are served in the order of the calls. An amount above the total is served when the
        lease is the oldest.

        Cancellation: nothing was taken.

        Raises:
            RestoreError: a negative amount, or a closed lease (also one closed while this waited).
        """
        self._check(amount)
        book, account = self._book, self._account
        waiter = _Waiter(amount, asyncio.get_running_loop().create_future())
        account.waiters.append(waiter)
        book.serve()
        if waiter.future.done():
            return
        began = time.monotonic()
        try:
            await waiter.future
        except asyncio.CancelledError:
            if waiter in account.waiters:
                # Cancelled while waiting. It leaves the queue, and whoever stood behind it may fit now.
                account.waiters.remove(waiter)
            elif not waiter.future.cancelled() and not account.closed:
                # Granted and then cancelled within one tick: the amount is booked and nobody will use it.
                # It is passed on. (Closed in between: `close` gave it back with the rest.)
                book.move(account, -amount)
            # The third order, cancelled and then freed within one tick: the future was cancelled at once, so
            # `serve` skipped it and dropped it from the queue. Nothing is booked.
            book.serve()
            raise
        finally:
            self._waited += time.monotonic() - began

    def give_back(self, amount: int) -> None:
        """Returns `amount` of what was taken.

        Raises:
            RestoreError: more than is held.
        """
        self._check(amount)
        if amount > self._account.held:
            raise RestoreError(
                f"more given back to the {self._book.name} budget than was taken",
                expected=self._account.held,
                found=amount,
            )
        self._book.move(self._account, -amount)
        self._book.serve()

    def close(self) -> None:
        """Returns all that is held and passes the privilege on. Idempotent."""
        book, account = self._book, self._account
        if account.closed:
            return
        account.closed = True
        del book.accounts[account]
        book.move(account, -account.held)
        for waiter in account.waiters:
            if not waiter.future.done():
                waiter.future.set_exception(self._closed_error())
        account.waiters.clear()
        book.serve()

    def _check(self, amount: int) -> None:
        if self._account.closed:
            raise self._closed_error()
        if amount < 0:
            raise RestoreError(f"{self._book.name} budget deals in amounts from 0 up", found=amount)

    def _closed_error(self) -> RestoreError:
        return RestoreError(f"lease of the {self._book.name} budget is closed")
