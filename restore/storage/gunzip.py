"""Unpacks gzip, as a whole or as it comes: members may follow each other, and nothing else may.

Source: RFC 1952; spec/backup-format.md 1.2.

A file that is here as a whole is unpacked by libdeflate, half as fast again as a stream is by isal, and to
where it belongs. The interface of its Python package does not tell where a member ended, and takes no place
for the content; so the library inside it is called. Where that is not found, all is unpacked as a stream.
"""

from __future__ import annotations

import ctypes

from deflate import _deflate
from isal import igzip_lib

from restore.errors import CorruptAnswerError, FormatError
from restore.storage.base import Piece

GZIP_MAGIC = b"\x1f\x8b"
"""How every member begins."""

MOST_EXPANSION = 1032
"""Deflate packs no better: a trailer that announces more than so many times the file is not honest."""

FEED_BYTES = 64 << 10
"""Given to the stream at once: what it does not take yet it copies."""

SMALL_MEMBER = 1 << 10
MOST_SMALL_MEMBERS = 10_000
"""Members with less content than that many bytes: each costs much and brings little, so that a file of
nothing else would keep a thread busy for minutes."""


def announced_bytes(data: Piece) -> int:
    """What a file's trailer says that its content has: modulo 4 GiB, and true only of honest files."""
    return int.from_bytes(data[-4:], "little")


def unpack_whole(packed: memoryview, place: memoryview) -> bool:
    """Unpacks a file of one member into `place`, which has just the size of its content.

    Returns:
        Whether it is such a file, and sound; if not, anything may be in `place`.
    """
    if _library is None or not packed or not place:
        return False
    decompressor = _library.libdeflate_alloc_decompressor()
    if not decompressor:
        raise MemoryError
    taken, made = ctypes.c_size_t(), ctypes.c_size_t()
    try:
        failed = _library.libdeflate_gzip_decompress_ex(
            decompressor,
            (ctypes.c_char * len(packed)).from_buffer(packed),
            len(packed),
            (ctypes.c_char * len(place)).from_buffer(place),
            len(place),
            ctypes.byref(taken),
            ctypes.byref(made),
        )
    finally:
        _library.libdeflate_free_decompressor(decompressor)
    return not failed and (taken.value, made.value) == (len(packed), len(place))


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
        self._member_bytes = 0  # unpacked of it
        self._small_members = 0
        self._has_ended = False  # a member

    def feed(self, data: Piece) -> None:
        """Takes the next bytes; they are looked at until `take` has given all that they hold."""
        self._before += len(self._fed)
        self._fed, self._at = memoryview(data), 0

    def take(self, most: int) -> bytes:
        """The next unpacked bytes, at most `most`; none when more has to be fed.

        Raises:
            CorruptAnswerError: what was fed is damaged, or something else follows a member.
            FormatError: it has more small members than any file needs.
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
            self._member_bytes = 0
        given = self._fed[self._at : self._at + FEED_BYTES] if self._member.needs_input else b""
        self._at += len(given)
        try:
            piece = self._member.decompress(given, room)
        except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub declares an instance
            raise self._damaged("gzip data is damaged", error) from error
        self._member_bytes += len(piece)
        if self._member.eof:
            self._at -= len(self._member.unused_data)  # the next member's
            self._member = None
            self._has_ended = True
            self._small_members += self._member_bytes < SMALL_MEMBER
            if self._small_members > MOST_SMALL_MEMBERS:
                raise FormatError(
                    "gzip data is of too many pieces",
                    file=self._file,
                    offset=self._before + self._at,
                    expected=f"{MOST_SMALL_MEMBERS} members below {SMALL_MEMBER} bytes at most",
                )
        return piece

    def _damaged(self, message: str, found: object = None) -> CorruptAnswerError:
        return CorruptAnswerError(message, file=self._file, offset=self._before + self._at, found=found)


def _load_library() -> ctypes.CDLL | None:
    """libdeflate, as it lies inside its Python package; calls of it let go of the interpreter's lock."""
    library = ctypes.CDLL(_deflate.__file__)
    pointer, size, size_place = ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t)
    try:
        library.libdeflate_alloc_decompressor.restype = pointer
        library.libdeflate_free_decompressor.argtypes = [pointer]
        library.libdeflate_free_decompressor.restype = None
        library.libdeflate_gzip_decompress_ex.argtypes = [
            pointer, pointer, size, pointer, size, size_place, size_place,
        ]  # fmt: skip
    except AttributeError:
        return None
    return library


_library = _load_library()
