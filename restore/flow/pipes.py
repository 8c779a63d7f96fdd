"""Waits for descriptors: pipes of child processes, and the descriptors that stand for processes.

On the event loop's own readiness calls, which asyncio and uvloop share, and without a thread. (asyncio's
streams read the same pipes at half the speed: they copy everything twice.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial


async def readable(descriptor: int, *, seconds: float | None = None) -> bool:
    """Whether `descriptor` could be read, or had ended, within `seconds`; None waits for ever.

    Cancellation: nothing remains registered.
    """
    loop = asyncio.get_running_loop()
    return await _ready(loop, loop.add_reader, loop.remove_reader, descriptor, seconds)


async def writable(descriptor: int, *, seconds: float | None = None) -> bool:
    """Whether `descriptor` could be written, or nobody reads it any more, within `seconds`.

    Cancellation: nothing remains registered.
    """
    loop = asyncio.get_running_loop()
    return await _ready(loop, loop.add_writer, loop.remove_writer, descriptor, seconds)


async def _ready(
    loop: asyncio.AbstractEventLoop,
    add: Callable[..., object],
    remove: Callable[[int], object],
    descriptor: int,
    seconds: float | None,
) -> bool:
    answer: asyncio.Future[bool] = loop.create_future()

    def settle(*, ready: bool) -> None:
        if not answer.done():  # ready and too late in the same tick, or cancelled just before
            answer.set_result(ready)

    add(descriptor, partial(settle, ready=True))
    timer = None if seconds is None else loop.call_later(seconds, partial(settle, ready=False))
    try:
        return await answer
    finally:
        remove(descriptor)
        if timer is not None:
            timer.cancel()
