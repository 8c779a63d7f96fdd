"""One connection: reads requests off a socket, and sends answers as whole or as broken as a fault wants it.

Sockets are used without a transport: there is no buffer between an answer and the kernel, so that what was
sent before a reset is known, and files go out by sendfile(2) on both event loops.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable, Sequence
from tempfile import SpooledTemporaryFile
from typing import IO

from benchmarks.faults.messages import BadRequestError, Piece, Request, parse_head, size_of

_MAX_HEAD_BYTES = 64 << 10

_READ_BYTES = 256 << 10
"""At once, of a body."""

_MAX_BODY_IN_MEMORY = 16 << 20

_MAX_JOINED_BYTES = 64 << 10
"""A body up to here goes out in one packet train with its head: one system call fewer."""

_DRIPS_PER_SECOND = 10

_ARRIVAL_SECONDS = 1.0
"""How long a reset waits, at most, for a client to take what was sent before it."""

_POLL_SECONDS = 0.001


Sent = Callable[[int], None]


class ClosedError(Exception):
    """The client went away in the middle of a request."""


class Connection:
    """The server's end of a connection.

    Args:
        sock: not blocking; whoever made it closes it.

    Cancellation: whatever is under way is left; the connection is then only good for closing.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()  # what came and was not looked at yet

    async def next_request(self) -> Request | None:
        """The next request with its whole body; None when the client is done.

        Raises:
            BadRequestError: what came is none.
            ClosedError: the client went away in the middle of it.
        """
        if not self._buffer and not await self._fill():
            return None
        request = parse_head(await self._until(b"\r\n\r\n"))
        try:
            return await self._with_body(request)
        except ValueError as error:
            raise BadRequestError("length of the body is no number") from error

    async def send(self, head: bytes, body: Sequence[Piece], sent: Sent) -> None:
        """Sends an answer, as fast as the client takes it; `sent` is told of the body's bytes as they go."""
        size = size_of(body)
        if size <= _MAX_JOINED_BYTES:
            await self._loop.sock_sendall(self._sock, b"".join([head, *(piece.read() for piece in body)]))
            sent(size)
            return
        await self._loop.sock_sendall(self._sock, head)
        for piece in body:
            if isinstance(piece.source, int):
                await self._send_file(piece.source, piece.start, piece.end, sent)
            else:
                await self._loop.sock_sendall(self._sock, memoryview(piece.source)[piece.start : piece.end])
                sent(piece.end - piece.start)

    async def drip(self, head: bytes, body: Sequence[Piece], sent: Sent, *, rate: int) -> None:
        """As `send`, the body at `rate` bytes a second."""
        step = max(1, rate // _DRIPS_PER_SECOND)
        await self._loop.sock_sendall(self._sock, head)
        for piece in body:
            for start in range(piece.start, piece.end, step):
                drop = piece._replace(start=start, end=min(start + step, piece.end)).read()
                await asyncio.sleep(len(drop) / rate)
                await self._loop.sock_sendall(self._sock, drop)
                sent(len(drop))

    async def idle(self) -> None:
        """Says nothing any more; ends when the client closes the connection."""
        while await self._loop.sock_recv(self._sock, _READ_BYTES):
            pass

    async def reset(self) -> None:
        """Resets the connection (RST), once the client's kernel has what was sent."""
        deadline = self._loop.time() + _ARRIVAL_SECONDS
        while self._unsent() and self._loop.time() < deadline:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(_POLL_SECONDS)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    async def _send_file(self, descriptor: int, start: int, end: int, sent: Sent) -> None:
        while start < end:
            try:
                count = os.sendfile(self._sock.fileno(), descriptor, start, end - start)
            except BlockingIOError:
                await self._writable()
                continue
            if not count:
                raise EOFError("file became shorter while it was served")
            start += count
            sent(count)

    async def _writable(self) -> None:
        """Waits until the kernel takes more bytes, or knows that the client is gone."""
        ready = asyncio.Event()
        self._loop.add_writer(self._sock.fileno(), ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_writer(self._sock.fileno())

    def _unsent(self) -> int:
        """Bytes that the client's kernel has not acknowledged."""
        answer: bytes = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(answer, "little")

    async def _with_body(self, request: Request) -> Request:
        """The request with its body read, if it has one."""
        coded = "chunked" in request.headers.get("transfer-encoding", "").lower()
        # Amazon's tools sign a body by parts: chunks of their own form, inside a body of known length.
        coded_by_aws = "aws-chunked" in request.headers.get("content-encoding", "")
        size = int(request.headers.get("content-length", "0"))
        if coded and coded_by_aws:
            raise BadRequestError("body is in chunks twice")
        if not coded and not size:
            return request
        if request.headers.get("expect", "").lower() == "100-continue":
            await self._loop.sock_sendall(self._sock, b"HTTP/1.1 100 Continue\r\n\r\n")
        body = SpooledTemporaryFile(_MAX_BODY_IN_MEMORY)  # noqa: SIM115 - the request's owner closes it
        try:
            await (self._read_chunks(body) if coded or coded_by_aws else self._read(size, body))
        except BaseException:
            body.close()
            raise
        body.seek(0)
        return request.with_body(body)

    async def _read_chunks(self, sink: IO[bytes]) -> None:
        while size := int((await self._until(b"\r\n")).partition(b";")[0], 16):
            await self._read(size, sink)
            await self._until(b"\r\n")
        while await self._until(b"\r\n"):
            pass  # trailers: checksums and signatures, which are taken as they are

    async def _read(self, size: int, sink: IO[bytes]) -> None:
        while size:
            if not self._buffer and not await self._fill():
                raise ClosedError
            sink.write(self._buffer[:size])
            taken = min(size, len(self._buffer))
            del self._buffer[:taken]
            size -= taken

    async def _until(self, mark: bytes) -> bytes:
        """What comes before `mark`, which is taken away, too."""
        while (end := self._buffer.find(mark)) < 0:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                raise BadRequestError("head is too long")
            if not await self._fill():
                raise ClosedError
        found = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return found

    async def _fill(self) -> bool:
        data = await self._loop.sock_recv(self._sock, _READ_BYTES)
        self._buffer += data
        return bool(data)
