"""A web server whose answers a test gives, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

End = Literal["keep", "close", "reset", "wait"]


@dataclass
class Reply:
    """What is sent for one request.

    Attributes:
        pieces: sent one after the other.
        end: what follows: the connection is kept, closed, reset, or nothing is sent until the client leaves.
        proceed: waited for before each piece but the first.
    """

    pieces: list[bytes]
    end: End = "keep"
    proceed: asyncio.Event | None = None


def reply(
    status: int,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    end: End = "keep",
    length: int | None = -1,
) -> Reply:
    """An ordinary answer.

    Args:
        status: its status.
        body: its body.
        headers: besides its length.
        end: as in `Reply`.
        length: announced in place of the true one; None for none.
    """
    lines = [f"HTTP/1.1 {status} Any"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    return Reply(["\r\n".join([*lines, "", ""]).encode() + body], end)


@dataclass
class Request:
    """A request, as the server saw it; `connection` counts from 1."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


Answers = Callable[[Request], Reply]


@dataclass
class ScriptedServer:
    """Answers the n-th request with the n-th reply, or each as a function says.

    Attributes:
        replies: those still to be given, or the function.
        requests: those that came.
        open: connections that are open.
    """

    replies: list[Reply] | Answers
    requests: list[Request] = field(default_factory=list)
    open: int = 0
    _connections: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        self._connections += 1
        connection = self._connections
        try:
            while (request := await _read_request(reader, connection)) is not None:
                self.requests.append(request)
                answer = self.replies(request) if callable(self.replies) else self.replies.pop(0)
                for number, piece in enumerate(answer.pieces):
                    if number and answer.proceed is not None:
                        await answer.proceed.wait()
                    writer.write(piece)
                    await writer.drain()
                if answer.end == "wait":
                    await reader.read()
                if answer.end == "reset":
                    writer.transport.abort()
                if answer.end != "keep":
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client has left, or the test is over
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in lines):
        given = headers.get(name.lower())  # twice the same would be seen
        headers[name.lower()] = value.strip() if given is None else f"{given}, {value.strip()}"
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, connection)
