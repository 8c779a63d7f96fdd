from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cache.folder import mirror_path
from cache.private import write_private
from restore.catalog import mirror_remembered
from restore.catalog.mirror import PRIVATE, MirrorOptions
from restore.catalog.mirror_remembered import FORMAT, RememberedFile, count_digests, file_of

IDENTITY = "file:///backup"


def digests(*numbers: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in numbers]


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """The folder of the backup's mirror."""
    path = mirror_path(tmp_path, IDENTITY)
    path.mkdir(parents=True)
    return path


@pytest.fixture
def file(mirror: Path, tmp_path: Path) -> RememberedFile:
    return RememberedFile(MirrorOptions(tmp_path), IDENTITY)


async def test_what_is_added_is_kept_and_the_newest_comes_last(file: RememberedFile, mirror: Path) -> None:
    assert file.is_kept
    assert await file.load() == []
    await file.add(digests(1, 2))
    assert await file.load() == digests(1, 2)
    await file.add(digests(3, 1))
    assert await file.load() == digests(2, 3, 1)
    assert await count_digests(mirror) == 3


async def test_nothing_of_another_backup_is_found(file: RememberedFile, tmp_path: Path) -> None:
    await file.add(digests(1))
    assert await RememberedFile(MirrorOptions(tmp_path), "file:///other").load() == []


async def test_users_who_share_a_folder_do_not_replace_what_the_other_keeps(
    file: RememberedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    await file.add(digests(1))
    user = os.geteuid()
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: user + 1)
        assert await file.load() == []
        await file.add(digests(2))
    assert await file.load() == digests(1)


async def test_beyond_the_bound_the_oldest_are_forgotten(
    file: RememberedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_remembered, "MOST_DIGESTS", 3)
    await file.add(digests(1, 2, 3))
    await file.add(digests(4, 1))
    assert await file.load() == digests(3, 4, 1)


async def test_a_run_with_a_folder_of_its_own_keeps_nothing() -> None:
    file = RememberedFile(PRIVATE, IDENTITY)
    assert not file.is_kept
    await file.add(digests(1))
    assert await file.load() == []


async def test_without_the_folder_of_the_mirror_nothing_is_kept_and_nothing_made(tmp_path: Path) -> None:
    file = RememberedFile(MirrorOptions(tmp_path / "absent"), IDENTITY)
    await file.add(digests(1))
    assert await file.load() == []
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        FORMAT[:-1],
        FORMAT + bytes(31),
        FORMAT + bytes(33),
        b"verified signatures 2\n" + bytes(32),
    ],
)
async def test_a_file_of_anything_else_is_ignored_and_replaced(
    file: RememberedFile, mirror: Path, content: bytes
) -> None:
    write_private(file_of(mirror), content)
    assert await file.load() == []
    await file.add(digests(1))
    assert await file.load() == digests(1)


async def test_a_file_that_others_may_write_is_ignored_and_replaced(
    file: RememberedFile, mirror: Path
) -> None:
    await file.add(digests(1, 2))
    file_of(mirror).chmod(0o666)
    assert await file.load() == []
    assert await count_digests(mirror) == 0
    await file.add(digests(3))
    assert await file.load() == digests(3)
    assert file_of(mirror).stat().st_mode & 0o777 == 0o600


def test_a_folder_in_its_place_is_no_error(file: RememberedFile, mirror: Path) -> None:
    file_of(mirror).mkdir()
    asyncio.run(file.add(digests(1)))
    assert asyncio.run(file.load()) == []
    assert [entry.name for entry in mirror.iterdir()] == [file_of(mirror).name]


def test_of_several_who_write_at_once_each_is_whole_and_one_remains(
    file: RememberedFile, mirror: Path
) -> None:
    def add(own: Sequence[bytes]) -> None:
        for _ in range(20):
            asyncio.run(file.add(own))

    parties = [digests(*range(first, first + 500)) for first in range(0, 2000, 500)]
    with ThreadPoolExecutor(len(parties)) as threads:
        list(threads.map(add, parties))
    kept = asyncio.run(file.load())
    assert len(set(kept)) == len(kept)
    assert any(kept[-500:] == own for own in parties)
    assert set(kept) <= {digest for own in parties for digest in own}
    assert [entry.name for entry in mirror.iterdir()] == [file_of(mirror).name]
