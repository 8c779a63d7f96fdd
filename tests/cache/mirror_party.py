"""A party: works in a mirror as it is told, one thing at a time, and halts where a script wants it to.

open       brings the mirror up to date and leases it; answers "opened, 2 fetched, 0 discarded"
read       reads all that is leased; answers "a=old b=old"
close      gives the lease back; answers "closed"
prune      answers "1 removed, 0 leased, 0 leftovers", or "busy"
survey     answers "sound", or what is wrong
go on      has a halted party go on

"POINT: open" answers "halted" first, once the party is at that point. Whoever has to wait for a lock answers
"waiting" first. Whoever fails answers with the name of its error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import cache.lease
from cache.folder import MirrorFolder, mirror_path
from cache.lock import Locks
from cache.mirror import Mirror, Snapshot
from cache.prune import prune
from cache.source import Discarded, Event, Fetched, Waiting
from cache.survey import survey
from cache.sync import SyncOptions
from tests.cache.folder_source import FolderSource
from tests.cache.halts import Halt, Install, put_halt

WATCH_SECONDS = 1e9
"""Leases are not watched: what happens must not depend on the time that a test takes."""


class Party:
    """A party in this process.

    Args:
        root: the folder of mirrors.
        source: what is mirrored.
        install: puts halts in their places.
        answer: hears each answer.
    """

    def __init__(
        self, root: Path, source: FolderSource, install: Install, answer: Callable[[str], None]
    ) -> None:
        self._root = root
        self._install = install
        self._answer = answer
        self._commands: asyncio.Queue[str] = asyncio.Queue()
        self._halts: list[Halt] = []
        self._is_waiting = False
        self._counts = {Fetched: 0, Discarded: 0}
        self._folder = MirrorFolder(mirror_path(root, source.identity))
        self._mirror = Mirror(root, source, SyncOptions(tell=self._hear))
        self._mirror._locks = Locks(self._folder.path, tell=self._hear, notice_seconds=0)
        self._snapshot: Snapshot | None = None
        install(cache.lease, "WATCH_SECONDS", WATCH_SECONDS)

    def tell(self, line: str) -> None:
        """Tells it what to do next."""
        if line == "go on":
            self._halts.pop().let_go()
        else:
            self._commands.put_nowait(line)

    def end(self) -> None:
        """Tells it to end, wherever it is."""
        for halt in self._halts:
            halt.let_go()
        self._commands.put_nowait("end")

    async def work(self) -> None:
        """Does as it is told, until it is told to end; then what is open is closed."""
        async with AsyncExitStack() as stack:
            while (line := await self._commands.get()) != "end":
                point, _, action = line.rpartition(": ")
                if point:
                    self._halt_at(point)
                try:
                    answer = await self._do(action, stack)
                except Exception as error:  # noqa: BLE001 - the test judges what it is
                    answer = type(error).__name__
                self._answer(answer)

    async def _do(self, action: str, stack: AsyncExitStack) -> str:
        self._is_waiting = False
        self._counts = dict.fromkeys(self._counts, 0)
        match action:
            case "open":
                self._snapshot = await stack.enter_async_context(self._mirror.synced())
                return f"opened, {self._counts[Fetched]} fetched, {self._counts[Discarded]} discarded"
            case "read":
                assert self._snapshot is not None
                entries = [entry async for entries in self._snapshot.packs() for entry in entries]
                return " ".join(sorted(f"{entry.name}={entry.content.decode()}" for entry in entries))
            case "close":
                await stack.aclose()
                return "closed"
            case "prune":
                pruned = await prune(self._folder, Locks(self._folder.path), grace_seconds=0)
                if pruned is None:
                    return "busy"
                return f"{pruned.packs} removed, {pruned.leased} leased, {pruned.leftovers} leftovers"
            case "survey":
                (state,) = await survey(self._root, thorough=True)
                return "; ".join(state.problems) or "sound"
        raise AssertionError(action)

    def _hear(self, event: Event) -> None:
        if isinstance(event, Waiting):
            if not self._is_waiting:
                self._answer("waiting")
            self._is_waiting = True
        elif type(event) in self._counts:
            self._counts[type(event)] += 1

    def _halt_at(self, point: str) -> None:
        loop = asyncio.get_running_loop()
        halt = Halt(lambda: loop.call_soon_threadsafe(self._answer, "halted"))
        self._halts.append(halt)
        put_halt(halt, point, self._install)
