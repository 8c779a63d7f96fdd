"""Another process that takes locks as it is told, over pipes: the child's program, and its driver.

hold MODE    answers "waiting" at its first pause, if there is one, and "held"
try MODE     answers "held" or "busy"
release      gives the last one back, and answers "released"
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

from cache.lock import Locks, Mode
from cache.threads import in_thread

ROOT = Path(__file__).resolve().parents[2]


class Child:
    """Drives a child that locks in `folder`."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.process = process

    def ask(self, line: str) -> str:
        """Tells the child something, and returns its next answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> str:
        """The child's next answer; empty if it ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def running(folder: Path) -> Iterator[Child]:
    """A child during the block; killed at its end, unless it ended before."""
    argv = [sys.executable, "-m", "tests.cache.lock_child", str(folder)]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            child = Child(folder, process)
            assert child.answer() == "ready"
            yield child
        finally:
            process.kill()


async def _serve(folder: Path) -> None:
    said_waiting = False

    async def pause(seconds: float) -> None:
        nonlocal said_waiting
        if not said_waiting:
            _say("waiting")
        said_waiting = True
        await asyncio.sleep(seconds)

    locks = Locks(folder, sleep=pause)
    taken: list[AbstractAsyncContextManager[object]] = []
    _say("ready")
    while words := (await in_thread(sys.stdin.readline)).split():
        said_waiting = False
        if words[0] == "release":
            await taken.pop().__aexit__(None, None, None)
            _say("released")
            continue
        take = locks.hold if words[0] == "hold" else locks.try_hold
        lock = take(Mode[words[1]])
        is_busy = await lock.__aenter__() is False
        if is_busy:
            await lock.__aexit__(None, None, None)
        else:
            taken.append(lock)
        _say("busy" if is_busy else "held")


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
