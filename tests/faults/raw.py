"""A client that sees what is on the wire: bytes as they come, and how a connection ends."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from enum import Enum, StrEnum, auto
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from benchmarks.faults import FaultServer

S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class End(Enum):
    """How a connection ended."""

    CLOSED = auto()
    RESET = auto()


class Head(NamedTuple):
    """Status and headers of an answer; names in lower case."""

    status: int
    headers: dict[str, str]

    @property
    def length(self) -> int:
        return int(self.headers["content-length"])


class RawClient:
    """One connection to `server`, closed when its block ends."""

    def __init__(self, server: FaultServer) -> None:
        self._address = urlsplit(server.url)
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    async def __aenter__(self) -> Self:
        self.sock = socket.socket()
        self.sock.settimeout(0)
        await self._loop.sock_connect(self.sock, (str(self._address.hostname), self._address.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.sock.close()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.sock, data)

    async def ask(self, path: str, *lines: str, method: str = "GET", body: bytes = b"") -> None:
        """Sends a request; `lines` are headers."""
        length = [f"Content-Length: {len(body)}"] if body else []
        text = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: here", *lines, *length, "", ""])
        await self.send(text.encode() + body)

    async def head(self) -> Head:
        while b"\r\n\r\n" not in self._buffer:
            data = await self._loop.sock_recv(self.sock, 1 << 16)
            assert data, "closed before the headers ended"
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = text.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return Head(int(first.split(" ")[1]), {name.lower(): value for name, value in pairs})

    async def body(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = await self._loop.sock_recv(self.sock, 1 << 16)
            assert data, "closed before the body ended"
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    async def answer(self) -> tuple[Head, bytes]:
        head = await self.head()
        return head, await self.body(head.length)

    async def continued(self) -> None:
        """Waits until the server wants the body."""
        text = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert await self.body(len(text)) == text

    async def get(self, path: str, *lines: str) -> tuple[Head, bytes]:
        await self.ask(path, *lines)
        return await self.answer()

    async def to_end(self) -> tuple[bytes, End]:
        """Everything until the connection ends, and how it does."""
        found, self._buffer = self._buffer, b""
        try:
            while data := await self._loop.sock_recv(self.sock, 1 << 16):
                found += data
        except ConnectionResetError:
            return found, End.RESET
        return found, End.CLOSED

    def is_silent(self) -> bool:
        """Whether nothing is there to be read, and the connection has not ended."""
        if self._buffer:
            return False
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False


async def until(condition: Callable[[], bool]) -> None:
    """Lets everything run until `condition` holds; the test's time-out ends a wait in vain."""
    while not condition():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0)


def fill(root: Path, objects: dict[str, bytes]) -> None:
    """Writes objects below `root`."""
    for name, data in objects.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class Side(StrEnum):
    """A side of the server, and where it has the objects of a bucket."""

    PLAIN = "plain"
    S3 = "s3"

    def path(self, name: str) -> str:
        return f"/bucket/{name}" if self is Side.PLAIN else f"/s3/bucket/{name}"

    @property
    def listing(self) -> str:
        return "/bucket/" if self is Side.PLAIN else "/s3/bucket?list-type=2"

    def names(self, listing: bytes) -> list[str]:
        """The names of a whole listing, in its order.

        Raises:
            ValueError: it is not whole.
        """
        if self is Side.PLAIN:
            return [entry["name"] for entry in json.loads(listing)]
        try:
            found = ET.fromstring(listing)
        except ET.ParseError as error:
            raise ValueError(str(error)) from error
        return [str(key.text) for key in found.iter(f"{{{S3_NAMESPACE}}}Key")]
