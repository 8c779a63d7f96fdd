"""Requests over HTTP(S), one at a time: what was asked for, or a typed error.

Ranges of objects, which are nearly all that a restore receives, come over connections of our own
(`http_connection.py`) from servers that answer them plainly. Everything else goes through aiohttp: small
requests, writing, proxies, redirects, and answers whose length is not told.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

import restore
from restore.errors import StorageUnavailableError
from restore.report.events import Live, Report
from restore.storage.base import FileHandle
from restore.storage.http_answers import (
    MAX_ERROR_BYTES,
    Body,
    HttpAnswer,
    Rules,
    Wanted,
    check_answer,
    read_at_most,
    refuse_index,
)
from restore.storage.http_connection import Connection, Endpoint
from restore.storage.http_failures import FAILURES, failures, typed
from restore.storage.http_head import Head, get_request
from restore.storage.http_pool import CONNECT_SECONDS, Connections
from restore.storage.origin import Answer

IDLE_SECONDS = 30.0
"""A small request is tried anew if it takes so long for what is read or sent of it at once (64 KiB) and is
not over; parts of files are watched by their race."""

MAX_REDIRECTS = 5

_REDIRECTS = {301, 302, 303, 307, 308}

_HEADERS = {
    "User-Agent": f"aptos-restore/{restore.__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer to a small request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Makes requests, on connections that are used again unless told otherwise.

    Cancellation: of a request: its connection is closed.
    Bounds: as many connections as requests at once, and as many idle ones as there were.
    """

    def __init__(self, *, report: Report) -> None:
        self._report = report
        self._open = self._most_open = 0
        self._proxies: dict[str | None, str | None] = {}  # by host
        self._indirect: set[Endpoint] = set()  # servers that do not answer plainly
        self._block = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._connections = await self._block.enter_async_context(Connections())
        self._pooled = await self._block.enter_async_context(_session(aiohttp.TCPConnector(limit=0)))
        self._fresh = await self._block.enter_async_context(
            _session(aiohttp.TCPConnector(limit=0, force_close=True))
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._block.aclose()

    def get_range(
        self,
        url: URL,
        headers: Mapping[str, str],
        *,
        wanted: Wanted,
        fresh: bool,
        rules: Rules,
    ) -> AbstractAsyncContextManager[Answer]:
        """One range of an object; see `Origin.get`.

        Args:
            url: of the object.
            headers: with the range, and with what pins it.
            wanted: what the answer has to be.
            fresh: on a new connection.
            rules: what the server's answers mean.
        """
        return _RangeRequest(self, url, headers, wanted, rules, fresh=fresh)

    async def begin(self, url: URL, headers: Mapping[str, str], *, fresh: bool, follow: bool) -> Body:
        """Sends a GET; its answer has begun.

        Raises:
            Exception: one of `FAILURES`.
        """
        endpoint = Endpoint.of(url)
        proxy = self._proxy_for(url)
        if proxy is None and endpoint not in self._indirect:
            request = get_request(url, {**_HEADERS, **headers})
            body = await self._begin_directly(endpoint, request, fresh=fresh)
            if body.is_plain and not (follow and body.is_redirect):
                return body
            body.close()
            self._indirect.add(endpoint)
        session = self._fresh if fresh else self._pooled
        response = await session.get(
            url,
            headers=headers,
            allow_redirects=follow,
            max_redirects=MAX_REDIRECTS,
            proxy=proxy,
            ssl=self._encryption_of(url),
        )
        return _OrdinaryBody(response)

    async def request(
        self,
        method: str,
        url: URL,
        *,
        handle: FileHandle,
        rules: Rules,
        headers: Mapping[str, str] | None = None,
        body: Callable[[Callable[[], None]], aiohttp.Payload] | None = None,
        max_bytes: int = MAX_ERROR_BYTES,
    ) -> Response:
        """A small request and its whole answer.

        Args:
            method: of the request.
            url: of the request.
            handle: the object, for errors.
            rules: what the server's answers mean.
            headers: of the request.
            body: makes the body of the request, of what is to be called as it is sent.
            max_bytes: of an answer that is none of an error.

        Raises:
            RestoreError: a status that is not 2xx, as the table of `http_answers.py` says.
            StorageUnavailableError: a body longer than `max_bytes`.
            TransientStorageError: the connection failed, or did not move for `IDLE_SECONDS`.
        """
        loop = asyncio.get_running_loop()
        self.count(1)
        try:
            with failures(handle):
                async with asyncio.timeout(IDLE_SECONDS) as watch:

                    def moved() -> None:
                        watch.reschedule(loop.time() + IDLE_SECONDS)

                    async with self._pooled.request(
                        method,
                        url,
                        headers=headers,
                        data=None if body is None else body(moved),
                        allow_redirects=rules.follow,
                        max_redirects=MAX_REDIRECTS,
                        proxy=self._proxy_for(url),
                        ssl=self._encryption_of(url),
                    ) as response:
                        answer = _OrdinaryBody(response)
                        refuse_index(answer, handle)
                        is_good = 200 <= response.status < 300
                        most = max_bytes if is_good else MAX_ERROR_BYTES
                        answered = await read_at_most(answer, most, moved=moved)
            if not is_good:
                raise rules.error_of(response.status, response.headers, answered, handle)
            if len(answered) > max_bytes:
                raise StorageUnavailableError(
                    "answer is too long", file=handle, expected=f"{max_bytes} bytes at most"
                )
            return Response(response.status, response.headers, answered)
        finally:
            self.count(-1)

    def count(self, change: int) -> None:
        """Notes that so many connections more are in use, and tells if they were never as many."""
        self._open += change
        if self._open > self._most_open:
            self._most_open = self._open
            self._report(Live("connections", self._open))

    async def _begin_directly(self, endpoint: Endpoint, request: bytes, *, fresh: bool) -> _DirectBody:
        connection = None if fresh else self._connections.idle(endpoint)
        while True:
            is_new = connection is None
            connection = connection or await self._connections.connect(endpoint)
            try:
                return _DirectBody(self._connections, connection, await connection.get(request))
            except BaseException as error:
                connection.close()
                if is_new or connection.has_begun or not isinstance(error, (EOFError, OSError)):
                    raise
                connection = None  # the server forgot it while nobody used it, which is no failure

    def _encryption_of(self, url: URL) -> ssl.SSLContext | bool:
        return self._connections.encryption if url.scheme == "https" else True

    def _proxy_for(self, url: URL) -> str | None:
        """The proxy that the environment names for `url`; looked up once for each host, since it is slow."""
        host = url.host
        if host not in self._proxies:
            proxies = {} if host is None or proxy_bypass(host) else getproxies()
            proxy = proxies.get(url.scheme)
            # Without a scheme, as curl takes it too.
            self._proxies[host] = proxy if proxy is None or "://" in proxy else f"http://{proxy}"
        return self._proxies[host]


class _RangeRequest(AbstractAsyncContextManager[Answer]):
    """The block of one request for a range; a class, since a generator would cost small objects more."""

    __slots__ = ("_arguments", "_body", "_client")

    def __init__(
        self,
        client: HttpClient,
        url: URL,
        headers: Mapping[str, str],
        wanted: Wanted,
        rules: Rules,
        *,
        fresh: bool,
    ) -> None:
        self._client = client
        self._arguments = url, headers, wanted, rules, fresh
        self._body: Body | None = None

    async def __aenter__(self) -> HttpAnswer:
        url, headers, wanted, rules, fresh = self._arguments
        self._client.count(1)
        try:
            self._body = await self._client.begin(url, headers, fresh=fresh, follow=rules.follow)
            return await check_answer(self._body, wanted, rules)
        except BaseException as error:
            self._close()
            if isinstance(error, FAILURES):
                raise typed(error, wanted.handle) from error
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._client.count(-1)
        if self._body is not None:
            self._body.close()


class _DirectBody:
    """An answer on a connection of our own."""

    __slots__ = ("_connection", "_connections", "_head", "headers", "status")

    is_index = False  # redirects are not followed here

    def __init__(self, connections: Connections, connection: Connection, head: Head) -> None:
        self._connections = connections
        self._connection = connection
        self._head = head
        self.status = head.status
        self.headers = head.headers

    @property
    def is_plain(self) -> bool:
        """Whether the length of the body is told."""
        return self._head.length is not None

    @property
    def is_redirect(self) -> bool:
        """Whether the answer is elsewhere."""
        return self.status in _REDIRECTS

    async def read_into(self, view: memoryview) -> int:
        return await self._connection.read_into(view)

    async def has_more(self) -> bool:
        return False  # its length is what it was asked to be

    def close(self) -> None:
        self._connections.give_back(self._connection)


class _OrdinaryBody:
    """An answer that aiohttp reads."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def is_index(self) -> bool:
        history = self._response.history
        if not history or history[0].url.raw_path.endswith("/"):
            return False
        return self._response.url.raw_path.endswith("/")

    async def read_into(self, view: memoryview) -> int:
        data = await self._response.content.read(len(view))
        view[: len(data)] = data
        return len(data)

    async def has_more(self) -> bool:
        return bool(await self._response.content.read(1))

    def close(self) -> None:
        self._response.close()


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        headers=_HEADERS,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        raise_for_status=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=MAX_ERROR_BYTES,
    )
