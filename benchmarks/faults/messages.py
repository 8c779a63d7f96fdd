"""Requests and answers of HTTP/1.1: what they are, not how they travel."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import IO, NamedTuple
from urllib.parse import parse_qsl, unquote

from benchmarks.faults.plan import Asked

S3_ROOT = "/s3/"

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class BadRequestError(Exception):
    """A request that is not HTTP as it is spoken here."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, read whole.

    Attributes:
        method: as it was sent.
        path: without the query, decoded; with a slash at its begin.
        query: its parameters, decoded.
        headers: by name in lower case.
        persistent: whether the connection is used again.
        body: of a PUT, from its begin; None for none. Whoever reads requests closes it.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    persistent: bool
    body: IO[bytes] | None = None

    @property
    def is_s3(self) -> bool:
        """Whether it speaks to the S3 side."""
        return self.path.startswith(S3_ROOT)

    @property
    def asked(self) -> Asked:
        """What it is for."""
        if self.method not in {"GET", "HEAD"}:
            return Asked.WRITE
        if self.method == "HEAD":
            return Asked.HEAD
        if "list-type" in self.query if self.is_s3 else self.path.endswith("/"):
            return Asked.LIST
        return Asked.RANGE if "range" in self.headers else Asked.OBJECT

    @property
    def about(self) -> str:
        """The path of what it is for; of an S3 listing bucket and prefix."""
        if self.is_s3 and self.asked is Asked.LIST:
            return f"{self.path.rstrip('/')}/{self.query.get('prefix', '')}"
        return self.path

    def with_body(self, body: IO[bytes]) -> Request:
        """The same with its body, once that was read."""
        return replace(self, body=body)


class Piece(NamedTuple):
    """Bytes `start` to `end` of a file, given as a descriptor, or of a buffer."""

    source: int | bytes
    start: int
    end: int

    def read(self) -> bytes:
        """The bytes.

        Raises:
            EOFError: the file is shorter than it was.
        """
        if isinstance(self.source, bytes):
            return self.source[self.start : self.end]
        read = bytearray()
        at = self.start
        while at < self.end:
            part = os.pread(self.source, self.end - at, at)
            if not part:
                raise EOFError("file became shorter while it was served")
            read += part
            at += len(part)
        return bytes(read)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response.

    Attributes:
        status: of the first line.
        headers: without Content-Length and Connection.
        body: its pieces, in order.
        length: Content-Length, where the body is not sent (HEAD); None for that of the body.
    """

    status: int
    headers: dict[str, str]
    body: tuple[Piece, ...] = ()
    length: int | None = None

    def without_body(self) -> Answer:
        """The answer to HEAD, where this is the one to GET."""
        return replace(self, body=(), length=size_of(self.body))

    def head(self, *, persistent: bool) -> bytes:
        """The first line and the headers, as they are sent."""
        length = size_of(self.body) if self.length is None else self.length
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            "Server: faults",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        if self.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {length}")
        lines.append(f"Connection: {'keep-alive' if persistent else 'close'}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def text_answer(status: int, text: str, content_type: str) -> Answer:
    """An answer of text."""
    data = text.encode("utf-8", "surrogateescape")
    return Answer(status, {"Content-Type": content_type}, (Piece(data, 0, len(data)),))


def size_of(body: Sequence[Piece]) -> int:
    """Bytes of a body."""
    return sum(piece.end - piece.start for piece in body)


def parse_head(head: bytes) -> Request:
    """The request whose first line and headers are `head`, without the empty line.

    Raises:
        BadRequestError: it is none.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = first.split(" ")
        pairs = (line.split(":", 1) for line in lines)
        headers = {name.lower(): value.strip() for name, value in pairs}
    except ValueError as error:
        raise BadRequestError(f"no head of a request: {first[:80]}") from error
    if version not in {"HTTP/1.1", "HTTP/1.0"} or not target.startswith("/"):
        raise BadRequestError(f"no first line of a request: {first[:80]}")
    path, _, query = target.partition("?")
    wish = headers.get("connection", "").lower()
    persistent = wish != "close" if version == "HTTP/1.1" else wish == "keep-alive"
    parameters = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
    return Request(method, unquote(path, errors="surrogateescape"), parameters, headers, persistent)


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """First byte and end of the range `text` of an object of `size` bytes.

    None for what is no single range of bytes, or ends before it begins, which means the whole object. A range
    that begins at `size` or behind it cannot be served: first byte and end are then equal.
    """
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    start = min(int(first), size)
    return start, min(int(last) + 1, size) if last else size


def matches(tag: str, condition: str) -> bool:
    """Whether an If-Match (or If-None-Match) header names `tag`, or any tag at all."""
    return condition == "*" or tag in (part.strip() for part in condition.split(","))


def http_date(seconds: float) -> str:
    """A time as HTTP writes it."""
    return formatdate(seconds, usegmt=True)
