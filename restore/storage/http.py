"""Requests over HTTP(S), one at a time: what was asked for, or a typed error.

A response is looked at before its body is: status, range, length and tag must be those that were asked for.
The class of an error follows from the status (and, for buckets, from the error's code), never from its words:

| status                      | class                                                          |
| --------------------------- | -------------------------------------------------------------- |
| 404, 410                    | MissingFileError                                               |
| 401, 403                    | AccessDeniedError                                              |
| 408, 5xx other than below   | TransientStorageError                                          |
| 429, 503                    | ThrottledError, with what Retry-After says                     |
| 412, 416, 206 of another    | CorruptAnswerError: the object changed, or is not what it was  |
| any other                   | StorageUnavailableError: another try will not help             |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

import restore
from restore.errors import (
    AccessDeniedError,
    CorruptAnswerError,
    MissingFileError,
    RestoreError,
    StorageUnavailableError,
    ThrottledError,
    TransientStorageError,
)
from restore.report.events import Live, Report
from restore.storage.base import FileHandle
from restore.storage.direct import DirectBody, can_be_direct
from restore.storage.origin import Answer, Pin

CONNECT_SECONDS = 10.0
"""A connection that takes longer is better tried anew."""

IDLE_SECONDS = 30.0
"""A small request whose answer stops for so long is tried anew; parts of files are watched by their race."""

MAX_ERROR_BYTES = 64 << 10
"""Of an error's body; the code that matters stands in its first lines."""

MAX_REDIRECTS = 5

_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19})")

TagOf = Callable[[Mapping[str, str]], str | None]
"""Tells from a response's headers which content an object has."""

ErrorOf = Callable[[int, Mapping[str, str], bytes, FileHandle], RestoreError]
"""Makes the error of a status, its headers and the beginning of its body."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the answer to a request for a range has to be; as the arguments of `Origin.get`."""

    handle: FileHandle
    start: int
    length: int
    pin: Pin | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What a kind of server means.

    Attributes:
        tag_of: tells the content of an object.
        error_of: tells what a status means.
        follow: whether redirects are followed.
    """

    tag_of: TagOf
    error_of: ErrorOf
    follow: bool


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer to a small request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def etag_of(headers: Mapping[str, str]) -> str | None:
    """The ETag as it was sent."""
    return headers.get("ETag")


class HttpClient:
    """Makes requests, on connections that are used again unless told otherwise.

    Cancellation: of a request: its connection is closed.
    Bounds: as many connections as requests at once, and as many idle ones as there were.
    """

    def __init__(self, *, report: Report) -> None:
        self._report = report
        self._open = 0
        self._proxies: dict[str | None, str | None] = {}  # by host

    async def __aenter__(self) -> Self:
        self._pooled = _session(aiohttp.TCPConnector(limit=0))
        self._fresh = _session(aiohttp.TCPConnector(limit=0, force_close=True))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._pooled.close()
        await self._fresh.close()

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

    async def send(
        self, url: URL, headers: Mapping[str, str], *, fresh: bool, follow: bool
    ) -> aiohttp.ClientResponse:
        """Sends a GET; its answer has begun."""
        session = self._fresh if fresh else self._pooled
        return await session.get(
            url,
            headers=headers,
            allow_redirects=follow,
            max_redirects=MAX_REDIRECTS,
            proxy=self._proxy_for(url),
        )

    async def request(
        self,
        method: str,
        url: URL,
        *,
        handle: FileHandle,
        rules: Rules,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        max_bytes: int = MAX_ERROR_BYTES,
    ) -> Response:
        """A small request and its whole answer.

        Raises:
            RestoreError: a status that is not 2xx, as the table says.
            StorageUnavailableError: a body longer than `max_bytes`.
            TransientStorageError: the connection failed, or nothing came for `IDLE_SECONDS`.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=IDLE_SECONDS)
        self.count(1)
        try:
            with failures(handle):
                async with self._pooled.request(
                    method,
                    url,
                    headers=headers,
                    data=data,
                    allow_redirects=rules.follow,
                    max_redirects=MAX_REDIRECTS,
                    timeout=timeout,
                    proxy=self._proxy_for(url),
                ) as response:
                    _refuse_folder(response, handle)
                    whole = 200 <= response.status < 300
                    body = await _read_at_most(response, max_bytes if whole else MAX_ERROR_BYTES)
            if not whole:
                raise rules.error_of(response.status, response.headers, body, handle)
            if len(body) > max_bytes:
                raise StorageUnavailableError(
                    "answer is too long", file=handle, expected=f"{max_bytes} bytes at most"
                )
            return Response(response.status, response.headers, body)
        finally:
            self.count(-1)

    def count(self, change: int) -> None:
        """Notes that so many connections more are in use."""
        self._open += change
        self._report(Live("connections", self._open))

    def _proxy_for(self, url: URL) -> str | None:
        """The proxy that the environment names for `url`; looked up once for each host, since it is slow."""
        host = url.host
        if host not in self._proxies:
            proxies = {} if host is None or proxy_bypass(host) else getproxies()
            self._proxies[host] = proxies.get(url.scheme)
        return self._proxies[host]


