"""A reader of RocksDB's table files that checks all it reads: the oracle of those that the kernel writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

MAGIC = 0x88E241B785F4CFF7
FOOTER_BYTES = 53
TRAILER_BYTES = 5
STORED, LZ4 = 0, 4
TAG = b"\1" + bytes(7)
"""Sequence number 0, type "value"."""

Row: TypeAlias = tuple[bytes, bytes]
Handle: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Block:
    """One data block: its separator in the index, its stored size, how it is stored, and its rows."""

    separator: bytes
    stored_bytes: int
    compression: int
    rows: list[Row]


@dataclass(frozen=True)
class TableFile:
    """All of a table file."""

    blocks: list[Block]
    properties: dict[str, bytes]

    @property
    def rows(self) -> list[Row]:
        """The rows of all blocks."""
        return [row for block in self.blocks for row in block.rows]


def read_table(data: bytes) -> TableFile:
    """Reads a whole file; whatever is out of order is an AssertionError."""
    metaindex, index = _footer(data)
    properties = read_properties(data)
    assert list(properties) == sorted(properties)
    blocks, end = [], 0
    for separator, offset, size in index_of(stored_block(data, *index)[1]):
        assert offset == end
        end = offset + size + TRAILER_BYTES
        compression, content = stored_block(data, offset, size)
        blocks.append(Block(separator, size, compression, list(untagged(rows_of(content, interval=16)))))
    assert end == index[0]
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        assert block.rows[-1][0] <= block.separator
        assert after is None or block.separator < after.rows[0][0]
    assert sum(metaindex) + TRAILER_BYTES + FOOTER_BYTES == len(data)
    return TableFile(blocks, properties)


def read_properties(data: bytes) -> dict[str, bytes]:
    """The properties of a file."""
    metaindex, _ = _footer(data)
    ((name, handle),) = rows_of(stored_block(data, *metaindex)[1])
    assert name == b"rocksdb.properties"
    rows = rows_of(stored_block(data, *Cursor(handle).handle())[1])
    return {name.decode(): value for name, value in rows}


def _footer(data: bytes) -> tuple[Handle, Handle]:
    """Where the metaindex and the index lie."""
    footer = Cursor(data[-FOOTER_BYTES:])
    assert footer.take(1) == b"\1"  # CRC-32C
    handles = footer.handle(), footer.handle()
    assert set(footer.data[footer.at : 41]) == {0}
    assert int.from_bytes(footer.data[41:45], "little") == 5
    assert int.from_bytes(footer.data[45:], "little") == MAGIC
    return handles


class Cursor:
    """Reads numbers and bytes from the start of some bytes on."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        assert size <= len(self.data) - self.at
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self) -> int:
        number = shift = 0
        while True:
            (byte,) = self.take(1)
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def handle(self) -> Handle:
        return self.varint(), self.varint()


def stored_block(data: bytes, offset: int, size: int) -> tuple[int, bytes]:
    """How a block is stored, and what is in it."""
    block = data[offset : offset + size + 1]
    checksum = int.from_bytes(data[offset + size + 1 : offset + size + TRAILER_BYTES], "little")
    crc = crc32c(block)
    assert checksum == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
    if block[-1] == STORED:
        return STORED, block[:-1]
    assert block[-1] == LZ4
    cursor = Cursor(block[:-1])
    size = cursor.varint()
    content = unpacked(cursor)
    assert len(content) == size
    return LZ4, content


def unpacked(cursor: Cursor) -> bytes:
    """The content of an LZ4 block, which must keep to the rules for its end."""
    out = bytearray()
    last_match = match = 0
    while True:
        (token,) = cursor.take(1)
        literals = cursor.take(_length(cursor, token >> 4))
        out += literals
        if cursor.at == len(cursor.data):
            assert last_match == 0 or (len(literals) >= 5 and len(out) - last_match >= 12)
            return bytes(out)
        last_match = len(out)
        distance = int.from_bytes(cursor.take(2), "little")
        match = _length(cursor, token & 15) + 4
        assert 0 < distance <= len(out)
        for _ in range(match):
            out.append(out[-distance])


def _length(cursor: Cursor, length: int) -> int:
    if length < 15:
        return length
    while True:
        (more,) = cursor.take(1)
        length += more
        if more < 255:
            return length


def rows_of(block: bytes, *, interval: int | None = None) -> list[Row]:
    """The rows of a block with a whole key every `interval` rows, if it is known."""
    cursor, restarts = _without_restarts(block)
    rows: list[Row] = []
    key = b""
    while cursor.at < len(cursor.data):
        whole = cursor.at in restarts
        assert interval is None or whole == (len(rows) % interval == 0)
        shared, more, size = cursor.varint(), cursor.varint(), cursor.varint()
        assert shared <= (0 if whole else len(key))
        key = key[:shared] + cursor.take(more)
        rows.append((key, cursor.take(size)))
    return rows


def index_of(block: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The rows of the index: separator, offset, size. Its values have no length of their own."""
    cursor, restarts = _without_restarts(block)
    while cursor.at < len(cursor.data):
        assert restarts.pop(0) == cursor.at
        assert cursor.varint() == 0
        yield cursor.take(cursor.varint()), *cursor.handle()
    assert not restarts


def _without_restarts(block: bytes) -> tuple[Cursor, list[int]]:
    count = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * count
    assert end >= 0
    places = [int.from_bytes(block[at : at + 4], "little") for at in range(end, len(block) - 4, 4)]
    return Cursor(block[:end]), places


def untagged(rows: list[Row]) -> Iterator[Row]:
    """The rows as they were given, without what RocksDB appends to their keys."""
    for key, value in rows:
        assert key.endswith(TAG)
        yield key[: -len(TAG)], value


def crc32c(data: bytes) -> int:
    """CRC-32C, a byte at a time."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


@cache
def _crc_table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table
