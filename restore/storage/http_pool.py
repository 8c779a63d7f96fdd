"""Connections that are used again."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from functools import cached_property
from socket import SOCK_STREAM
from types import TracebackType
from typing import Self

import aiohappyeyeballs

from restore.flow.threads import shielded
from restore.storage.http_connection import Connection, Endpoint

CONNECT_SECONDS = 10.0
"""A connection that takes longer is better tried anew."""

EYEBALLS_SECONDS = 0.25
"""Until the next address of a host is tried beside the first, where that has not answered (RFC 8305)."""

IDLE_SECONDS = 15.0
"""An unused connection is not used again after so long: servers and what lies between forget them soon."""


class Connections:
    """Lends connections, and keeps those given back that can bring another answer.

    Cancellation: leaving the block closes all of them, and waits until the system has them back.
    Bounds: as many as were lent at once.
    """

    def __init__(self) -> None:
        self._idle: dict[Endpoint, list[Connection]] = defaultdict(list)
        self._open: set[Connection] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._idle.clear()
        open_ = list(self._open)
        for connection in open_:
            connection.close()
        if open_:
            await shielded(asyncio.wait([connection.closed for connection in open_]))

    @cached_property
    def encryption(self) -> ssl.SSLContext:
        """Whom servers are trusted by: what the system trusts, or SSL_CERT_FILE says."""
        return ssl.create_default_context()

    def idle(self, endpoint: Endpoint) -> Connection | None:
        """A connection that was used before, if there is one."""
        kept = self._idle[endpoint]
        now = asyncio.get_running_loop().time()
        while kept:
            connection = kept.pop()  # the one used last: most probably the server has not forgotten it
            if connection.is_reusable and now - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.close()
        return None

    async def connect(self, endpoint: Endpoint) -> Connection:
        """A new connection.

        Raises:
            OSError: none could be made; `ssl.SSLError` where the server is not to be trusted.
            TimeoutError: it took longer than `CONNECT_SECONDS`.

        Cancellation: nothing is left of it.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            addresses = await loop.getaddrinfo(endpoint.host, endpoint.port, type=SOCK_STREAM)
            sock = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=EYEBALLS_SECONDS)
            connection = Connection(endpoint)
            try:
                await loop.create_connection(
                    lambda: connection,
                    sock=sock,
                    ssl=self.encryption if endpoint.encrypted else None,
                    server_hostname=endpoint.host if endpoint.encrypted else None,
                )
            except BaseException:
                sock.close()
                raise
        self._open.add(connection)
        connection.closed.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keeps a connection for the next answer, or closes it."""
        if connection.is_reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle[connection.endpoint].append(connection)
        else:
            connection.close()
