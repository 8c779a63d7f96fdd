"""What an answer to a request for a range has to be, and what it means where it is something else.

An answer is looked at before its body is: status, range, length and tag must be those that were asked for.
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from restore.errors import (
    AccessDeniedError,
    CorruptAnswerError,
    MissingFileError,
    RestoreError,
    StorageUnavailableError,
    ThrottledError,
    TransientStorageError,
)
from restore.storage.base import FileHandle
from restore.storage.http_failures import FAILURES, typed
from restore.storage.origin import Answer, Pin

MAX_ERROR_BYTES = 64 << 10
"""Of an error's body; the code that matters stands in its first lines."""

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


class Body(Protocol):
    """An answer whose head is here; raises `FAILURES`."""

    @property
    def status(self) -> int:
        """Of the answer."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By name, whatever its case."""

    @property
    def is_index(self) -> bool:
        """Whether redirects led from a file's name to that of a folder."""

    async def read_into(self, view: memoryview) -> int:
        """Puts the next bytes into `view`; see `Answer`."""

    async def has_more(self) -> bool:
        """Whether another byte comes."""

    def close(self) -> None:
        """Closes the connection, unless the body was read to its end."""


_DENIED_HINT = (
    "a web server has to give files without a password, and to list their folders (nginx: autoindex on;)"
)

_REFUSED_HINT = (
    "asking again cannot help: check the URL and, of a bucket, its endpoint, region and credentials"
)


def etag_of(headers: Mapping[str, str]) -> str | None:
    """The ETag as it was sent."""
    return headers.get("ETag")


def pin_of_head(headers: Mapping[str, str], handle: FileHandle) -> Pin:
    """The content that the answer to a HEAD tells of.

    Raises:
        TransientStorageError: it tells no length.
    """
    size = headers.get("Content-Length", "")
    if not size.isdigit():
        raise TransientStorageError("server does not tell the length", file=handle)
    return Pin(etag_of(headers), int(size))


def error_of_status(
    status: int, headers: Mapping[str, str], _body: bytes, handle: FileHandle
) -> RestoreError:
    """The error of a plain server's status, as the table says."""
    found = f"status {status}"
    if status in {404, 410}:
        return MissingFileError("file is not there", file=handle, found=found)
    if status in {401, 403}:
        return AccessDeniedError(
            "storage refuses to give the file", file=handle, found=found, hint=_DENIED_HINT
        )
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
    return StorageUnavailableError(
        "storage does not do what was asked", file=handle, found=found, hint=_REFUSED_HINT
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, given as a number or as a date; None where it does not say."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


async def check_answer(body: Body, wanted: Wanted, rules: Rules) -> HttpAnswer:
    """The answer in `body`, once its head has been checked against what was asked for.

    Raises:
        RestoreError: it is something else.
    """
    handle, start, length, pin = wanted.handle, wanted.start, wanted.length, wanted.pin
    status, headers = body.status, body.headers
    refuse_index(body, handle)
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
        raise rules.error_of(status, headers, await read_at_most(body, MAX_ERROR_BYTES), handle)
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
    return HttpAnswer(body, handle, told, start, end)


class HttpAnswer(Answer):
    """An answer as it was asked for; made by `check_answer`."""

    __slots__ = ("_body", "_handle", "_left", "end", "pin", "start")

    def __init__(self, body: Body, handle: FileHandle, pin: Pin, start: int, end: int) -> None:
        self.pin = pin
        self.start = start
        self.end = end
        self._body = body
        self._handle = handle
        self._left = end - start

    async def read_into(self, view: memoryview) -> int:
        """Puts the next bytes into `view`; see `Answer`."""
        if not self._left:
            return 0
        try:
            size = await self._body.read_into(view[: self._left])
            if not size:
                raise EOFError("body ends early")
            self._left -= size
            if not self._left and await self._body.has_more():
                raise CorruptAnswerError("answer is longer than it says", file=self._handle)
        except FAILURES as error:
            raise typed(error, self._handle) from error
        return size


def refuse_index(body: Body, handle: FileHandle) -> None:
    """Lets no index pass for a file: servers lead to it from the folder's name without a slash.

    Raises:
        MissingFileError: it is one.
    """
    if body.is_index:
        raise MissingFileError("file is not there", file=handle, found="a folder")


async def read_at_most(body: Body, size: int, *, moved: Callable[[], object] = lambda: None) -> bytes:
    """The body, or its beginning: one byte more than `size` at most, which shows that it is longer.

    Args:
        body: the answer.
        size: bytes of it.
        moved: called with each `MAX_ERROR_BYTES` that have come.
    """
    data = bytearray()
    filled = wanted = 0
    while filled == wanted and len(data) <= size:
        # Not one buffer for all: a listing may have 32 MiB, and has a few KiB.
        filled, wanted = 0, min(MAX_ERROR_BYTES, size + 1 - len(data))
        buffer = memoryview(bytearray(wanted))
        while filled < wanted and (count := await body.read_into(buffer[filled:])):
            filled += count
        data += buffer[:filled]
        moved()
    return bytes(data)


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
