"""READ, SYNC and PRUNE: who may do what in a mirror's folder at the same time.

    locks = Locks(folder, tell=tell, timeout_seconds=600)
    async with locks.hold(Mode.READ):
        ...
    async with locks.try_hold(Mode.PRUNE) as held:
        if held:
            ...

The modes:

    READ   while a reader chooses its packs and leases them. Nothing is removed meanwhile; packs may be added.
    SYNC   while the mirror is brought up to date: packs are added, never changed or removed. One at a time.
    PRUNE  while retired packs are removed. Nobody else holds anything.

    held \\ wanted   READ      SYNC      PRUNE
    READ            goes on   goes on   waits
    SYNC            goes on   waits     waits
    PRUNE           waits     waits     waits

How it is built. Two files in the folder are locked with `flock`, in this order:

    READ   removal.lock shared
    SYNC   removal.lock shared, then sync.lock exclusive
    PRUNE  removal.lock exclusive

The kernel frees them when their process ends, however it ends. (Not `fcntl` locks: those belong to the
process, so two of its tasks would not exclude each other, and closing one descriptor would free both.) The
files are never removed: whoever had opened the old one would lock that, and everybody after it the new one.

Nothing blocks: an attempt, in a thread, takes all it needs or keeps nothing, and then sleeps. So a waiter can
be cancelled at any moment, which a blocking `flock` in a thread could not, and one that waits for SYNC does
not keep PRUNE out.

Order. A task that holds READ may take READ or SYNC inside it, and is back at READ when that ends. Everything
else would wait for the task itself, or might, and raises `LockOrderError` before a file is touched. What
counts is what the task and those that started it hold, through any `Locks` of the folder.

No deadlock. Whoever waits holds nothing, or READ. READ keeps only PRUNE waiting, and whoever waits for PRUNE
holds nothing. So of those who wait nobody waits for another; whoever they all wait for goes on, and ends.

Not promised. `flock` binds only those who ask. Polling is not fair: readers that never pause keep PRUNE out,
which had better only try. A child that was forked and has not executed another program shares the locks of
its parent: they end when the parent gives them back, or else with the last of both. The argument above is for
one folder: whoever holds locks of several at once needs an order of folders. What network file systems make
of all this, `probe` asks.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from enum import Enum
from pathlib import Path

import msgspec

from cache.errors import LockOrderError, LockTimeoutError
from cache.presence import Holder, Presence, living
from cache.source import Tell, Waiting, ignore
from cache.threads import in_thread

HOLDERS_FOLDER = "holders"
"""In the mirror's folder: who holds a lock, for messages only."""

NOTICE_AGAIN_SECONDS = 60.0
"""Between two words on the same wait: often enough to be seen alive, seldom enough to be read."""

FIRST_PAUSE_SECONDS = 0.005
"""Between the first two attempts: most locks are held for milliseconds."""

MOST_PAUSE_SECONDS = 0.1
"""Between two attempts in the end: ten a second cost nothing, and no human sees the delay."""

_REMOVAL = "removal.lock"
_SYNC = "sync.lock"
_SOMEBODY = "a process that did not say who it is"


class Mode(Enum):
    """What a lock is held for."""

    READ = "read"
    SYNC = "sync"
    PRUNE = "prune"


_PARTS = {
    Mode.READ: ((_REMOVAL, fcntl.LOCK_SH),),
    Mode.SYNC: ((_REMOVAL, fcntl.LOCK_SH), (_SYNC, fcntl.LOCK_EX)),
    Mode.PRUNE: ((_REMOVAL, fcntl.LOCK_EX),),
}
"""What each mode locks, in the one order."""

_INSIDE = {Mode.READ: (Mode.READ, Mode.SYNC), Mode.SYNC: (), Mode.PRUNE: ()}
"""What may be taken by one who holds the mode."""


