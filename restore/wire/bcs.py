"""Binary canonical serialization (BCS): the primitive encodings, strict.

Source: spec/ledger-hashing.md section 2.1. Integers are little-endian and of fixed width; lengths and variant
indices are ULEB128 of a u32 in their shortest form.
"""

from __future__ import annotations

from collections.abc import Callable

from restore.errors import FormatError

MAX_ULEB = 2**32 - 1
"""Lengths and variant indices are u32."""

MAX_ULEB_BYTES = 5
"""32 bits in groups of seven."""

MAX_COUNT = 2**31 - 1
"""The limit that BCS puts on the length of any sequence."""

HASH_BYTES = 32

Skip = Callable[[bytes, int, int], int]
"""(data, offset, end) -> offset after one value; raises FormatError unless the value is well formed."""


def encode_uleb(value: int) -> bytes:
    """ULEB128 of `value`, a u32: 1 to 5 bytes."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_bytes(data: bytes) -> bytes:
    """`data` with its length before it, as BCS writes `bytes` and `str`."""
    return encode_uleb(len(data)) + data


def read_uleb(data: bytes, offset: int) -> tuple[int, int]:
    """The ULEB128 u32 at `offset`, and the offset after it.

    Raises:
        FormatError: the data ends, the value exceeds 32 bits, or the form is not the shortest.
    """
    try:
        byte = data[offset]
        if byte < 0x80:
            return byte, offset + 1
        value, shift, position = byte & 0x7F, 7, offset + 1
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if position - offset == MAX_ULEB_BYTES:
                raise FormatError("ULEB128 integer is longer than five bytes", offset=offset)
    except IndexError:
        raise FormatError("ULEB128 integer runs past the end", offset=offset) from None
    if byte == 0:
        raise FormatError("ULEB128 integer is not in its shortest form", offset=offset)
    if value > MAX_ULEB:
        raise FormatError("ULEB128 integer exceeds 32 bits", offset=offset, found=value)
    return value, position


def read_count(data: bytes, offset: int) -> tuple[int, int]:
    """The sequence length at `offset`, and the offset after it.

    Raises:
        FormatError: as `read_uleb`, or the length is beyond what BCS allows.
    """
    value, position = read_uleb(data, offset)
    if value > MAX_COUNT:
        raise FormatError("sequence is too long", offset=offset, expected=f"at most {MAX_COUNT}", found=value)
    return value, position


class Reader:
    """Reads values one after the other out of `data[offset:end]`.

    Every method raises FormatError, with its offset, where the value is malformed or reaches past `end`.
    """

    __slots__ = ("_data", "end", "offset")

    def __init__(self, data: bytes, offset: int = 0, end: int | None = None) -> None:
        self._data = data
        self.offset = offset
        self.end = len(data) if end is None else end

    def fixed(self, size: int) -> bytes:
        """The next `size` raw bytes."""
        start, stop = self.offset, self.offset + size
        if stop > self.end:
            raise FormatError(
                "value runs past the end",
                offset=start,
                expected=f"{size} bytes",
                found=f"{self.end - start} bytes",
            )
        self.offset = stop
        return self._data[start:stop]

    def u8(self) -> int:
        """An integer of one byte."""
        return self.fixed(1)[0]

    def u16(self) -> int:
        """An integer of two bytes."""
        return int.from_bytes(self.fixed(2), "little")

    def u32(self) -> int:
        """An integer of four bytes."""
        return int.from_bytes(self.fixed(4), "little")

    def u64(self) -> int:
        """An integer of eight bytes."""
        return int.from_bytes(self.fixed(8), "little")

    def u128(self) -> int:
        """An integer of sixteen bytes."""
        return int.from_bytes(self.fixed(16), "little")

    def boolean(self) -> bool:
        """One byte, 0 or 1."""
        value = self.u8()
        if value > 1:
            raise FormatError("boolean is neither 0 nor 1", offset=self.offset - 1, found=value)
        return value == 1

    def option(self) -> bool:
        """The byte of an option: whether a value follows."""
        return self.boolean()

    def uleb(self) -> int:
        """A ULEB128 u32: a variant index."""
        value, offset = read_uleb(self._data, self.offset)
        return self._advanced(value, offset)

    def count(self) -> int:
        """The length of a sequence."""
        value, offset = read_count(self._data, self.offset)
        return self._advanced(value, offset)

    def bytes_(self) -> bytes:
        """Bytes with their length before them."""
        return self.fixed(self.count())

    def text(self) -> str:
        """UTF-8 text with its length in bytes before it."""
        start = self.offset
        try:
            return self.bytes_().decode()
        except UnicodeDecodeError:
            raise FormatError("text is not UTF-8", offset=start) from None

    def hash_option(self) -> bytes | None:
        """A hash of 32 bytes, or nothing."""
        return self.fixed(HASH_BYTES) if self.option() else None

    def hashes(self) -> tuple[bytes, ...]:
        """A sequence of hashes of 32 bytes."""
        raw = self.fixed(HASH_BYTES * self.count())
        return tuple(raw[start : start + HASH_BYTES] for start in range(0, len(raw), HASH_BYTES))

    def verbatim(self, skip: Skip) -> bytes:
        """The bytes of the one value that `skip` passes over."""
        start = self.offset
        self.offset = skip(self._data, start, self.end)
        return self._data[start : self.offset]

    def since(self, start: int) -> bytes:
        """The bytes from `start` to the current offset, verbatim."""
        return self._data[start : self.offset]

    def finish(self) -> None:
        """Checks that nothing is left.

        Raises:
            FormatError: bytes follow the last value.
        """
        if self.offset != self.end:
            raise FormatError(
                "bytes follow the value",
                offset=self.offset,
                expected="none",
                found=f"{self.end - self.offset} bytes",
            )

    def _advanced(self, value: int, offset: int) -> int:
        if offset > self.end:
            raise FormatError("value runs past the end", offset=self.offset)
        self.offset = offset
        return value
