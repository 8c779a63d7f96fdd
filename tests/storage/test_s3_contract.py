"""The contract of every storage, kept in a bucket of a real S3 server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restore.report.events import silent
from restore.storage.http import HttpClient
from restore.storage.remote import RemoteStorage
from restore.storage.s3 import S3Origin
from tests.contracts.storage import OpenStorage, StorageContract
from tests.storage.servers import S3Server, public_s3_server, s3_server

__all__ = ["public_s3_server", "s3_server"]


class S3Contract(StorageContract):
    """Places are prefixes below one for each test."""

    @pytest.fixture
    def server(self) -> S3Server:
        """To be given."""
        raise NotImplementedError

    @pytest.fixture
    async def open_storage(self, server: S3Server, tmp_path: Path) -> AsyncIterator[OpenStorage]:
        async with HttpClient(report=silent) as client:

            def open_storage(place: str) -> RemoteStorage:
                prefix = f"{tmp_path.name}/{place}"
                origin = S3Origin(
                    server.bucket,
                    prefix,
                    client,
                    signer=server.signer,
                    endpoint=server.endpoint,
                    path_style=True,
                )
                return RemoteStorage(origin, report=silent)

            yield open_storage


class TestSigned(S3Contract):
    @pytest.fixture
    def server(self, s3_server: S3Server) -> S3Server:
        return s3_server


class TestAnonymous(S3Contract):
    @pytest.fixture
    def server(self, public_s3_server: S3Server) -> S3Server:
        return public_s3_server
