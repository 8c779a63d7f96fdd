"""A source in memory that does what a test's script says, and what it was asked for."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from cache.errors import VanishedError


class Gate:
    """Holds a fetch until the test opens it."""

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._opened = asyncio.Event()

    async def reached(self) -> None:
        """Waits until the fetch is there."""
        await self._reached.wait()

    def open(self) -> None:
        """Lets it go on, and all later ones."""
        self._opened.set()

    async def pass_through(self) -> None:
        """The fetch's side."""
        self._reached.set()
        await self._opened.wait()


class ScriptedSource:
    """A `Source` whose files are a dictionary.

    Args:
        files: what it has.
        identity: which source it is.
        has_tags: whether listings say which content a name has.

    Attributes:
        files: what it has; tests change it as they like. A name that is listed and not here has vanished.
        listings: what the next listings say, or raise, the first one first; then they say what `files` are.
        failures: what the next fetches of a name raise.
        lists: how often it was listed.
        fetches: how often each name was asked for.
        cancelled: names whose fetch was cancelled.
        most_at_once: of fetches.
    """

    def __init__(
        self, files: Mapping[str, bytes] | None = None, *, identity: str = "memory:", has_tags: bool = True
    ) -> None:
        self._identity = identity
        self._has_tags = has_tags
        self._gates: dict[str, Gate] = {}
        self._at_once = 0
        self.files = dict(files or {})
        self.listings: deque[Mapping[str, str] | Exception] = deque()
        self.failures: dict[str, deque[Exception]] = {}
        self.lists = 0
        self.fetches: Counter[str] = Counter()
        self.cancelled: list[str] = []
        self.most_at_once = 0

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def listing(self) -> dict[str, str]:
        """What a listing of the files says."""
        return {name: tag_of(content) if self._has_tags else "" for name, content in self.files.items()}

    def hold(self, name: str) -> Gate:
        """Holds all fetches of a file."""
        return self._gates.setdefault(name, Gate())

    def fail(self, name: str, *errors: Exception) -> None:
        """The next fetches of a file raise these."""
        self.failures.setdefault(name, deque()).extend(errors)

    def take_fetches(self) -> list[str]:
        """What was asked for since the last call, sorted."""
        taken, self.fetches = sorted(self.fetches.elements()), Counter()
        return taken

    async def list_files(self) -> Mapping[str, str]:
        self.lists += 1
        await asyncio.sleep(0)
        answer = self.listings.popleft() if self.listings else self.listing
        if isinstance(answer, Exception):
            raise answer
        return answer

    @asynccontextmanager
    async def fetch(self, name: str) -> AsyncIterator[bytes]:
        self.fetches[name] += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(0)
            if name in self._gates:
                await self._gates[name].pass_through()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        finally:
            self._at_once -= 1
        if failures := self.failures.get(name):
            raise failures.popleft()
        if name not in self.files:
            raise VanishedError("file is there no more", file=name)
        yield self.files[name]


def tag_of(content: bytes) -> str:
    """The tag that a listing gives a content."""
    return hashlib.sha256(content).hexdigest()[:16]