class _RangeRequest(AbstractAsyncContextManager[Answer]):
    """The block of one request for a range; a class, since a generator would cost small objects more."""

    __slots__ = ("_answer", "_arguments", "_client")

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
        self._answer: _HttpAnswer | None = None

    async def __aenter__(self) -> Answer:
        url, headers, wanted, rules, fresh = self._arguments
        self._client.count(1)
        response = None
        try:
            response = await self._client.send(url, headers, fresh=fresh, follow=rules.follow)
            self._answer = await _answer(response, wanted, rules)
        except BaseException as error:
            self._client.count(-1)
            if response is not None:
                response.close()
            if isinstance(error, (aiohttp.ClientError, OSError)):
                raise typed(error, wanted.handle) from error
            raise
        return self._answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.count(-1)
        if self._answer is not None:
            self._answer.close()


def error_of_status(
    status: int, headers: Mapping[str, str], _body: bytes, handle: FileHandle
) -> RestoreError:
    """The error of a plain server's status, as the table says."""
    found = f"status {status}"
    if status in {404, 410}:
        return MissingFileError("file is not there", file=handle, found=found)
    if status in {401, 403}:
        return AccessDeniedError("storage refuses to give the file", file=handle, found=found)
    if status in {429, 503}:
        return ThrottledError(
            "storage asks to slow down", retry_after=retry_after(headers), file=handle, found=found
        )
    if status == 408 or status >= 500:
        return TransientStorageError("storage failed", file=handle, found=found)
    if status == 412:
        return CorruptAnswerError("object changed while it was read", file=handle, found=found)
    if status == 416:
        return CorruptAnswerError("object has no such range", file=handle, found=found)
    return StorageUnavailableError("storage does not do what was asked", file=handle, found=found)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, given as a number or as a date; None where it does not say."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


