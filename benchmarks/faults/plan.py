"""Which request fails, and how: a pure function of a seed and of the request's number."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

_SCALE = float(1 << 64)


class Kind(StrEnum):
    """What goes wrong; each value is the name of its rate in `FaultPlan`."""

    STALL = "stall"
    STALL_BEFORE_HEADERS = "stall_before_headers"
    RESET = "reset"
    TRUNCATE = "truncate"
    DRIP = "drip"
    WRONG_RANGE = "wrong_range"
    SHIFTED = "shifted"
    IGNORE_RANGE = "ignore_range"
    FLIP = "flip"
    UNAVAILABLE = "unavailable"
    STALE_LIST = "stale_list"
    PARTIAL_LIST = "partial_list"
    DUPLICATE = "duplicate"
    CHANGED_ETAG = "changed_etag"
    SLOW_HEADERS = "slow_headers"
    GZIP_BOMB = "gzip_bomb"


class Asked(StrEnum):
    """What a request is for: it decides which faults it can have."""

    RANGE = "range"
    OBJECT = "object"
    HEAD = "head"
    LIST = "list"
    WRITE = "write"


_ANY = (Kind.STALL_BEFORE_HEADERS, Kind.UNAVAILABLE, Kind.SLOW_HEADERS)
_BODY = (*_ANY, Kind.STALL, Kind.RESET, Kind.TRUNCATE, Kind.DRIP)
_OBJECT = (*_BODY, Kind.FLIP, Kind.CHANGED_ETAG, Kind.GZIP_BOMB)

APPLICABLE: Mapping[Asked, tuple[Kind, ...]] = MappingProxyType(
    {
        Asked.RANGE: (*_OBJECT, Kind.WRONG_RANGE, Kind.SHIFTED, Kind.IGNORE_RANGE),
        Asked.OBJECT: _OBJECT,
        Asked.HEAD: (*_ANY, Kind.CHANGED_ETAG),
        Asked.LIST: (*_BODY, Kind.STALE_LIST, Kind.PARTIAL_LIST, Kind.DUPLICATE),
        Asked.WRITE: (*_ANY, Kind.RESET),
    }
)
"""The faults of each sort of request. A write that is reset has been done: only its answer is lost."""


class Fault(NamedTuple):
    """How one request is answered.

    Attributes:
        kind: what goes wrong; None where nothing does.
        place: where in the body, as a share of it: at least 0, below 1.
        delay: seconds before the answer, whatever the kind.
    """

    kind: Kind | None = None
    place: float = 0.0
    delay: float = 0.0


NO_FAULT = Fault()


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """What goes wrong how often.

    A rate is the share, 0 to 1, of the requests that can have the fault (`APPLICABLE`); a request has one
    fault at most, so the rates of any sort of request add up to 1 at most. Requests are counted from 0 in the
    order they come in; those that no fault can meet are not counted (`concerns`).

    Attributes:
        seed: of every choice.
        stall: headers and a part of the body, then nothing for ever.
        stall_before_headers: nothing, for ever.
        reset: a part of the body, then a reset (RST).
        truncate: a part of the body, then an orderly close (FIN), before Content-Length is reached.
        drip: the body at `drip_rate` bytes a second.
        wrong_range: 206 with another range than the one asked for; its headers tell so.
        shifted: 206 with the bytes of the range out of place; its headers do not tell.
        ignore_range: 200 with the whole object for a range.
        flip: one bit of the body is another.
        unavailable: 503.
        stale_list: a listing without its `stale_entries` newest objects.
        partial_list: a listing whose text ends early, with a Content-Length that fits.
        duplicate: a page of a listing with one entry twice.
        changed_etag: the object is replaced, unless it is its first request: from now on another ETag.
        slow_headers: `slow_headers_seconds` before the answer.
        gzip_bomb: gzip that unpacks to `bomb_bytes`, as if the object were that.
        drip_rate: bytes a second.
        retry_after: seconds in the Retry-After of a 503; None for no such header.
        burst_every: seconds between the begins of two bursts of 503 for everybody; 0 for none.
        burst_seconds: how long a burst is; each is at the end of its period.
        stale_entries: objects that a stale listing misses.
        changed_content: a replaced object has other bytes, too: each bit is inverted.
        slow_headers_seconds: how late slow headers are.
        bomb_bytes: what a bomb unpacks to, in bytes; rounded up to whole 16 MiB.
        latency: seconds before every answer.
        jitter: at most so many seconds more.
        at: share of the body after which it stalls, ends or flips; None for a random one.
        only: regular expression, searched for in a request's path: others have no fault.
        first: only so many requests have a fault; None for no such limit.
    """

    seed: int = 0
    stall: float = 0.0
    stall_before_headers: float = 0.0
    reset: float = 0.0
    truncate: float = 0.0
    drip: float = 0.0
    wrong_range: float = 0.0
    shifted: float = 0.0
    ignore_range: float = 0.0
    flip: float = 0.0
    unavailable: float = 0.0
    stale_list: float = 0.0
    partial_list: float = 0.0
    duplicate: float = 0.0
    changed_etag: float = 0.0
    slow_headers: float = 0.0
    gzip_bomb: float = 0.0
    drip_rate: int = 1000
    retry_after: int | None = None
    burst_every: float = 0.0
    burst_seconds: float = 0.0
    stale_entries: int = 1
    changed_content: bool = False
    slow_headers_seconds: float = 1.0
    bomb_bytes: int = 1 << 30
    latency: float = 0.0
    jitter: float = 0.0
    at: float | None = None
    only: str | None = None
    first: int | None = None

    def __post_init__(self) -> None:
        for kind in Kind:
            if not 0 <= self.rate(kind) <= 1:
                raise ValueError(f"{kind} is not between 0 and 1: {self.rate(kind)}")
        for asked, kinds in APPLICABLE.items():
            if sum(map(self.rate, kinds)) > 1 + 1e-9:
                raise ValueError(f"the rates of a {asked} request add up to more than 1")
        if self.at is not None and not 0 <= self.at < 1:
            raise ValueError(f"at is not at least 0 and below 1: {self.at}")
        if self.drip_rate < 1:
            raise ValueError(f"drip_rate is below 1: {self.drip_rate}")
        for name in ("burst_every", "burst_seconds", "slow_headers_seconds", "latency", "jitter"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is below 0: {getattr(self, name)}")
        if self.burst_seconds > self.burst_every:
            raise ValueError("burst_seconds is longer than burst_every")
        try:
            re.compile(self.only or "")
        except re.error as error:
            raise ValueError(f"only is no regular expression: {self.only}") from error

    def rate(self, kind: Kind) -> float:
        """The share of requests that have this fault, of those that can."""
        rate: float = getattr(self, kind.value)
        return rate

    def concerns(self, path: str, asked: Asked) -> bool:
        """Whether a request can have a fault or a delay: such requests are counted."""
        if self.only is not None and re.search(self.only, path) is None:
            return False
        everybody = self.latency or self.jitter or self.burst_seconds
        return bool(everybody) or any(self.rate(kind) for kind in APPLICABLE[asked])

    def decide(self, number: int, asked: Asked, *, elapsed: float = 0.0) -> Fault:
        """The fault of a request.

        Args:
            number: of the request, among those that the plan concerns; from 0.
            asked: what it is for.
            elapsed: seconds since the server began; of meaning for bursts only.
        """
        if self.first is not None and number >= self.first:
            return NO_FAULT
        draw, place, lateness = self._draws(number)
        if self.at is not None:
            place = self.at
        delay = self.latency + self.jitter * lateness
        if self.burst_seconds and elapsed % self.burst_every >= self.burst_every - self.burst_seconds:
            return Fault(Kind.UNAVAILABLE, place, delay)
        for kind in APPLICABLE[asked]:
            draw -= self.rate(kind)
            if draw < 0:
                return Fault(kind, place, delay)
        return Fault(None, place, delay)

    def _draws(self, number: int) -> tuple[float, float, float]:
        """Three independent numbers, each at least 0 and below 1."""
        digest = hashlib.blake2b(f"{self.seed} {number}".encode(), digest_size=24).digest()
        parts = (digest[:8], digest[8:16], digest[16:])
        # 53 bits: more would round up to 1.0 now and then.
        one, two, three = ((int.from_bytes(part) >> 11 << 11) / _SCALE for part in parts)
        return one, two, three
