"""Unpacks gzip, as a whole or as it comes: members may follow each other, and nothing else may.

Source: RFC 1952; spec/backup-format.md 1.2.

As a whole (libdeflate) is half as fast again as a stream (isal). But libdeflate wants to know the size
before, for which there is only the trailer's word; and it stops at the end of the first member without a word
about what follows. So its result counts only where the last eight bytes of the file, checksum and size, are
those of the result, and are found nowhere else in the file: then the member that they end is all there is.
"""

from __future__ import annotations

import ctypes

import deflate
from isal import igzip_lib
from isal.isal_zlib import crc32

from restore.errors import CorruptAnswerError
from restore.storage.base import Piece

GZIP_MAGIC = b"\x1f\x8b"
"""How every member begins."""

MOST_EXPANSION = 1032
"""Deflate packs no better: a trailer that announces more than so many times the file is not honest."""

FEED_BYTES = 64 << 10
"""Given to the stream at once: what it does not take yet it copies."""

_TRAILER_BYTES = 8

_SMALLEST_MEMBER = 18
"""Header and trailer of ten and eight bytes."""

_memmem = ctypes.CDLL(None).memmem
_memmem.restype = ctypes.c_void_p
_memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]


def announced_bytes(data: Piece) -> int:
    """What a file's trailer says that its content has: modulo 4 GiB, and true only of honest files."""
    return int.from_bytes(data[-4:], "little")


def unpack_whole(data: memoryview) -> bytearray | None:
    """Unpacks a file of one member; None where it is anything else, or damaged.

    Bounds: `announced_bytes`, and no more, whatever it unpacks to.
    """
    size = announced_bytes(data)
    if len(data) < _SMALLEST_MEMBER or size == 0 or not _ends_once(data):
        return None  # libdeflate takes a size of 0 for one that it is not told
    try:
        unpacked = deflate.gzip_decompress(data, size)
    except deflate.DeflateError:
        return None
    trailer = crc32(unpacked).to_bytes(4, "little") + len(unpacked).to_bytes(4, "little")
    return unpacked if trailer == data[-_TRAILER_BYTES:] else None


class Gunzip:
    """A gzip file that comes in pieces.

    Args:
        file: for errors.

    Bounds: one piece that was fed, and `FEED_BYTES` of it once more.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._fed = memoryview(b"")
        self._at = 0  # how far the stream has got in it
        self._before = 0  # bytes fed before it
        self._member: igzip_lib.IgzipDecompressor | None = None  # None between members
        self._has_ended = False  # a member

    def feed(self, data: Piece) -> None:
        """Takes the next bytes; they are looked at until `take` has given all that they hold."""
        self._before += len(self._fed)
        self._fed, self._at = memoryview(data), 0

    def take(self, most: int) -> bytes:
        """The next unpacked bytes, at most `most`; none when more has to be fed.

        Raises:
            CorruptAnswerError: what was fed is damaged, or something else follows a member.
        """
        pieces: list[bytes] = []
        room = most
        while room and (self._at < len(self._fed) or self._holds_more()):
            piece = self._step(room)
            room -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def finish(self) -> None:
        """Checks that there was a member, and that the file ended where one did.

        Raises:
            CorruptAnswerError: it did not.
        """
        if self._member is not None or not self._has_ended:
            raise self._damaged("gzip data ends early")

    def _holds_more(self) -> bool:
        return self._member is not None and not self._member.needs_input

    def _step(self, room: int) -> bytes:
        if self._member is None:
            self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        given = self._fed[self._at : self._at + FEED_BYTES] if self._member.needs_input else b""
        self._at += len(given)
        try:
            piece = self._member.decompress(given, room)
        except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub declares an instance
            raise self._damaged("gzip data is damaged", error) from error
        if self._member.eof:
            self._at -= len(self._member.unused_data)  # the next member's
            self._member = None
            self._has_ended = True
        return piece

    def _damaged(self, message: str, found: object = None) -> CorruptAnswerError:
        return CorruptAnswerError(message, file=self._file, offset=self._before + self._at, found=found)


def _ends_once(data: memoryview) -> bool:
    """Whether the last eight bytes stand there for the first time."""
    # `find` of bytes searches at a third of this speed, and holds the interpreter's lock meanwhile.
    start = ctypes.addressof((ctypes.c_char * len(data)).from_buffer(data))
    found = _memmem(start, len(data), bytes(data[-_TRAILER_BYTES:]), _TRAILER_BYTES)
    return bool(found == start + len(data) - _TRAILER_BYTES)
