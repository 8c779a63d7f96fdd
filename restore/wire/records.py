"""Framed records of `.chunk` files: a u32 big-endian length, then that many bytes.

Source: spec/backup-format.md section 2. No header, footer, count or checksum; an empty record is valid.
"""

from __future__ import annotations

from struct import Struct

from restore.errors import FormatError

MAX_RECORD_BYTES = 128 << 20
"""128 MiB, the default size of a whole chunk. The network bounds what one transaction may write and emit to
some 20 MiB, so no honest record comes near."""

LENGTH_BYTES = 4

_LENGTH = Struct(">I")


def frame(record: bytes) -> bytes:
    """`record` with its length before it.

    Raises:
        FormatError: the record is longer than a reader would accept.
    """
    if len(record) > MAX_RECORD_BYTES:
        raise _too_long(len(record), offset=0)
    return _LENGTH.pack(len(record)) + record


class RecordCutter:
    """Cuts a stream of bytes, fed in pieces of any size, into its records.

    Attributes:
        offset: bytes of the stream consumed so far, that is the offset of the next record's length.

    Bounds: one unfinished record, as far as it was fed, and one piece (twice that inside `feed`); nothing for
    a length that is only announced.
    """

    def __init__(self) -> None:
        self.offset = 0
        self._pieces: list[bytes] = []
        self._held = 0
        self._wanted = LENGTH_BYTES  # held bytes that let the next step be taken

    def feed(self, piece: bytes | bytearray | memoryview) -> list[bytes]:
        """The records that `piece` completes, in order; copies, so that the piece may change afterwards.

        Raises:
            FormatError: a length beyond MAX_RECORD_BYTES; `offset` tells where.
        """
        if self._held + len(piece) < self._wanted:
            self._pieces.append(bytes(piece))
            self._held += len(piece)
            return []
        data = memoryview(b"".join([*self._pieces, piece]) if self._held else piece)
        records = []
        start, size = 0, len(data)
        self._wanted = LENGTH_BYTES
        while size - start >= LENGTH_BYTES:
            (length,) = _LENGTH.unpack_from(data, start)
            if length > MAX_RECORD_BYTES:
                raise _too_long(length, offset=self.offset + start)
            body = start + LENGTH_BYTES
            if size - body < length:
                self._wanted = LENGTH_BYTES + length
                break
            start = body + length
            records.append(bytes(data[body:start]))
        self.offset += start
        self._held = size - start
        self._pieces = [bytes(data[start:])]
        return records

    def finish(self) -> None:
        """Checks that the stream ended at the end of a record.

        Raises:
            FormatError: it ended inside a length or inside a record.
        """
        if self._held:
            raise FormatError(
                "file ends inside a record",
                offset=self.offset,
                expected=f"{self._wanted} bytes",
                found=f"{self._held} bytes",
            )


def cut_records(data: bytes) -> list[bytes]:
    """All records of a whole file.

    Raises:
        FormatError: a length beyond MAX_RECORD_BYTES, or a file that ends inside a record.
    """
    cutter = RecordCutter()
    records = cutter.feed(data)
    cutter.finish()
    return records


def _too_long(length: int, *, offset: int) -> FormatError:
    return FormatError(
        "record is too long",
        offset=offset,
        expected=f"at most {MAX_RECORD_BYTES} bytes",
        found=f"{length} bytes",
    )
