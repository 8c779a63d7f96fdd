"""Parties in this process and in others, driven alike; and the program of a child that is one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

from cache.threads import in_thread
from tests.cache.folder_source import FolderSource
from tests.cache.halts import Install, leave_without
from tests.cache.mirror_party import Party

ROOT = Path(__file__).resolve().parents[2]


class Driver(Protocol):
    """Drives a party."""

    async def ask(self, line: str) -> str:
        """Tells it something, and returns its next answer."""

    async def answer(self) -> str:
        """Its next answer."""


class Here:
    """Drives a party in this process."""

    def __init__(self, root: Path, source: FolderSource, install: Install) -> None:
        self._answers: asyncio.Queue[str] = asyncio.Queue()
        self.party = Party(root, source, install, self._answers.put_nowait)

    async def ask(self, line: str) -> str:
        self.party.tell(line)
        return await self.answer()

    async def answer(self) -> str:
        return await self._answers.get()


class There:
    """Drives a party in another process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    async def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return await self.answer()

    async def answer(self) -> str:
        assert self.process.stdout is not None
        return (await in_thread(self.process.stdout.readline)).strip()

    async def kill(self) -> None:
        """Kills it."""
        self.process.kill()
        await in_thread(self.process.wait)


@asynccontextmanager
async def party_here(root: Path, source: FolderSource, install: Install) -> AsyncIterator[Here]:
    """A party in this process during the block."""
    here = Here(root, source, install)
    working = asyncio.create_task(here.party.work())
    try:
        yield here
    finally:
        here.party.end()
        await working


@contextmanager
def party_there(root: Path, source: FolderSource, *, without: Iterable[str] = ()) -> Iterator[There]:
    """A party in another process during the block, unless it is killed before.

    Args:
        root: the folder of mirrors.
        source: what is mirrored.
        without: what its process is left without.
    """
    argv = [sys.executable, "-m", "tests.cache.mirror_parties", str(root), str(source.folder), *without]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield There(process)
        finally:
            process.kill()


async def _serve(root: Path, folder: Path) -> None:
    async with party_here(root, FolderSource(folder), setattr) as here:
        copying = asyncio.create_task(_copy_answers(here))
        _say("ready")
        while line := (await in_thread(sys.stdin.readline)).strip():
            here.party.tell(line)
        copying.cancel()


async def _copy_answers(here: Here) -> None:
    while True:
        _say(await here.answer())


def _say(answer: str) -> None:
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    leave_without(sys.argv[3:], setattr)
    asyncio.run(_serve(Path(sys.argv[1]), Path(sys.argv[2])))