@contextmanager
def failures(handle: FileHandle) -> Iterator[None]:
    """Turns what aiohttp and the system raise into typed errors."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        raise typed(error, handle) from error


def typed(error: aiohttp.ClientError | OSError, handle: FileHandle) -> RestoreError:
    """The typed error of what aiohttp or the system raised."""
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return StorageUnavailableError(
                "server's certificate or encryption is not to be trusted", file=handle, found=error
            )
        case aiohttp.InvalidURL() | aiohttp.TooManyRedirects() | aiohttp.NonHttpUrlRedirectClientError():
            return StorageUnavailableError("server leads nowhere", file=handle, found=type(error).__name__)
        case TimeoutError():
            return TransientStorageError("server does not answer", file=handle)
    return TransientStorageError("connection failed", file=handle, found=str(error) or type(error).__name__)


class _HttpAnswer(Answer):
    __slots__ = ("_direct", "_handle", "_left", "_response", "end", "pin", "start")

    def __init__(
        self, response: aiohttp.ClientResponse, handle: FileHandle, pin: Pin, start: int, end: int
    ) -> None:
        self.pin = pin
        self.start = start
        self.end = end
        self._response = response
        self._handle = handle
        self._left = end - start
        self._direct: DirectBody | None = None

    async def read_into(self, view: memoryview) -> int:
        size = await self._direct.read() if self._direct is not None else await self._read_ordinarily(view)
        self._left -= size
        return size

    async def _read_ordinarily(self, view: memoryview) -> int:
        content = self._response.content
        try:
            data = await content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise typed(error, self._handle) from error
        size = len(data)
        if size > self._left or size > len(view):
            raise CorruptAnswerError("answer is longer than it says", file=self._handle)
        if not size and self._left:
            raise TransientStorageError("connection closed early", file=self._handle)
        view[:size] = data
        left = self._left - size
        if left == len(view) - size and can_be_direct(self._response, left):
            self._direct = DirectBody(self._response, view[size:], file=self._handle)
        return size

    def close(self) -> None:
        """Closes the connection, unless the answer was read to its end."""
        if self._direct is not None:
            self._direct.detach()
        self._response.close()


async def _answer(response: aiohttp.ClientResponse, wanted: Wanted, rules: Rules) -> _HttpAnswer:
    """The answer in `response`, once its head has been checked against what was asked for."""
    handle, start, length, pin = wanted.handle, wanted.start, wanted.length, wanted.pin
    status, headers = response.status, response.headers
    _refuse_folder(response, handle)
    # A 200 that tells a range is one, though of the wrong status: rclone's S3 server answers so.
    if status == 206 or (status == 200 and "Content-Range" in headers):
        first, end, size = _range_of(headers, handle)
    elif status == 200 and start == 0:
        first, end, size = 0, *_whole(headers, length, handle)
    elif status == 416 and start == 0 and headers.get("Content-Range", "").strip() == "bytes */0":
        first, end, size = 0, 0, 0
    elif status == 200:
        raise _unasked("whole file in place of a range", handle, "status 206", "status 200")
    else:
        body = await _read_at_most(response, MAX_ERROR_BYTES)
        raise rules.error_of(status, headers, body, wanted.handle)
    told = Pin(rules.tag_of(headers), size)
    if pin is not None and told != pin:
        raise _unasked("object changed while it was read", handle, _words(pin), _words(told))
    if first != start or end != min(start + length, size):
        range_asked = f"bytes {start} to {min(start + length, size)}"
        raise _unasked("answer is of another range", handle, range_asked, f"bytes {first} to {end}")
    if headers.get("Content-Encoding", "identity").lower() not in {"identity", "gzip"}:
        raise _unasked("answer has an unknown encoding", handle, "gzip", headers["Content-Encoding"])
    announced = headers.get("Content-Length")
    if announced is not None and status != 416 and announced != str(end - start):
        raise _unasked("answer's length is not its range's", handle, end - start, announced)
    return _HttpAnswer(response, handle, told, start, end)


def _refuse_folder(response: aiohttp.ClientResponse, handle: FileHandle) -> None:
    """Lets no index pass for a file: servers lead to it from the folder's name without a slash."""
    if not response.history or response.history[0].url.raw_path.endswith("/"):
        return
    if response.url.raw_path.endswith("/"):
        raise MissingFileError("file is not there", file=handle, found="a folder")


def _range_of(headers: Mapping[str, str], handle: FileHandle) -> tuple[int, int, int]:
    """First byte, end and object's size of a 206."""
    text = headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match is None or match[1] is None:
        raise _unasked("answer does not say its range", handle, "Content-Range", repr(text[:80]))
    return int(match[1]), int(match[2]) + 1, int(match[3])


def _whole(headers: Mapping[str, str], length: int, handle: FileHandle) -> tuple[int, int]:
    """End and size of a 200 that carries all there is, which is no more than was asked for."""
    text = headers.get("Content-Length", "")
    if not text.isdigit() or int(text) > length:
        raise CorruptAnswerError(
            "whole file in place of a range",
            file=handle,
            expected=f"{length} bytes at most",
            found=f"{text} bytes" if text else "no Content-Length",
            hint="this server does not serve ranges; use another, such as nginx",
        )
    return int(text), int(text)


def _unasked(message: str, handle: FileHandle, expected: object, found: object) -> CorruptAnswerError:
    return CorruptAnswerError(message, file=handle, expected=expected, found=found)


def _words(pin: Pin) -> str:
    return f"{pin.size} bytes tagged {pin.tag}"


async def _read_at_most(response: aiohttp.ClientResponse, size: int) -> bytes:
    """The body, or its beginning: one byte more than `size` at most, which shows that it is longer."""
    pieces: list[bytes] = []
    while size >= 0 and (piece := await response.content.read(size + 1)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        headers={"User-Agent": f"aptos-restore/{restore.__version__}", "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        raise_for_status=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=MAX_ERROR_BYTES,
    )
