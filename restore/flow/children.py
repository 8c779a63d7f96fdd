"""The child processes of one run: bounded, watched for progress, and gone with the block that they run in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from restore.errors import CommandFailedError, StalledError, UsageError, printable
from restore.flow.pipes import readable, writable
from restore.flow.process_group import LOST, ProcessGroup, check_supported
from restore.flow.threads import shielded
from restore.report.events import Live, Report, Stalled

GRACE_SECONDS = 2.0
"""From SIGTERM to SIGKILL: enough to remove a temporary file, and short: a run stops within 10 s."""

TAIL_BYTES = 4096
"""Kept of what a program writes to stderr; its last words say why it failed."""

_LISTEN_BYTES = 1 << 16
"""Read from stderr at once: what a pipe holds."""

_LAST_READS = 16
"""So often is a pipe emptied for a program's last words: a megabyte of them is enough to skip."""


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

    A task that holds one child and waits for another may wait for ever. So may all tasks together, where some
    hold a child and wait for memory that is freed in order; so `bound` is at least the number of such tasks.

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
        self._live: dict[Child, asyncio.Task[None] | None] = {}

    async def __aenter__(self) -> Self:
        check_supported()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await shielded(self._end_all())

    @asynccontextmanager
    async def run(self, program: Program) -> AsyncIterator[Child]:
        """Runs a program for the length of a block, and ends it with all that it has started.

        Raises:
            UsageError: there is no such program, or it cannot be run so.
            ResourceError: no memory, descriptor or process is left for it.

        Cancellation: the block is left when the child is gone, about `grace_seconds` later.
        """
        async with self._slots:
            child = Child(program, self._report)
            self._live[child] = None
            try:
                self._report(Live("children", len(self._live)))
                yield child
            finally:
                await self._end(child)

    async def _end_all(self) -> None:
        await asyncio.gather(*(self._end(child) for child in list(self._live)))

    async def _end(self, child: Child) -> None:
        if child not in self._live:
            return  # the other of those who may ask for it was first
        ending = self._live[child]
        if ending is None:
            # One task: the child's block and ours may both ask for it, and neither may leave before.
            ending = self._live[child] = asyncio.create_task(child.end(self._grace_seconds))
        try:
            await shielded(ending)
        finally:
            if self._live.pop(child, None) is not None:
                self._report(Live("children", len(self._live)))


class Child:
    """A running program; made by `Children.run`, used by one task.

    Cancellation: a call that was cancelled has done a part of its work; what remains is to leave the block.
    Bounds: `TAIL_BYTES` of stderr; nothing of stdin and stdout.
    """

    def __init__(self, program: Program, report: Report) -> None:
        self._program = program
        self._report = report
        self._group = ProcessGroup(program.argv, program.environment)
        self._stdin, self._stdout, self._stderr = self._group.pipes
        for pipe in self._group.pipes:
            os.set_blocking(pipe.fileno(), False)
        self._said = bytearray()
        self._loop = asyncio.get_running_loop()
        # All the time, whatever else is waited for: a full pipe would stop the program.
        self._loop.add_reader(self._stderr.fileno(), self._listen)

    async def read_into(self, view: memoryview) -> int:
        """Puts the next bytes of stdout into `view`, as many as are there; returns how many, 0 at the end.

        Raises:
            StalledError: none came for `idle_seconds`.
        """
        descriptor = self._stdout.fileno()
        while True:
            try:
                return os.readv(descriptor, [view])
            except BlockingIOError:
                await self._progress(readable(descriptor, seconds=self._program.idle_seconds))

    async def write(self, data: bytes) -> None:
        """Writes all of `data` to stdin.

        Raises:
            StalledError: none was taken for `idle_seconds`.
            CommandFailedError: the program has failed, or reads no more.
        """
        descriptor = self._stdin.fileno()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                await self._progress(writable(descriptor, seconds=self._program.idle_seconds))
            except BrokenPipeError:
                await self.check_well()
                raise self._failed("stdin closed early") from None

    async def check_well(self) -> None:
        """Looks at a program that closed a pipe before its time: most probably because it has failed.

        Raises:
            CommandFailedError: it has, or does within `GRACE_SECONDS`.
        """
        if await self._group.wait(GRACE_SECONDS) and (status := self._group.status):
            raise self._failed(_ending(status))

    async def finish(self) -> None:
        """Closes stdin, and waits for the program to end well. Read stdout to its end before.

        Raises:
            StalledError: it did not end for `idle_seconds`.
            CommandFailedError: it ended with another status than 0.
        """
        self._stdin.close()
        await self._progress(self._group.wait(self._program.idle_seconds))
        if status := self._group.status:
            raise self._failed(_ending(status))

    def last_words(self) -> str:
        """What it wrote to stderr last, as the end of an error's sentence."""
        # Of a program that has ended all is in the pipe; of one that goes on talking this is enough.
        for _ in range(_LAST_READS):
            if not self._listen():
                break
        text = self._said[-TAIL_BYTES:].decode("utf-8", "backslashreplace").strip()
        if not text:
            return ", nothing on stderr"
        return f", on stderr: {'...' if len(self._said) > TAIL_BYTES else ''}{printable(text)}"

    async def end(self, grace_seconds: float) -> None:
        """Ends the program and what it has started; for `Children`.

        Cancellation: shield it.
        """
        self._stdout.close()
        # Stdin stays open meanwhile: a program that sees its end takes what it got for the whole file, and
        # would publish half of one before it stops.
        await self._group.end(grace_seconds)
        self._stdin.close()
        self._loop.remove_reader(self._stderr.fileno())
        self._stderr.close()

    async def _progress(self, ready: Awaitable[bool]) -> None:
        if not await ready:
            seconds = self._program.idle_seconds
            self._report(Stalled(self._program.file, seconds))
            raise StalledError(
                f"{self._program.name} made no progress",
                file=self._program.file,
                found=f"{seconds:g} s without a byte{self.last_words()}",
            )

    def _failed(self, how: str) -> CommandFailedError:
        return CommandFailedError(
            f"{self._program.name} failed", file=self._program.file, found=how + self.last_words()
        )

    def _listen(self) -> bool:
        """Takes what is there of stderr; whether there may be more."""
        try:
            said = os.read(self._stderr.fileno(), _LISTEN_BYTES)
        except BlockingIOError:
            return False
        if not said:
            self._loop.remove_reader(self._stderr.fileno())
        self._said += said
        # One byte more than is shown, to know that there was more.
        del self._said[: -TAIL_BYTES - 1]
        return bool(said)


def _ending(status: int) -> str:
    if status == LOST:
        return "unknown exit status (SIGCHLD is ignored)"
    return f"exit status {status}" if status >= 0 else f"signal {-status}"
