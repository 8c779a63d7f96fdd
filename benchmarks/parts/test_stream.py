"""What the ordered stream costs for each item, where the work itself is nothing."""

from __future__ import annotations

import asyncio

import uvloop

from benchmarks.parts.work import Part, Work
from restore.flow.stream import OrderedStream

COUNT = 2_000

CONCURRENCY = 8

WORK = Work("stream", f"{COUNT:,} items of no work, {CONCURRENCY} at once", "items/s", COUNT)


async def _nothing(number: int) -> int:
    await asyncio.sleep(0)
    return number


async def _stream() -> None:
    async with OrderedStream(range(COUNT), _nothing, concurrency=CONCURRENCY) as results:
        async for _ in results:
            pass


async def _groups() -> None:
    for start in range(0, COUNT, CONCURRENCY):
        async with asyncio.TaskGroup() as group:
            for number in range(start, start + CONCURRENCY):
                group.create_task(_nothing(number))


def test_ours(part: Part) -> None:
    part(WORK, lambda: uvloop.run(_stream()))


def test_bare_task_groups(part: Part) -> None:
    part(WORK, lambda: uvloop.run(_groups()), way="bare task groups")