class Locks:
    """The locks of one folder.

    Args:
        folder: the mirror's; must exist.
        tell: hears of long waits.
        notice_seconds: how long a wait may last before it is told of.
        timeout_seconds: how long a wait may last at all; for ever unless given.
        now: a clock.
        sleep: pauses between two attempts.

    Bounds: two descriptors for each lock that is held, and one that says so.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tell: Tell = ignore,
        notice_seconds: float = 2.0,
        timeout_seconds: float | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._folder = folder
        self._tell = tell
        self._notice_seconds = notice_seconds
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._sleep = sleep

    @asynccontextmanager
    async def hold(self, mode: Mode) -> AsyncIterator[None]:
        """Holds a lock during the block, once it is free.

        Raises:
            LockTimeoutError: it was not free in time.
            LockOrderError: it may not be taken inside what is held.

        Cancellation: what was won is given back.
        """
        claim = await self._claim(mode)
        try:
            await self._win(claim)
            claim.enter()
            yield
        finally:
            await in_thread(claim.give_back)

    @asynccontextmanager
    async def try_hold(self, mode: Mode) -> AsyncIterator[bool]:
        """Holds a lock during the block if it is free now, and says whether it is held. Never waits.

        Raises:
            LockOrderError: it may not be taken inside what is held.

        Cancellation: what was won is given back.
        """
        claim = await self._claim(mode)
        try:
            if is_won := await in_thread(claim.try_to_win):
                claim.enter()
            yield is_won
        finally:
            await in_thread(claim.give_back)

    async def holders(self) -> list[tuple[Mode, Holder]]:
        """Who holds what now, of those that said so."""
        said = await in_thread(_read_holders, self._folder)
        return [(mode, holder) for mode, holder in said if holder is not None]

    async def _claim(self, mode: Mode) -> _Claim:
        claim = _Claim(Path(await in_thread(os.path.realpath, self._folder)), mode)
        claim.check_order()
        return claim

    async def _win(self, claim: _Claim) -> None:
        began = self._now()
        notice_at = self._notice_seconds
        pause = FIRST_PAUSE_SECONDS
        while not await in_thread(claim.try_to_win):
            waited = self._now() - began
            if self._timeout_seconds is not None and waited >= self._timeout_seconds:
                raise LockTimeoutError(
                    f"{claim.mode.name} lock was not free in time",
                    file=self._folder,
                    expected=f"within {self._timeout_seconds:g} s",
                    found=await in_thread(_describe_holders, self._folder, claim.mode),
                )
            if waited >= notice_at:
                notice_at = waited + NOTICE_AGAIN_SECONDS
                holders = await in_thread(_describe_holders, self._folder, claim.mode)
                self._tell(Waiting(claim.mode.name, str(self._folder), holders, waited))
            await self._sleep(pause)
            pause = min(2 * pause, MOST_PAUSE_SECONDS)


class _Claim:
    """One lock, to be won and given back.

    It keeps what an attempt won: the result of a call in a thread is lost when its caller is cancelled.
    """

    def __init__(self, folder: Path, mode: Mode) -> None:
        self.mode = mode
        self.folder = folder
        self.is_won = False
        self._parts = ExitStack()

    def check_order(self) -> None:
        """Raises `LockOrderError` if this task holds what this one may not be taken inside."""
        held = [claim.mode for claim in _entered.get() if claim.is_won and claim.folder == self.folder]
        if any(self.mode not in _INSIDE[mode] for mode in held):
            raise LockOrderError(
                "lock may not be taken inside those that are held",
                file=self.folder,
                found=" inside ".join(mode.name for mode in (self.mode, *reversed(held))),
            )

    def enter(self) -> None:
        """Counts as held by this task, and by those that it starts, until it is given back."""
        _entered.set((*(claim for claim in _entered.get() if claim.is_won), self))

    def try_to_win(self) -> bool:
        """Takes all parts or none, without waiting."""
        with ExitStack() as parts:
            for name, operation in _PARTS[self.mode]:
                if not parts.enter_context(_locked(self.folder / name, operation)):
                    return False
            parts.enter_context(_said(self.folder / HOLDERS_FOLDER, self.mode))
            self._parts = parts.pop_all()
        self.is_won = True
        return True

    def give_back(self) -> None:
        """Gives back what was won. Idempotent."""
        self.is_won = False
        self._parts.close()


_entered: ContextVar[tuple[_Claim, ...]] = ContextVar("entered", default=())
"""What this task and those that started it took; what is no longer held does not count.

So nothing needs to be reset, and a task that lives on after its starter gave the lock back is not misled.
"""


@contextmanager
def _locked(path: Path, operation: int) -> Iterator[bool]:
    """Whether `path` could be locked at once; gives it back after the block."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            # A file that was replaced since it was opened is no lock: others take the new one. So will the
            # next attempt.
            yield _leads_to(path, descriptor)
        finally:
            # Closing is not enough: a child that was just forked has a copy until it executes its program.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _leads_to(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def _said(folder: Path, mode: Mode) -> Iterator[None]:
    """Says during the block that this process holds the mode; if it cannot, the lock counts all the same."""
    holder = Holder.of_this_process(now=time.time())
    presence = Presence(folder, mode.value, msgspec.json.encode(holder))
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        presence.appear()
    try:
        yield
    finally:
        with suppress(OSError):
            presence.vanish()


def _read_holders(folder: Path) -> list[tuple[Mode, Holder | None]]:
    """Who holds what; None where it is not said who."""
    found: list[tuple[Mode, Holder | None]] = []
    for present in living(folder / HOLDERS_FOLDER):
        with suppress(ValueError):  # the name is of no mode: the file is none of ours
            found.append((Mode(present.path.name.rpartition("-")[0]), _parse_holder(present.content)))
    return found


def _parse_holder(content: bytes) -> Holder | None:
    try:
        return msgspec.json.decode(content, type=Holder)
    except (ValueError, RecursionError):
        return None


def _describe_holders(folder: Path, wanted: Mode) -> str:
    """Names those that keep `wanted` waiting."""
    said: list[tuple[Mode, Holder | None]] = []
    with suppress(OSError):  # it is for messages only
        said = _read_holders(folder)
    named = [f"{mode.name} by {holder or _SOMEBODY}" for mode, holder in said if _blocks(mode, wanted)]
    return "; ".join(named) or _SOMEBODY


def _blocks(held: Mode, wanted: Mode) -> bool:
    """Whether the two share a file that one of them locks exclusively."""
    return any(
        name == other_name and fcntl.LOCK_EX in (operation, other_operation)
        for name, operation in _PARTS[held]
        for other_name, other_operation in _PARTS[wanted]
    )
