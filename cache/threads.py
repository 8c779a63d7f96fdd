"""File operations in threads: the event loop never waits for a disk, and nothing is left half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def in_thread(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Runs `function(*args)` in a thread of the event loop.

    Cancellation: waits for the thread first, since nothing can stop it; then its error is raised, or, where
        it ended well, `CancelledError`. Its result is lost: what must be given back the function keeps
        elsewhere.
    """
    # No task, which a loop that ends would cancel together with its caller.
    call = asyncio.get_running_loop().run_in_executor(None, function, *args)
    cancelled: asyncio.CancelledError | None = None
    while not call.done():
        try:
            await asyncio.wait((call,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and call.exception() is None:
        raise cancelled
    return call.result()
