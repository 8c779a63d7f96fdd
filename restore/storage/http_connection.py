"""Connections that bring bodies straight to where they belong.

A client library copies a body from buffer to buffer before it hands it out, which costs more than receiving
it; and around a small object it does much that a GET for a range has no use for. Here is only what such a GET
needs: its head is sent, the answer's is read into a small buffer, and the rest of the body goes from the
kernel to its place. Anything else (proxies, redirects, bodies of unknown length) is aiohttp's business.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from yarl import URL

from restore.storage.http_head import BadHeadError, Head, parse_head

BUFFER_BYTES = 16 << 10
"""For an answer's head, and what of its body comes with it, which is copied: so no more than a head needs."""

AHEAD_BYTES = 256 << 10
"""So much of a body may come before it is asked for; then the sender is held back."""

TOLD_BYTES, TOLD_SECONDS = 4 << 20, 0.02
"""A reader that waits is told of so much at once, or after so long: being told costs more than receiving."""


class Endpoint(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    encrypted: bool

    @classmethod
    def of(cls, url: URL) -> Endpoint:
        """The endpoint of a URL."""
        return cls(url.host or "", url.port or 0, url.scheme == "https")


class Connection(asyncio.BufferedProtocol):
    """A connection: one GET and its answer at a time.

    Attributes:
        endpoint: where it leads.
        idle_since: when it was given back.
        closed: done when the system has it back.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: Any = None
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._buffer = bytearray(BUFFER_BYTES)
        self._start = self._end = 0  # of what is in the buffer and was not read yet
        self._place: memoryview | None = None  # where the rest of the body goes
        self._placed = self._told = 0  # bytes there, and those that `read_into` has told of
        self._told_at = 0.0
        self._left: int | None = 0  # bytes of the body that were not told of
        self._persistent = False
        self._is_paused = False

    @property
    def has_begun(self) -> bool:
        """Whether anything of an answer has come."""
        return self._end > 0

    @property
    def is_reusable(self) -> bool:
        """Whether it can bring another answer: the last one is through, and nothing has come behind it."""
        return (
            self._error is None
            and self._persistent
            and self._left == 0
            and self._start == self._end
            and not self._transport.is_closing()
        )

    async def get(self, request: bytes) -> Head:
        """Sends a request; the head of its answer.

        Raises:
            BadHeadError: what came is none.
            EOFError, OSError: the connection ended before it was here.

        Cancellation: close the connection.
        """
        self._left = None
        self._start = self._end = 0
        self._transport.write(request)
        while True:
            head = await self._head()
            if head.status >= 200:
                self._left = head.length
                self._persistent = head.persistent
                return head

    async def read_into(self, view: memoryview) -> int:
        """Puts the next bytes of the body into `view`: as many as have come, at least one; 0 at its end.

        Args:
            view: where all that is still to come of a body of known length belongs: what comes later is put
                behind, also before the next call.

        Raises:
            EOFError, OSError: the connection ended before the body did.

        Cancellation: close the connection.
        """
        if not self._left:
            return 0
        if self._place is None and self._start < self._end:  # what came with the head
            size = min(self._end - self._start, self._left, len(view))
            view[:size] = memoryview(self._buffer)[self._start : self._start + size]
            self._start += size
        else:
            if self._place is None:
                self._place = view[: self._left]
                self._placed = self._told = 0
            while self._placed == self._told:
                await self._more()
            size = self._placed - self._told
            self._told = self._placed
            self._told_at = self._loop.time()
            if self._told == len(self._place):
                self._place = None
                await self._look_behind()
        self._left -= size
        return size

    def close(self) -> None:
        """Closes it: from now on nothing is put anywhere."""
        self._place = None
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the transport."""
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Where the next bytes go; called by the transport."""
        if self._place is not None and self._placed < len(self._place):
            return self._place[self._placed :]
        if self._start == self._end:
            self._start = self._end = 0
        return memoryview(self._buffer)[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come; called by the transport."""
        if self._place is not None and self._placed < len(self._place):
            self._placed += nbytes
            if self._waiter is None or self._waiter.done():
                if self._placed - self._told > AHEAD_BYTES:
                    self._hold_back()
            elif self._is_worth_telling(len(self._place)):
                self._wake()
        else:
            self._end += nbytes
            if self._end == BUFFER_BYTES:
                self._hold_back()
            self._wake()

    def eof_received(self) -> None:
        """The server has closed its side; called by the transport, which closes ours."""
        self._error = self._error or EOFError("closed by the server")
        self._wake()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone; called by the transport."""
        self._error = self._error or exc or EOFError("closed")
        self._wake()
        if not self.closed.done():
            self.closed.set_result(None)

    async def _head(self) -> Head:
        while (end := self._buffer.find(b"\r\n\r\n", self._start, self._end)) < 0:
            if self._end == BUFFER_BYTES:
                raise BadHeadError(f"no head within {BUFFER_BYTES} bytes")
            await self._more()
        head = parse_head(bytes(self._buffer[self._start : end]))
        self._start = end + 4
        return head

    async def _more(self) -> None:
        """Waits until more bytes have come."""
        if self._error is not None:
            raise self._error
        self._listen()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _look_behind(self) -> None:
        """Lets come what was sent behind a body: it must not pass for the next answer."""
        self._listen()
        for _ in range(2):  # the loop looks at the socket once more, and then tells what is there
            await asyncio.sleep(0)

    def _is_worth_telling(self, wanted: int) -> bool:
        if self._placed == wanted or self._placed - self._told >= TOLD_BYTES:
            return True
        return self._loop.time() - self._told_at >= TOLD_SECONDS

    def _hold_back(self) -> None:
        """Receives no more for now, so that the sender has to wait."""
        self._transport.pause_reading()
        self._is_paused = True

    def _listen(self) -> None:
        """Goes on receiving, where the sender was held back."""
        if self._is_paused and self._error is None:
            self._is_paused = False
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
