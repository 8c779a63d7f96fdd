"""The child processes of one run: bounded, watched for progress, and never outliving the block that they run in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from restore.errors import CommandFailedError, StalledError, UsageError
from restore.flow.pipes import readable, writable
from restore.flow.process_group import LOST, ProcessGroup, check_supported
from restore.flow.threads import shielded
from restore.report.events import Live, Report, Stalled

GRACE_SECONDS = 2.0
"""From SIGTERM to SIGKILL: enough to remove a temporary file, and short beside the 10 s in which a run stops."""

TAIL_BYTES = 4096
"""Kept of what a program writes to stderr; its last words say why it failed."""

_DRAIN_BYTES = 1 << 16
"""Read from stderr at once: what a pipe holds."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a child runs.

    Attributes:
        name: what errors call it.
        file: the file that it is about, for errors.
        argv: the program, found on the PATH of this process, and its arguments.
        environment: all of its variables.
        idle_seconds: without a byte in or out for so long while somebody waits for one, it is given up.
    """

    name: str
    file: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    idle_seconds: float


class Children:
    """Runs programs as children.

    A task that holds one child and waits for another may wait for ever, and so may all tasks together where each
    holds a child and waits for memory that is freed in order: `bound` is at least the number of those tasks.

    Args:
        bound: children that may live at once; further ones wait, in the order in which they were asked for.
        report: is told how many live.
        grace_seconds: from SIGTERM to SIGKILL.

    Cancellation: leaving the block ends the children that still live, and waits for them.
    Bounds: `bound` children, with four descriptors each.
    """

    def __init__(self, bound: int, *, report: Report, grace_seconds: float = GRACE_SECONDS) -> None:
        if bound < 1:
            raise UsageError("bound on child processes must be at least 1", found=bound)
        self._slots = asyncio.Semaphore(bound)
        self._report = report
        self._grace_seconds = grace_seconds
        self._live: set[Child] = set()

    async def __aenter__(self) -> Self:
        check_supported()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await shielded(asyncio.gather(*(self._end(child) for child in self._live)))

    @asynccontextmanager
    async def run(self, program: Program) -> AsyncIterator[Child]:
        """Runs a program for the length of a block, and ends it with all that it has started.

        Raises:
            UsageError: there is no such program, or it cannot be run so.
            ResourceError: no memory, descriptor or process is left for it.

        Cancellation: the block is left when the child is gone, at most `grace_seconds` later.
        """
        async with self._slots:
            child = Child(program, self._report)
            self._live.add(child)
            self._report(Live("children", len(self._live)))
            try:
                yield child
            finally:
                await shielded(self._end(child))

    async def _end(self, child: Child) -> None:
        await child.end(self._grace_seconds)
        self._live.discard(child)
        self._report(Live("children", len(self._live)))


class Child:
    """A running program; made by `Children.run`. One task uses it."""

    async def read_into(self, view: memoryview) -> int:
        """Puts the next bytes of stdout into `view`, as many as are there; returns how many, 0 at the end."""
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        """Writes all of `data` to stdin."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Closes stdin, and waits for the program to end well."""
        raise NotImplementedError
