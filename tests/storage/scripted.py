"""An origin whose requests go as a test says: the order of things is the test's, not the network's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO

from restore.errors import MissingFileError, RestoreError, UsageError
from restore.storage.base import FileHandle
from restore.storage.origin import Answer, Origin, Pin
from restore.storage.paging import Page


@dataclass
class Script:
    """How one request goes.

    Attributes:
        bytes_first: given before anything goes wrong; None for all.
        error: raised then.
        hangs: waits for ever then, or before the answer where `bytes_first` is None.
        proceed: waited for before each bytes.
        pin: told in place of the true one.
        piece: bytes given at once.
    """

    bytes_first: int | None = None
    error: RestoreError | None = None
    hangs: bool = False
    proceed: asyncio.Event | None = None
    pin: Pin | None = None
    piece: int = 1000


@dataclass
class Asked:
    """One request, as the origin saw it."""

    handle: FileHandle
    start: int
    length: int
    pin: Pin | None
    fresh: bool
    open: bool = True
    given: int = 0
    began: asyncio.Event = field(default_factory=asyncio.Event)


class ScriptedOrigin(Origin):
    """Objects in memory; the n-th request follows the n-th script, any further one goes well."""

    def __init__(self, objects: dict[str, bytes], *scripts: Script) -> None:
        self.objects = objects
        self.scripts = list(scripts)
        self.asked: list[Asked] = []

    @property
    def identity(self) -> str:
        return "scripted:"

    @asynccontextmanager
    async def get(
        self, handle: FileHandle, *, start: int, length: int, pin: Pin | None, fresh: bool
    ) -> AsyncIterator[Answer]:
        script = self.scripts.pop(0) if self.scripts else Script(piece=1 << 30)
        asked = Asked(handle, start, length, pin, fresh)
        self.asked.append(asked)
        try:
            asked.began.set()
            if script.bytes_first is None and script.error is not None:
                raise script.error
            if script.bytes_first is None and script.hangs:
                await asyncio.Event().wait()
            if handle not in self.objects:
                raise MissingFileError("not there", file=handle)
            data = self.objects[handle]
            told = script.pin or Pin('"1"', len(data))
            yield _ScriptedAnswer(script, asked, told, data[start : start + length])
        finally:
            asked.open = False

    async def head(self, handle: FileHandle) -> Pin:
        return Pin('"1"', len(self.objects[handle]))

    async def list_page(self, folder: str, token: str) -> Page:
        prefix = f"{folder}/"
        return Page({name.removeprefix(prefix): "" for name in self.objects if name.startswith(prefix)}, "")

    async def put(self, handle: FileHandle, source: IO[bytes], size: int, *, replace: bool) -> None:
        raise UsageError("storage cannot be written to")

    async def move(self, handle: FileHandle, to: FileHandle) -> None:
        raise UsageError("storage cannot be written to")


class _ScriptedAnswer(Answer):
    def __init__(self, script: Script, asked: Asked, pin: Pin, data: bytes) -> None:
        self.pin = pin
        self.start = asked.start
        self.end = asked.start + len(data)
        self._script = script
        self._asked = asked
        self._data = data

    async def read_into(self, view: memoryview) -> int:
        if self._script.proceed is not None:
            await self._script.proceed.wait()
        given, limit = self._asked.given, self._script.bytes_first
        if limit is not None and given >= limit:
            if self._script.error is not None:
                raise self._script.error
            if self._script.hangs:
                await asyncio.Event().wait()
        room = min(len(view), self._script.piece, len(self._data) - given)
        if limit is not None and given < limit:
            room = min(room, limit - given)
        view[:room] = self._data[given : given + room]
        self._asked.given += room
        return room
