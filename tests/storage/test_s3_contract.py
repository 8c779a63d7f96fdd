"""The contract of every storage, kept in a bucket of a real S3 server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from restore.errors import AccessDeniedError
from restore.report.events import silent
from restore.storage.http import HttpClient
from restore.storage.remote import RemoteStorage
from restore.storage.s3 import S3Origin
from restore.storage.signing import Signer
from tests.contracts.storage import OpenStorage, StorageContract, get, put
from tests.storage.listing import list_names
from tests.storage.servers import S3Server, public_s3_server, s3_server

__all__ = ["public_s3_server", "s3_server"]


def storage_at(server: S3Server, prefix: str, client: HttpClient, signer: Signer | None) -> RemoteStorage:
    origin = S3Origin(server.bucket, prefix, client, signer=signer, endpoint=server.endpoint, path_style=True)
    return RemoteStorage(origin, report=silent)


class TestS3(StorageContract):
    """Places are prefixes below one for each test."""

    @pytest.fixture
    async def open_storage(self, s3_server: S3Server, tmp_path: Path) -> AsyncIterator[OpenStorage]:
        async with HttpClient(report=silent) as client:
            yield lambda place: storage_at(s3_server, f"{tmp_path.name}/{place}", client, s3_server.signer)


async def test_a_public_bucket_needs_no_signature(public_s3_server: S3Server, tmp_path: Path) -> None:
    async with HttpClient(report=silent) as client:
        storage = storage_at(public_s3_server, tmp_path.name, client, None)
        await put(storage, "abc.0000/one.chunk", b"data")
        assert await get(storage, "abc.0000/one.chunk") == b"data"
        handle = await storage.save_metadata_lines("some.meta", ["line"])
        assert await storage.list_metadata_files() == [handle]


@pytest.mark.parametrize("key, secret", [("KEY", "OTHER"), ("OTHER", "SECRET")])
async def test_a_wrong_signature_is_refused(s3_server: S3Server, key: str, secret: str) -> None:
    async with HttpClient(report=silent) as client:
        storage = storage_at(s3_server, "any", client, Signer(Credentials(key, secret)))
        with pytest.raises(AccessDeniedError):
            await get(storage, "abc.0000/one.chunk")
        with pytest.raises(AccessDeniedError):
            await storage.list_metadata_files()


async def test_an_odd_name_is_signed_as_it_is_sent(s3_server: S3Server, tmp_path: Path) -> None:
    handle = "abc.0000/naïve/a b+c%25d=e&f#g;h,i'j(k)!$~*@:.chunk"
    async with HttpClient(report=silent) as client:
        origin = S3Origin(
            s3_server.bucket,
            tmp_path.name,
            client,
            signer=s3_server.signer,
            endpoint=s3_server.endpoint,
            path_style=True,
        )
        source = tmp_path / "source"
        source.write_bytes(b"data")
        with source.open("rb") as file:
            await origin.put(handle, file, 4, replace=False)
        assert await get(RemoteStorage(origin, report=silent), handle) == b"data"
        await origin.move(handle, f"{handle}+")
        folder, _, name = handle.rpartition("/")
        assert await list_names(origin, folder) == [f"{name}+"]
