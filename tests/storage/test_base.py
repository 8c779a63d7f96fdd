"""Reading a small file whole, however it comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore.errors import FormatError
from restore.storage.base import PIECE_BYTES, read_file
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
