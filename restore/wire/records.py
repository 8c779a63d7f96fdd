"""Framed records of `.chunk` files: a u32 big-endian length, then that many bytes.

Source: spec/backup-format.md section 2. No header, footer, count or checksum; an empty record is valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from restore.errors import FormatError
from restore.kernel.choice import uses_native

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
            raise _torn(offset=self.offset, expected=self._wanted, found=self._held)


@dataclass(frozen=True, slots=True)
class FramedRecords:
    """The records of a whole file, still in their frames, which are sound: one buffer, and their number."""

    data: bytes | bytearray | memoryview
    count: int

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.data)

    def cut(self) -> list[bytes]:
        """Each record by itself."""
        return cut_records(self.data)


class RecordScanner:
    """Looks at the frames of a file while it grows in one buffer.

    Attributes:
        offset: where whole records end, that is the offset of the next record's length.
        count: how many there are.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.count = 0

    def scan(self, data: bytes | bytearray | memoryview) -> None:
        """Goes on in `data`, the file so far.

        Raises:
            FormatError: a length beyond MAX_RECORD_BYTES.
        """
        if uses_native():
            from restore.kernel import _native

            self.offset, found = _native.scan_records(data, self.offset)
            self.count += found
        size = len(data)
        while size - self.offset >= LENGTH_BYTES:
            (length,) = _LENGTH.unpack_from(data, self.offset)
            if length > MAX_RECORD_BYTES:
                raise _too_long(length, offset=self.offset)
            if size - self.offset - LENGTH_BYTES < length:
                break
            self.offset += LENGTH_BYTES + length
            self.count += 1

    def finish(self, data: bytes | bytearray | memoryview) -> FramedRecords:
        """The file, which is whole now.

        Raises:
            FormatError: it ended inside a length or inside a record.
        """
        if held := len(data) - self.offset:
            wanted = LENGTH_BYTES
            if held >= LENGTH_BYTES:
                wanted += _LENGTH.unpack_from(data, self.offset)[0]
            raise _torn(offset=self.offset, expected=wanted, found=held)
        return FramedRecords(data, self.count)


def cut_records(data: bytes | bytearray | memoryview) -> list[bytes]:
    """All records of a whole file.

    Raises:
        FormatError: a length beyond MAX_RECORD_BYTES, or a file that ends inside a record.
    """
    cutter = RecordCutter()
    records = cutter.feed(data)
    cutter.finish()
    return records


def _torn(*, offset: int, expected: int, found: int) -> FormatError:
    return FormatError(
        "file ends inside a record", offset=offset, expected=f"{expected} bytes", found=f"{found} bytes"
    )


def _too_long(length: int, *, offset: int) -> FormatError:
    return FormatError(
        "record is too long",
        offset=offset,
        expected=f"at most {MAX_RECORD_BYTES} bytes",
        found=f"{length} bytes",
    )
