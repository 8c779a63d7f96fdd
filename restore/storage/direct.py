"""A body received straight to where it belongs, past aiohttp's buffers.

aiohttp makes the connection, encrypts it and reads the head. For a body of known length its part would then
be to copy bytes from one buffer to the next, which costs more than receiving them. So the transport is given
another protocol until the body's last byte is here, and then the old one back: aiohttp is told that the body
has ended, and keeps the connection for the next request.

Used of aiohttp is what it documents (`ClientResponse.connection`, `Connection.transport`), and two things
that it does not: `Connection.protocol` and `StreamReader.feed_eof`. Where one is missing, the body goes the
ordinary way.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from restore.errors import TransientStorageError

SMALLEST_BODY = 64 << 10
"""Bytes still to come; fewer are here before the change of protocols has paid."""


class DirectBody(asyncio.BufferedProtocol):
    """The rest of one body, in the place of aiohttp's protocol.

    Args:
        response: its head has been read.
        view: where the rest of the body goes; exactly as long.
        file: for errors.
    """

    def __init__(self, response: aiohttp.ClientResponse, view: memoryview, *, file: str) -> None:
        connection: Any = response.connection
        self._transport: Any = connection.transport
        self._handler: Any = connection.protocol
        self._content: Any = response.content
        self._file = file
        self._view = view
        self._received = self._told = 0
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._transport.set_protocol(self)

    async def read(self) -> int:
        """Waits until more bytes have come; how many.

        Raises:
            TransientStorageError: the connection ended before the body did.
        """
        if self._received == self._told and self._error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._received == self._told:
            raise TransientStorageError("connection closed early", file=self._file) from self._error
        count = self._received - self._told
        self._told = self._received
        return count

    def detach(self) -> None:
        """Gives the transport back to aiohttp: from now on nothing is written to the view."""
        if self._transport is not None:
            self._transport.set_protocol(self._handler)
            self._transport = None
            self._view = memoryview(b"")

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Where the next bytes go; called by the transport."""
        return self._view[self._received :]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come; called by the transport."""
        self._received += nbytes
        if self._received == len(self._view):
            self.detach()  # before anything behind the body can be read
            self._content.feed_eof()
        self._wake()

    def eof_received(self) -> None:
        """The server has closed its side; called by the transport, which closes ours."""
        self._error = self._error or EOFError("closed by the server")
        self._wake()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone; called by the transport."""
        self._error = self._error or exc or EOFError("closed")
        self._handler.connection_lost(exc)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def can_be_direct(response: aiohttp.ClientResponse, left: int) -> bool:
    """Whether the rest of a body, of which nothing is buffered any more, can be received directly."""
    connection: Any = response.connection
    if left < SMALLEST_BODY or connection is None or response.headers.get("Transfer-Encoding"):
        return False
    transport = getattr(connection, "transport", None)
    content = response.content
    return (
        transport is not None
        and not transport.is_closing()
        and transport.get_protocol() is getattr(connection, "protocol", None)
        and hasattr(content, "feed_eof")
        and content.exception() is None
        and not content.is_eof()
    )
