"""The contract of every storage, kept over the JSON API of Google Cloud Storage against fake-gcs-server.

The emulator ignores some demands (`ifGenerationMatch` of a download, checksums of an upload, the size of
pages): `test_gcs.py` has those, with scripted answers.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restore.errors import CorruptAnswerError, EmptyStorageError, ManifestError
from restore.report.events import silent
from restore.storage.base import Storage
from restore.storage.gcs import GcsOrigin, open_gcs
from restore.storage.http import HttpClient
from restore.storage.origin import Pin
from restore.storage.remote import RemoteStorage
from tests.contracts.reading import ODD_HANDLES
from tests.contracts.storage import OpenStorage, StorageContract, content, get
from tests.storage.gcs_server import BUCKET, gcs_endpoint
from tests.storage.listing import list_names

__all__ = ["gcs_endpoint"]


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(report=silent) as client:
        yield client


class TestGcs(StorageContract):
    """Places are prefixes below one for each test."""

    @pytest.fixture
    def open_storage(self, gcs_endpoint: str, client: HttpClient, tmp_path: Path) -> OpenStorage:
        def open_place(place: str) -> Storage:
            prefix = f"{tmp_path.name}/{place}"
            origin = GcsOrigin(BUCKET, prefix, client, tokens=None, endpoint=gcs_endpoint)
            return RemoteStorage(origin, report=silent)

        return open_place


@pytest.fixture
def origin(gcs_endpoint: str, client: HttpClient, tmp_path: Path) -> GcsOrigin:
    return GcsOrigin(BUCKET, tmp_path.name, client, tokens=None, endpoint=gcs_endpoint)


async def put(origin: GcsOrigin, handle: str, data: bytes, *, replace: bool = False) -> None:
    await origin.put(handle, io.BytesIO(data), len(data), replace=replace)


async def read_range(origin: GcsOrigin, handle: str, start: int, length: int, pin: Pin | None) -> bytes:
    async with origin.get(handle, start=start, length=length, pin=pin, fresh=False) as answer:
        data = bytearray(answer.end - answer.start)
        position = 0
        while size := await answer.read_into(memoryview(data)[position:]):
            position += size
        return bytes(data)


def post(url: str, data: bytes) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=10) as response:
        answer: bytes = response.read()
        return answer


@pytest.mark.parametrize("handle", ODD_HANDLES)
async def test_an_odd_name_is_written_read_and_listed(origin: GcsOrigin, handle: str) -> None:
    await put(origin, handle, b"data")
    assert await get(RemoteStorage(origin, report=silent), handle) == b"data"
    folder, name = handle.split("/")
    assert await list_names(origin, folder) == [name]
    await origin.move(handle, f"moved/{name}")
    assert await list_names(origin, "moved") == [name]


async def test_what_is_replaced_has_another_pin_and_is_not_read_under_the_old_one(origin: GcsOrigin) -> None:
    await put(origin, "abc.0000/one.chunk", b"first")
    first = await origin.head("abc.0000/one.chunk")
    assert await read_range(origin, "abc.0000/one.chunk", 1, 3, first) == b"irs"
    with pytest.raises(ManifestError) as refusal:
        await put(origin, "abc.0000/one.chunk", b"other")
    assert refusal.value.file == "abc.0000/one.chunk"
    await put(origin, "abc.0000/one.chunk", b"other", replace=True)
    second = await origin.head("abc.0000/one.chunk")
    assert (first.size, second.size) == (5, 5)
    assert first.tag != second.tag
    with pytest.raises(CorruptAnswerError):
        await read_range(origin, "abc.0000/one.chunk", 1, 3, first)
    assert await read_range(origin, "abc.0000/one.chunk", 1, 3, second) == b"the"


async def test_a_body_is_sent_from_where_its_file_stands(origin: GcsOrigin) -> None:
    data = content(1_000_000)
    source = io.BytesIO(b"before" + data)
    source.seek(6)
    await origin.put("abc.0000/one.chunk", source, len(data), replace=False)
    assert await get(RemoteStorage(origin, report=silent), "abc.0000/one.chunk") == data


async def test_an_object_that_the_server_would_unpack_is_read_as_it_is_stored(
    origin: GcsOrigin, gcs_endpoint: str, tmp_path: Path
) -> None:
    packed = gzip.compress(content(100_000))
    name = f"{tmp_path.name}/abc.0000/one.chunk"
    url = f"{gcs_endpoint}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&contentEncoding=gzip&name={name}"
    assert b'"contentEncoding":"gzip"' in await asyncio.to_thread(post, url, packed)
    assert (await origin.head("abc.0000/one.chunk")).size == len(packed)
    assert await get(RemoteStorage(origin, report=silent), "abc.0000/one.chunk") == packed
    assert await read_range(origin, "abc.0000/one.chunk", 10, 500, None) == packed[10:510]


async def test_a_bucket_that_does_not_exist_is_named(gcs_endpoint: str, client: HttpClient) -> None:
    origin = GcsOrigin("no-bucket", "", client, tokens=None, endpoint=gcs_endpoint)
    with pytest.raises(EmptyStorageError) as refusal:
        await list_names(origin, "metadata")
    assert refusal.value.file == "gs://no-bucket"


async def test_the_environment_leads_to_the_emulator(
    gcs_endpoint: str, client: HttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host in (gcs_endpoint, gcs_endpoint.removeprefix("http://")):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", host)
        origin = await open_gcs(BUCKET, tmp_path.name, client, endpoint=None, anonymous=None)
        assert origin.identity == f"{gcs_endpoint}/{BUCKET}/{tmp_path.name}"
        await put(origin, "metadata/some.meta", b"line\n", replace=True)
        assert await list_names(origin, "metadata") == ["some.meta"]
