"""The one way into the event loop: the first signal to stop ends a run cleanly, the second at once."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from restore.errors import EXIT_SECOND_SIGNAL, InterruptedRunError
from restore.flow.process_group import kill_all_nowait

T = TypeVar("T")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The last one comes when a terminal is closed, and is left ignored where it was (nohup)."""


def run(main: Callable[[], Awaitable[T]], *, stopping: Callable[[], object] | None = None) -> T:
    """Runs `main` on uvloop (on asyncio where uvloop is absent) and returns its result.

    Call it from the main thread: only there can signals be handled. The handlers found are put back.

    Args:
        main: the work.
        stopping: called in the loop at the first signal, before anything has unwound, to tell the user.

    Cancellation: the first of `STOP_SIGNALS` cancels `main`, once. A second one ends the process at once with
        130, whatever it does, without unwinding; its children are killed. A `main` that ends in spite of the
        first, with a result or with an error of its own, ends so.

    Raises:
        InterruptedRunError: a signal cancelled `main`, and everything in it has ended.
    """
    stop = _Stop(stopping)
    # Plain handlers, not the loop's: those run as loop callbacks, and the second signal must work when the
    # loop is stuck. They are in place before the loop exists, so no signal falls between the two.
    found = {
        number: signal.signal(number, stop.on_signal)
        for number in STOP_SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(stop.supervise(main))
    except asyncio.CancelledError:
        if stop.received is None:
            raise
        raise InterruptedRunError("stopped by a signal", found=stop.received.name) from None
    finally:
        for number, handler in found.items():
            # None: a handler that was not set from Python, which cannot be put back from Python either.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _Stop:
    """What the handlers and the supervised task share."""

    def __init__(self, stopping: Callable[[], object] | None) -> None:
        self.received: signal.Signals | None = None
        self._stopping = stopping
        self._cancel: Callable[[], object] | None = None

    async def supervise(self, main: Callable[[], Awaitable[T]]) -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            # In the loop, not in the handler: what the handler interrupts may be printing, or hold a lock.
            self._cancel = lambda: loop.call_soon_threadsafe(self._begin, task)
        # A handler runs between any two instructions. Before the lines above it can only note the signal, and
        # we see that here; after them it cancels us. Between them and the check it does both, which is one
        # cancellation all the same: we raise without an await that the other could hit.
        if self.received is not None:
            raise asyncio.CancelledError
        try:
            with _woken_by_signals(loop):
                return await main()
        finally:
            # From here on nothing is left to cancel: the loop closes, and a late signal must not touch it.
            self._cancel = None

    def _begin(self, task: asyncio.Task[object]) -> None:
        task.cancel()
        if self._stopping is not None:
            self._stopping()

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            # No unwinding: the user has decided. What is on disk is resumable at any instruction.
            kill_all_nowait()
            os._exit(EXIT_SECOND_SIGNAL)
        self.received = signal.Signals(number)
        if self._cancel is not None:
            self._cancel()


@contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Makes a signal end the poll that the loop sleeps in, so that its handler runs now."""
    # A handler in Python only runs when the main thread does. A signal that comes just before the poll, or to
    # another thread, does not interrupt that poll; the byte that the interpreter writes here at once does.
    # (The loop's own means, `add_signal_handler`, would take the place of our handlers.)
    read, write = socket.socketpair()
    with read, write:
        for end in (read, write):
            end.settimeout(0)

        def drain() -> None:
            read.recv(4096)  # a function in Python, not `recv` itself: handlers run between its instructions

        found = signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        loop.add_reader(read, drain)
        try:
            yield
        finally:
            loop.remove_reader(read)
            signal.set_wakeup_fd(found)  # uvloop's, which wants it back when it stops


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
