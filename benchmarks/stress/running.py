"""Runs actors until the time is over: starts each anew when it ends, kills some, and counts what they did."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.stress.scene import Actor

KILL_SECONDS = 6.0
"""A process lives so long on average: some die while they start, and some come to their end."""

END_SECONDS = 120.0
"""Whoever still runs so long after the time is over hangs; a command takes seconds."""


class StressError(Exception):
    """Something was not as it must be; the text says what."""


async def run_actors(actors: Sequence[Actor], over: Path, *, seconds: float, seed: int) -> Counter[str]:
    """Runs them all at once; returns what was done, by name and number.

    Args:
        actors: to run.
        over: the file that is made when the time is over.
        seconds: how long that takes.
        seed: of who is killed when.

    Raises:
        StressError: one failed that was not killed, or hangs; all others are ended then.
    """
    counts: Counter[str] = Counter()
    is_over = asyncio.Event()

    def end() -> None:
        over.touch()
        is_over.set()

    timer = asyncio.get_running_loop().call_later(seconds, end)
    try:
        async with asyncio.timeout(seconds + END_SECONDS), asyncio.TaskGroup() as group:
            for actor in actors:
                group.create_task(_run_again(actor, is_over, random.Random(f"{seed} {actor.name}"), counts))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    except TimeoutError:
        raise StressError("somebody hangs") from None
    finally:
        timer.cancel()
    return counts


async def _run_again(
    actor: Actor, is_over: asyncio.Event, randomness: random.Random, counts: Counter[str]
) -> None:
    while not is_over.is_set():
        kill_after = randomness.expovariate(1 / KILL_SECONDS) if actor.may_be_killed else None
        await _run(actor, kill_after, counts)


async def _run(actor: Actor, kill_after: float | None, counts: Counter[str]) -> None:
    """Runs one process to its end, which may be a violent one."""
    process = await asyncio.create_subprocess_exec(
        *actor.command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    killing = _Killing(process, kill_after)
    try:
        output, messages = await process.communicate()
    finally:
        await killing.end()
    if process.returncode == -signal.SIGKILL and killing.is_done:
        counts["kills"] += 1
    elif process.returncode != 0:
        raise StressError(f"{' '.join(actor.command)} exited {process.returncode}:\n{messages.decode()}")
    elif actor.target is not None:
        shutil.rmtree(actor.target)
    for line in output.splitlines(keepends=True):
        if line.endswith(b"\n"):  # else it was killed in the middle of it
            try:
                counts.update(actor.counts(json.loads(line)))
            except ValueError as error:
                raise StressError(f"{' '.join(actor.command)}: {error}") from error


class _Killing:
    """Kills a process, soon or at the latest when nobody waits for it any more."""

    def __init__(self, process: asyncio.subprocess.Process, seconds: float | None) -> None:
        self.is_done = False
        self._process = process
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._kill)

    async def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._process.returncode is None:
            self._kill()
            await self._process.wait()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):  # it has ended by itself
            self._process.kill()
            self.is_done = True
