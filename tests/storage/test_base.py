"""Reading a small file whole, however it comes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from restore.errors import CorruptAnswerError, FormatError
from restore.report.events import Event, Retried
from restore.storage.base import CORRUPT_TRIES, PIECE_BYTES, read_file
from restore.storage.gzipped import Gzipped
from restore.storage.local import LocalFs
from tests.conftest import open_descriptors


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, 2 * PIECE_BYTES + 1])
async def test_a_file_up_to_the_limit_is_read_whole(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(bytes(size))
    assert await read_file(LocalFs(tmp_path), "file", max_bytes=size) == bytes(size)


@pytest.mark.parametrize("size", [1, PIECE_BYTES, 2 * PIECE_BYTES + 1])
async def test_a_longer_file_is_refused_by_name(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(bytes(size))
    descriptors = open_descriptors()
    with pytest.raises(FormatError) as refusal:
        await read_file(LocalFs(tmp_path), "file", max_bytes=size - 1)
    assert refusal.value.file == "file"
    assert refusal.value.expected == f"{size - 1} bytes at most"
    assert open_descriptors() == descriptors


PACKED = gzip.compress(b"a line of text")
DAMAGED = PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:]
"""Its checksum is another one."""


async def test_each_further_fetch_of_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DAMAGED)
    told: list[Event] = []
    with pytest.raises(CorruptAnswerError) as failure:
        await read_file(Gzipped(LocalFs(tmp_path), packs=True), "file", max_bytes=100, report=told.append)
    assert told == [
        Retried("file", failure.value.message, attempt=attempt, wait=0)
        for attempt in range(2, CORRUPT_TRIES + 1)
    ]


async def test_a_file_that_comes_whole_at_the_second_fetch_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DAMAGED)
    told: list[Event] = []

    def repair(event: Event) -> None:
        told.append(event)
        (tmp_path / "file").write_bytes(PACKED)

    storage = Gzipped(LocalFs(tmp_path), packs=True)
    assert await read_file(storage, "file", max_bytes=100, report=repair) == b"a line of text"
    assert len(told) == 1
