"""Waits for several things at once that depend on nothing but each other's success."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from restore.flow.cancellation import CancelRequests


async def together(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Runs all of `work` at the same time, to the end of each.

    Cancellation: cancels all of it, and waits for it; after an error likewise with the rest.

    Raises:
        Exception: the first error, bare; a cancellation that it overtook is delivered again.
    """
    requests = CancelRequests()
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as failed:
        error: BaseException = failed
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        requests.deliver_again()
        raise error from None
