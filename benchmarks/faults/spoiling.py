"""What faults make of an answer: pure functions, each of which leaves alone what it cannot spoil."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from benchmarks.faults.folder import Content, Entry
from benchmarks.faults.messages import Answer, Piece, size_of

_BOMB_MEMBER = 16 << 20
"""Bytes that one member of a bomb unpacks to; it is 16 KiB long."""

_INVERTED = bytes(255 - value for value in range(256))


def another_range(start: int, end: int, size: int) -> tuple[int, int]:
    """A range of the same length one byte off; of a whole object the object without its first byte."""
    if start > 0:
        return start - 1, end - 1
    if end < size:
        return start + 1, end + 1
    return (start + 1, end) if size > 1 else (start, end)


def shifted(piece: Piece) -> tuple[Piece, ...]:
    """The same bytes, the first one last."""
    second = min(piece.start + 1, piece.end)
    return piece._replace(start=second), piece._replace(end=second)


def flipped(piece: Piece, place: float) -> tuple[Piece, ...]:
    """The same bytes, one bit of one of them inverted."""
    if piece.start == piece.end:
        return (piece,)
    bit = int((piece.end - piece.start) * 8 * place)
    at = piece.start + bit // 8
    byte = bytes([piece._replace(start=at, end=at + 1).read()[0] ^ 1 << bit % 8])
    return piece._replace(end=at), Piece(byte, 0, 1), piece._replace(start=at + 1)


def first_part(body: Sequence[Piece], place: float) -> tuple[Piece, ...]:
    """The share `place` of a body, in whole bytes; never all of it, unless it is empty."""
    left = int(size_of(body) * place)
    part: list[Piece] = []
    for piece in body:
        taken = min(left, piece.end - piece.start)
        part.append(piece._replace(end=piece.start + taken))
        left -= taken
    return tuple(part)


def partial(answer: Answer, place: float) -> Answer:
    """An answer whose body ends early, and that says so: as a server does that crashed while it wrote it."""
    return replace(answer, body=first_part(answer.body, place))


def replaced(content: Content, *, invert: bool) -> Content:
    """What an object is after it was replaced: another tag; if `invert`, as many other bytes, too."""
    source = content.source
    if invert:
        source = Piece(source, 0, content.size).read().translate(_INVERTED)
    return replace(content, source=source, tag=f'{content.tag[:-1]}-replaced"')


def bombed(content: Content, size: int) -> Content:
    """Gzip that unpacks to `size` bytes of zero, in place of an object."""
    bomb = _bomb(size)
    return replace(content, source=bomb, size=len(bomb), tag=f'{content.tag[:-1]}-bomb"')


def without_newest(entries: Sequence[Entry], count: int) -> list[Entry]:
    """A listing as it was before its `count` newest files came."""
    files = [entry for entry in entries if not entry.is_folder]
    newest = sorted(files, key=lambda entry: (entry.path.stat().st_mtime_ns, entry.name))
    missing = {entry.name for entry in newest[max(0, len(newest) - count) :]}
    return [entry for entry in entries if entry.name not in missing]


def with_double(entries: Sequence[Entry], place: float) -> list[Entry]:
    """A page on which one entry stands twice."""
    at = int(len(entries) * place)
    return [*entries[: at + 1], *entries[at:]]


@lru_cache(maxsize=4)
def _bomb(size: int) -> bytes:
    """Many members: the length that the last one's trailer tells is that of one member only."""
    member = gzip.compress(bytes(_BOMB_MEMBER), compresslevel=zlib.Z_BEST_COMPRESSION, mtime=0)
    return member * -(-size // _BOMB_MEMBER)
