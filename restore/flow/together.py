"""Waits for several things at once that depend on nothing but each other's success."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from restore.flow.cancellation import CancelRequests


async def together(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Runs all of `work` at the same time, to the end of each.

    (Until Python 3.13 a `TaskGroup` whose task fails leaves a cancel request on the caller that nobody made,
    and that cannot be told from one that somebody made meanwhile.)

    Cancellation: cancels all of it, and waits for it; after an error likewise with the rest.

    Raises:
        Exception: the first error in the order of `work`; a cancellation that it overtook is delivered again.
    """
    tasks = [asyncio.create_task(each) for each in work]
    requests = CancelRequests()
    cancelled: asyncio.CancelledError | None = None
    while running := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
        if cancelled is not None or _errors(tasks):
            for task in running:
                task.cancel()
    if errors := _errors(tasks):
        requests.deliver_again()
        raise errors[0]
    if cancelled is not None:
        raise cancelled


def _errors(tasks: Iterable[asyncio.Task[object]]) -> list[BaseException]:
    ended = (task for task in tasks if task.done() and not task.cancelled())
    return [error for task in ended if (error := task.exception()) is not None]
