"""Unpacking one chunk: as a whole, and as it comes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import deflate
import pytest
from isal import isal_zlib

from benchmarks.parts.chunks import state_chunk
from benchmarks.parts.work import Part, Work
from restore.storage.base import PIECE_BYTES
from restore.storage.gunzip import Gunzip, announced_bytes, unpack_whole


@pytest.fixture(scope="module")
def packed() -> bytes:
    return gzip.compress(state_chunk().data, 6)


def _work(packed: bytes) -> Work:
    size = announced_bytes(packed) / 1e6
    return Work("gunzip", f"a chunk of {size:.1f} MB that is here as a whole", "MB/s", size)


def _stream(packed: bytes) -> Work:
    size = announced_bytes(packed) / 1e6
    return Work("gunzip", f"a chunk of {size:.1f} MB as a stream", "MB/s", size)


def test_ours_as_a_whole(part: Part, packed: bytes) -> None:
    data, place = memoryview(bytearray(packed)), memoryview(bytearray(announced_bytes(packed)))

    def unpack() -> None:
        assert unpack_whole(data, place)

    part(_work(packed), unpack)


def test_ours_as_a_stream(part: Part, packed: bytes) -> None:
    def unpack() -> None:
        stream = Gunzip("chunk")
        stream.feed(packed)
        while stream.take(PIECE_BYTES):
            pass
        stream.finish()

    part(_stream(packed), unpack)


def test_libdeflate(part: Part, packed: bytes) -> None:
    size = announced_bytes(packed)
    part(_work(packed), lambda: deflate.gzip_decompress(packed, size), way="libdeflate's Python package")


def test_isal(part: Part, packed: bytes) -> None:
    part(_stream(packed), lambda: isal_zlib.decompress(packed, wbits=31), way="isal in one go")


@pytest.mark.parametrize("work", [_work, _stream])
def test_zlib(part: Part, packed: bytes, work: Callable[[bytes], Work]) -> None:
    part(work(packed), lambda: zlib.decompress(packed, wbits=31), way="zlib")
