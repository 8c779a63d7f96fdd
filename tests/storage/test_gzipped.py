"""Files that lie packed in a storage, and are read as if they did not."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from restore.errors import CorruptAnswerError, ManifestError
from restore.flow.retry import Retry
from restore.report.events import silent
from restore.storage.base import PIECE_BYTES, WHOLE_BYTES, Storage, read_file
from restore.storage.gzipped import Gzipped
from restore.storage.local import LocalFs
from restore.storage.remote import RemoteStorage
from restore.storage.transfer import PART_BYTES
from tests.contracts.storage import OpenStorage, StorageContract, content
from tests.storage.scripted import ScriptedOrigin

LOOKS_PACKED = b"\x1f\x8b\x08\x00" + bytes(range(100))
"""A proof could begin so."""


class TestPackedFolder(StorageContract):
    """What is written is packed, and read back unpacked."""

    lies_as_read = False

    @pytest.fixture
    def open_storage(self, tmp_path: Path) -> OpenStorage:
        return lambda place: Gzipped(LocalFs(tmp_path / place), packs=True)


class TestPlainFolder(StorageContract):
    """Nothing is packed, and nothing looks different."""

    @pytest.fixture
    def open_storage(self, tmp_path: Path) -> OpenStorage:
        return lambda place: Gzipped(LocalFs(tmp_path / place), packs=False)


class Purse:
    """A payer that remembers."""

    def __init__(self) -> None:
        self.held = self.most = 0

    async def take(self, amount: int) -> None:
        self.held += amount
        self.most = max(self.most, self.held)

    def give_back(self, amount: int) -> None:
        assert 0 <= amount <= self.held
        self.held -= amount


def remote(**objects: bytes) -> Storage:
    """A storage whose objects come in parts of 16 MiB."""
    retry = Retry(silent, sleep=_at_once)
    return Gzipped(RemoteStorage(ScriptedOrigin(objects), report=silent, retry=retry), packs=True)


async def _at_once(_seconds: float) -> None:
    """Does not wait."""


async def pieces_of(storage: Storage, handle: str, purse: Purse) -> list[bytes]:
    """All pieces of a file; each is given back before the next is asked for."""
    pieces = []
    async with storage.open_for_read(handle, payer=purse) as reader:
        while piece := await reader.read_piece():
            assert purse.held >= len(piece)
            pieces.append(bytes(piece))
            purse.give_back(len(piece))
        assert await reader.read_piece() == b""
    return pieces


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * PIECE_BYTES + 5])
async def test_a_small_object_is_one_piece(size: int) -> None:
    data, purse = content(size) + bytes(size), Purse()
    pieces = await pieces_of(remote(file=gzip.compress(data)), "file", purse)
    assert pieces == ([data] if data else [])
    assert purse.held == 0


async def test_an_object_of_several_parts_comes_piece_by_piece() -> None:
    data, purse = random.Random(1).randbytes(PART_BYTES + 5 * PIECE_BYTES) + bytes(30 << 20), Purse()
    packed = gzip.compress(data, 1)
    assert len(packed) > PART_BYTES
    pieces = await pieces_of(remote(file=packed), "file", purse)
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) == PIECE_BYTES
    assert purse.held == 0
    assert purse.most <= PART_BYTES + 2 * PIECE_BYTES


async def test_several_members_are_one_file() -> None:
    parts = [content(100_000, seed=seed) for seed in (1, 1, 2)]
    packed = b"".join(gzip.compress(part, mtime=0) for part in parts)
    purse = Purse()
    assert b"".join(await pieces_of(remote(file=packed), "file", purse)) == b"".join(parts)
    assert purse.held == 0


async def test_a_bomb_takes_no_more_than_a_piece() -> None:
    member = gzip.compress(bytes(WHOLE_BYTES + 1), 9)
    purse, size = Purse(), 0
    async with remote(file=member).open_for_read("file", payer=purse) as reader:
        while piece := await reader.read_piece():
            size += len(piece)
            purse.give_back(len(piece))
    assert size == WHOLE_BYTES + 1
    assert purse.most <= 2 * PIECE_BYTES


@pytest.mark.parametrize("end", [b"", b"garbage", None], ids=["flipped", "garbage", "cut"])
async def test_damage_is_an_error_and_gives_everything_back(end: bytes | None) -> None:
    packed = bytearray(gzip.compress(content(200_000)))
    if end is None:
        del packed[-9:]
    elif end:
        packed += end
    else:
        packed[100_000] ^= 1
    purse = Purse()
    with pytest.raises(CorruptAnswerError) as refusal:
        await pieces_of(remote(file=bytes(packed)), "file", purse)
    assert (refusal.value.exit_code, refusal.value.file) == (20, "file")
    assert purse.held == 0


async def test_a_reader_left_early_gives_everything_back() -> None:
    packed = gzip.compress(content(3 * PIECE_BYTES))
    for storage in (remote(file=packed), remote(file=packed + packed), remote(file=content(3 * PIECE_BYTES))):
        for pieces_taken in (0, 1):
            purse = Purse()
            async with storage.open_for_read("file", payer=purse) as reader:
                for _ in range(pieces_taken):
                    purse.give_back(len(await reader.read_piece()))
            assert purse.held == 0


async def test_nothing_is_unpacked_where_the_first_file_is_not_packed() -> None:
    storage = remote(text=b"{}", proof=LOOKS_PACKED)
    for handle, data in (("text", b"{}"), ("proof", LOOKS_PACKED)):
        assert await read_file(storage, handle, max_bytes=1000) == data


@pytest.mark.parametrize("data", [b"{}", b"", b"\x1f"], ids=["text", "nothing", "half a magic"])
async def test_what_is_not_packed_among_packed_files_is_damaged(data: bytes) -> None:
    storage = remote(text=gzip.compress(b"{}"), other=data)
    assert await read_file(storage, "text", max_bytes=1000) == b"{}"
    with pytest.raises(CorruptAnswerError) as refusal:
        await read_file(storage, "other", max_bytes=1000)
    assert refusal.value.file == "other"


async def test_an_empty_file_does_not_decide() -> None:
    storage = remote(empty=b"", text=gzip.compress(b"{}"))
    assert await read_file(storage, "empty", max_bytes=1000) == b""
    assert await read_file(storage, "text", max_bytes=1000) == b"{}"


async def test_a_file_is_as_long_as_it_lies_in_the_storage() -> None:
    packed = gzip.compress(bytes(1000))
    assert await remote(file=packed).size_of("file") == len(packed)


async def test_what_is_written_is_what_gzip_unpacks(tmp_path: Path) -> None:
    storage = Gzipped(LocalFs(tmp_path), packs=True)
    async with storage.create_for_write(await storage.create_backup("abc.0000"), "one.chunk") as file:
        for part in (b"some", b"", b" of it"):
            await file.write(part)
    assert gzip.decompress((tmp_path / "abc.0000" / "one.chunk").read_bytes()) == b"some of it"
    await storage.save_metadata_lines("some.meta", ["line"])
    assert gzip.decompress((tmp_path / "metadata" / "some.meta").read_bytes()) == b"line\n"


async def test_the_same_metadata_packed_by_another_program_is_the_same(tmp_path: Path) -> None:
    storage = Gzipped(LocalFs(tmp_path), packs=True)
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "some.meta").write_bytes(gzip.compress(b"line\n", 1, mtime=77))
    assert await storage.save_metadata_lines("some.meta", ["line"]) == "metadata/some.meta"
    with pytest.raises(ManifestError):
        await storage.save_metadata_lines("some.meta", ["other"])
