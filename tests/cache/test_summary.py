"""What a reader made of all files is kept beside them, and counts while they are the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cache.folder import MirrorFolder, mirror_path
from cache.index import DIGEST_BYTES
from cache.lock import Locks, Mode
from cache.mirror import Mirror
from cache.prune import prune
from cache.sync import SyncOptions
from tests.cache.sources import ScriptedSource

FILES = {f"{number}.meta": b"%d" % number for number in range(5)}


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource(FILES)


@pytest.fixture
def mirror(tmp_path: Path, source: ScriptedSource) -> Mirror:
    return Mirror(tmp_path, source, SyncOptions())


async def kept(mirror: Mirror) -> bytes | None:
    async with mirror.synced() as snapshot:
        return await snapshot.summary()


async def keep(mirror: Mirror, summary: bytes) -> None:
    async with mirror.synced() as snapshot:
        await snapshot.keep_summary(summary)


async def test_it_is_there_for_the_next_one(mirror: Mirror) -> None:
    assert await kept(mirror) is None
    await keep(mirror, b"five")
    assert await kept(mirror) == b"five"
    await keep(mirror, b"")
    assert await kept(mirror) == b""


@pytest.mark.parametrize("change", ["new", "changed", "gone"])
async def test_it_counts_for_just_these_files(mirror: Mirror, source: ScriptedSource, change: str) -> None:
    await keep(mirror, b"five")
    match change:
        case "new":
            source.files["new.meta"] = b"new"
        case "changed":
            source.files["0.meta"] = b"other"
        case "gone":
            del source.files["0.meta"]
    assert await kept(mirror) is None
    source.files.clear()
    source.files.update(FILES)
    assert await kept(mirror) is None  # the files are the same again, but nobody knows that


async def test_it_outlives_what_is_pruned(tmp_path: Path, mirror: Mirror, source: ScriptedSource) -> None:
    await keep(mirror, b"")
    source.files["0.meta"] = b"other"
    for name in list(source.files)[1:]:
        del source.files[name]  # so that the first pack retires
    await keep(mirror, b"one")
    folder = MirrorFolder(mirror_path(tmp_path, source.identity))
    pruned = await prune(folder, Locks(folder.path), grace_seconds=0)
    assert pruned is not None
    assert pruned.packs == 1
    assert await kept(mirror) == b"one"


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "of another state"])
async def test_a_damaged_one_does_not_count(
    tmp_path: Path, mirror: Mirror, source: ScriptedSource, damage: str
) -> None:
    await keep(mirror, b"five")
    path = mirror_path(tmp_path, source.identity) / "summary"
    data = bytearray(path.read_bytes())
    match damage:
        case "flipped":
            data[-1] ^= 1
        case "cut":
            del data[-1]
        case "empty":
            data.clear()
        case "of another state":
            MirrorFolder(path.parent).write_summary(b"?" * 16, b"five")
            data = bytearray(path.read_bytes())
            assert data[DIGEST_BYTES:] == b"?" * 16 + b"five"
    path.write_bytes(data)
    assert await kept(mirror) is None


async def test_it_is_not_written_while_the_mirror_is_pruned(
    tmp_path: Path, mirror: Mirror, source: ScriptedSource
) -> None:
    is_pruning, may_end = asyncio.Event(), asyncio.Event()

    async def prune_slowly() -> None:
        async with Locks(mirror_path(tmp_path, source.identity)).hold(Mode.PRUNE):
            is_pruning.set()
            await may_end.wait()

    async with mirror.synced() as snapshot, asyncio.TaskGroup() as group:
        group.create_task(prune_slowly())
        await is_pruning.wait()
        await snapshot.keep_summary(b"five")
        assert await snapshot.summary() is None
        may_end.set()


async def test_a_disk_that_is_full_keeps_none(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: MirrorFolder, state: bytes, summary: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MirrorFolder, "write_summary", full)
    await keep(mirror, b"five")
    assert await kept(mirror) is None
