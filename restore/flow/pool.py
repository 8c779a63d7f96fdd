"""Processes for work that a thread cannot do beside others, because it keeps the interpreter to itself.

Each is a fresh interpreter that runs a module of this program, which answers requests (`serving.py`). It is
started by nobody's fork, shares nothing, and has no say: an answer depends on the request alone, so whoever
gets none does the work himself. A process that is killed, stopped or cannot be started costs time, no more.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import restore
from restore.errors import CommandFailedError, ResourceError, StalledError, UsageError
from restore.flow.children import Child, Children, Program
from restore.flow.process_group import check_supported
from restore.flow.serving import LENGTH, framed
from restore.report.events import silent

IDLE_SECONDS = 30.0
"""Until a process is given up that takes no request or gives no answer; each takes a fraction of a second."""


class ProcessPool:
    """Processes of one module, each started when it is needed for the first time.

    Args:
        module: calls `serve`.
        processes: how many may be started, ever: one that is lost is not replaced.

    Cancellation: leaving the block ends the processes, whatever they do, and waits for them.
    Bounds: `processes` children, with four descriptors each, and one request and answer for each.
    """

    def __init__(self, module: str, *, processes: int) -> None:
        self._program = Program(
            name=f"python -m {module}",
            file=module,
            # -P: a module of the same name in the folder where the user happens to be is another one.
            argv=(sys.executable, "-P", "-m", module),
            environment=os.environ | {"PYTHONPATH": _search_path()},
            idle_seconds=IDLE_SECONDS,
        )
        self._children = Children(processes, report=silent)
        self._stack = AsyncExitStack()
        self._room = asyncio.Semaphore(processes)
        self._startable = processes
        self._idle: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.push_async_exit(self._children)  # left first, so that all end at once
        await self._stack.aclose()

    async def ask(self, request: bytes) -> bytes | None:
        """The answer to `request`; None where no process is left to give it.

        Cancellation: the process that was asked is not asked again.
        """
        async with self._room:
            child = self._idle.pop() if self._idle else await self._start()
            if child is None:
                return None
            try:
                await child.write(framed(request))
                (size,) = LENGTH.unpack(await _read(child, LENGTH.size))
                answer = await _read(child, size)
            except (CommandFailedError, StalledError, EOFError):
                return None
            self._idle.append(child)
            return answer

    async def _start(self) -> Child | None:
        if not self._startable:
            return None
        self._startable -= 1
        try:
            check_supported()
            return await self._stack.enter_async_context(self._children.run(self._program))
        except (ResourceError, UsageError):
            return None


def _search_path() -> str:
    """Where the process looks for modules first: in this program's own folder, wherever it is run from."""
    folders = [str(Path(restore.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(filter(None, folders))


async def _read(child: Child, size: int) -> bytes:
    """The next `size` bytes of a child's stdout.

    Raises:
        EOFError: it ends before.
    """
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = await child.read_into(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return bytes(data)
