"""A bucket behind a server that fails: what is read is right, whatever happened on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.faults import FaultPlan, FaultServer
from restore.errors import CorruptAnswerError, ManifestError, MissingFileError
from restore.flow.retry import Retry
from restore.report.events import Event, Retried, silent
from restore.storage import transfer
from restore.storage.base import read_file
from restore.storage.http import HttpClient
from restore.storage.remote import RemoteStorage
from restore.storage.s3 import S3Origin
from tests.contracts.reading import content
from tests.flow.steps import settle

SIZES = {"abc.0000/small.chunk": 1000, "abc.0000/large.chunk": 500_000, "abc.0000/empty.chunk": 0}

NAMES = [f"transaction_{number}-.meta" for number in range(7)]


async def no_pause(_: float) -> None:
    await settle()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The large object is read in five."""
    monkeypatch.setattr(transfer, "PART_BYTES", 100_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {handle: content(size) for handle, size in SIZES.items()}
    files |= {f"metadata/{name}": f"{name}\n".encode() for name in NAMES}
    for handle, data in files.items():
        path = tmp_path / "bucket/e1" / handle
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


@asynccontextmanager
async def failing(
    root: Path, plan: FaultPlan, *, page_size: int = 1000
) -> AsyncIterator[tuple[RemoteStorage, list[Event]]]:
    events: list[Event] = []
    async with FaultServer(root, plan, page_size=page_size) as server, HttpClient(report=silent) as client:
        origin = S3Origin("bucket", "e1", client, signer=None, endpoint=server.s3_endpoint, path_style=True)
        retry = Retry(events.append, sleep=no_pause)
        yield RemoteStorage(origin, report=events.append, retry=retry), events


def retries(events: list[Event]) -> int:
    return sum(isinstance(event, Retried) for event in events)


async def check_reading(storage: RemoteStorage) -> None:
    for handle, size in SIZES.items():
        assert await read_file(storage, handle, max_bytes=size) == content(size)


async def check_listing(storage: RemoteStorage) -> None:
    assert await storage.list_metadata_files() == sorted(f"metadata/{name}" for name in NAMES)


async def test_pages_of_any_size_are_one_listing(root: Path) -> None:
    for page_size in (1, 2, 6, 7, 8):
        async with failing(root, FaultPlan(), page_size=page_size) as (storage, events):
            await check_listing(storage)
            assert not events


@pytest.mark.parametrize(
    "plan",
    [
        FaultPlan(reset=0.5, seed=1),
        FaultPlan(truncate=0.5, seed=2),
        FaultPlan(unavailable=0.5, retry_after=0, seed=3),
        FaultPlan(wrong_range=0.4, seed=4),
        FaultPlan(ignore_range=0.3, seed=5),
        FaultPlan(reset=0.2, truncate=0.2, unavailable=0.1, retry_after=0, seed=6),
    ],
    ids=["reset", "truncate", "unavailable", "wrong range", "ignored range", "all"],
)
async def test_an_object_is_read_whatever_happens_on_the_way(root: Path, plan: FaultPlan) -> None:
    async with failing(root, plan) as (storage, events):
        for _ in range(5):
            await check_reading(storage)
        assert retries(events) > 2
        with pytest.raises(MissingFileError):
            await read_file(storage, "abc.0000/absent.chunk", max_bytes=1)


@pytest.mark.parametrize(
    "plan",
    [
        FaultPlan(partial_list=0.3, seed=1),
        FaultPlan(duplicate=0.9, seed=2),
        FaultPlan(reset=0.1, truncate=0.1, seed=3),
        FaultPlan(unavailable=0.3, retry_after=0, seed=4),
    ],
    ids=["partial", "duplicate", "broken", "unavailable"],
)
async def test_a_listing_is_whole_whatever_happens_on_the_way(root: Path, plan: FaultPlan) -> None:
    async with failing(root, plan, page_size=3) as (storage, events):
        for _ in range(5):
            await check_listing(storage)
        assert bool(retries(events)) == (not plan.duplicate)


async def test_an_object_replaced_while_it_is_read_is_never_mixed_with_the_old(root: Path) -> None:
    old = content(500_000)
    new = bytes(byte ^ 255 for byte in old)
    plan = FaultPlan(changed_etag=0.1, changed_content=True, only="large", seed=5)
    async with failing(root, plan) as (storage, _):
        with pytest.raises(CorruptAnswerError):
            await read_over_and_over(storage, old)
        assert await read_whole(storage) == new


async def read_over_and_over(storage: RemoteStorage, expected: bytes) -> None:
    for _ in range(100):
        assert await read_whole(storage) == expected


async def read_whole(storage: RemoteStorage) -> bytes:
    """Without the further tries that a damaged file is given."""
    pieces = []
    async with storage.open_for_read("abc.0000/large.chunk") as reader:
        while piece := await reader.read_piece():
            pieces.append(bytes(piece))
    return b"".join(pieces)


async def test_what_is_written_is_there_once_though_answers_are_lost(root: Path) -> None:
    async with failing(root, FaultPlan(reset=0.4, seed=3)) as (storage, events):
        for number in range(10):
            name = f"{number}-.chunk"
            async with storage.create_for_write("abc.0000", name) as file:
                await file.write(content(number * 100))
            assert (root / "bucket/e1/abc.0000" / name).read_bytes() == content(number * 100)
            with pytest.raises(ManifestError):
                async with storage.create_for_write("abc.0000", name) as file:
                    await file.write(b"other")
        for name in NAMES[:5]:
            await storage.backup_metadata_file(f"metadata/{name}")
            assert not (root / "bucket/e1/metadata" / name).exists()
            assert (root / "bucket/e1/metadata_backup" / name).read_bytes() == f"{name}\n".encode()
        assert retries(events) > 2
