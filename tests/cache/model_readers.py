"""Readers that hold a snapshot for as long as a test likes, and may die with it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Set

import pytest

import cache.lease
from cache.mirror import Mirror, Snapshot
from cache.presence import Presence
from tests.cache.model import ModelSource

_NEVER = 1e9  # seconds: longer than any test


class _MortalPresence(Presence):
    """A presence whose process dies at will."""

    last: _MortalPresence

    def appear(self) -> None:
        super().appear()
        type(self).last = self

    def die(self) -> None:
        """Does what the kernel does when a process ends: the file stays, its lock does not."""
        descriptor, self._descriptor, self._path = self._descriptor, None, None
        assert descriptor is not None
        os.close(descriptor)


def make_mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has leases made that can die, and that are not watched: no test depends on the time it takes."""
    monkeypatch.setattr(cache.lease, "Presence", _MortalPresence)
    monkeypatch.setattr(cache.lease, "WATCH_SECONDS", _NEVER)


class Reader:
    """A task that holds a snapshot from `open` until `close` or `die`.

    Attributes:
        snapshot: what it reads.
        expected: the files that the source had when it was listed for this snapshot.
        packs: names of the packs that are leased.
    """

    snapshot: Snapshot
    expected: dict[str, bytes]
    packs: Set[str]

    def __init__(self, mirror: Mirror, source: ModelSource) -> None:
        self._mirror = mirror
        self._source = source
        self._opened = asyncio.Event()
        self._let_go = asyncio.Event()

    async def open(self, *, refetch: Set[str] = frozenset()) -> None:
        """Synchronises, and leases."""
        self._task = asyncio.create_task(self._hold(refetch))
        self._task.add_done_callback(lambda _: self._opened.set())
        await self._opened.wait()
        if self._task.done():
            await self._task
        self._presence = _MortalPresence.last

    async def close(self) -> None:
        """Gives the lease back."""
        self._let_go.set()
        await self._task

    async def die(self) -> None:
        """Ends without giving anything back."""
        self._presence.die()
        await self.close()

    async def _hold(self, refetch: Set[str]) -> None:
        async with self._mirror.synced(refetch=refetch) as snapshot:
            self.snapshot = snapshot
            self.expected = self._source.listed
            self.packs = {pack.file for pack in snapshot._index.packs}
            self._opened.set()
            await self._let_go.wait()
