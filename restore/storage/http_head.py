"""Heads of HTTP/1.1: how a GET is written, and what an answer says before its body.

Strict where strictness protects: an answer whose framing could be read in two ways is none.

Source: RFC 9112.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from multidict import CIMultiDict
from yarl import URL

_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")

_HEADERS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*(?:\r\n|\Z))*")

_DIGITS = re.compile(r"[0-9]{1,19}")


class BadHeadError(ValueError):
    """What came is no head of an answer."""


@dataclass(frozen=True, slots=True)
class Head:
    """What an answer says before its body.

    Attributes:
        status: of the first line.
        headers: by name, whatever its case.
        length: bytes of the body; None where only its end tells, or chunks do.
        persistent: whether the connection may be used again after the body.
    """

    status: int
    headers: Mapping[str, str]
    length: int | None
    persistent: bool


def get_request(url: URL, headers: Mapping[str, str]) -> bytes:
    """A GET, ready to be sent."""
    lines = [f"GET {url.raw_path_qs} HTTP/1.1", f"Host: {url.host_port_subcomponent}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def parse_head(data: bytes) -> Head:
    """The head in `data`, without the empty line at its end.

    Raises:
        BadHeadError: it is none, or its framing contradicts itself.
    """
    first, _, rest = data.decode("latin-1").partition("\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise BadHeadError(f"no first line of an answer: {first[:80]!r}")
    end = _HEADERS.match(rest).end()  # type: ignore[union-attr]  # it matches nothing, at the least
    if end != len(rest):
        raise BadHeadError(f"no header: {rest[end : end + 80]!r}")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in rest.split("\r\n") if rest else ():
        name, _, value = line.partition(":")
        headers.add(name, value.strip(" \t"))
    wish = headers.get("Connection", "").lower()
    persistent = wish != "close" if status[1] == "1" else wish == "keep-alive"
    return Head(int(status[2]), headers, _length(int(status[2]), headers), persistent)


def _length(status: int, headers: CIMultiDict[str]) -> int | None:
    if status < 200 or status in {204, 304}:
        return 0
    announced = set(headers.getall("Content-Length", ()))
    if "Transfer-Encoding" in headers:
        if announced:
            raise BadHeadError("both Content-Length and Transfer-Encoding")
        return None
    if not announced:
        return None
    length = announced.pop()
    if announced or _DIGITS.fullmatch(length) is None:
        raise BadHeadError(f"no length of a body: {length[:80]!r}")
    return int(length)
