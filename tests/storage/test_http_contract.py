"""The reading part of the contract, kept over HTTP against nginx: its two kinds of indexes, and encrypted."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restore.errors import StorageUnavailableError, UsageError
from restore.report.events import silent
from restore.storage.base import FileHandle, Storage
from restore.storage.http import HttpClient
from restore.storage.http_origin import HttpOrigin
from restore.storage.remote import RemoteStorage
from tests.contracts.reading import ODD_HANDLES, OpenStorage, PlaceFile, ReadingContract, get
from tests.storage.nginx import Nginx, nginx

__all__ = ["nginx"]


class NginxContract(ReadingContract):
    """Places are folders below a folder for each test."""

    def url_of(self, nginx: Nginx) -> str:
        """To be given: one of the server's URLs."""
        raise NotImplementedError

    @pytest.fixture
    def folder(self, nginx: Nginx, tmp_path: Path) -> Path:
        return nginx.folder / tmp_path.name

    @pytest.fixture
    async def open_storage(self, nginx: Nginx, folder: Path) -> AsyncIterator[OpenStorage]:
        base = f"{self.url_of(nginx)}/{folder.name}"
        async with HttpClient(report=silent) as client:
            yield lambda place: RemoteStorage(HttpOrigin(f"{base}/{place}", client), report=silent)

    @pytest.fixture
    def place_file(self, folder: Path) -> PlaceFile:
        async def place(handle: FileHandle, data: bytes) -> None:
            path = folder / "backups" / handle
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

        return place

    @pytest.fixture
    def replace_metadata(self, folder: Path, place_file: PlaceFile) -> PlaceFile:
        """A minute later: that is what the coarser index tells."""

        async def replace(handle: FileHandle, data: bytes) -> None:
            await place_file(handle, data)
            path = folder / "backups" / handle
            later = path.stat().st_mtime + 60
            os.utime(path, (later, later))

        return replace

    @pytest.mark.parametrize("handle", ODD_HANDLES)
    async def test_an_odd_name_is_read_and_listed(
        self, storage: Storage, place_file: PlaceFile, handle: str
    ) -> None:
        await place_file(handle, b"data")
        assert await get(storage, handle) == b"data"
        assert await storage.size_of(handle) == 4
        name = handle.split("/")[1]
        await place_file(f"metadata/{name}", b"line\n")
        assert await storage.list_metadata_files() == [f"metadata/{name}"]
        assert await get(storage, f"metadata/{name}") == b"line\n"

    async def test_a_storage_cannot_be_written_to(self, storage: Storage, place_file: PlaceFile) -> None:
        await place_file("metadata/some.meta", b"line\n")
        with pytest.raises(UsageError):
            await storage.save_metadata_lines("other.meta", ["line"])
        with pytest.raises(UsageError):
            await storage.backup_metadata_file("metadata/some.meta")
        assert await storage.list_metadata_files() == ["metadata/some.meta"]


class TestJsonIndex(NginxContract):
    def url_of(self, nginx: Nginx) -> str:
        return nginx.json_url


class TestHtmlIndex(NginxContract):
    def url_of(self, nginx: Nginx) -> str:
        return nginx.html_url


class TestEncrypted(NginxContract):
    @pytest.fixture(autouse=True)
    def trusting(self, nginx: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(nginx.certificate))

    def url_of(self, nginx: Nginx) -> str:
        return nginx.tls_url


async def test_a_server_whose_certificate_nobody_vouches_for_is_refused(nginx: Nginx) -> None:
    async with HttpClient(report=silent) as client:
        storage = RemoteStorage(HttpOrigin(nginx.tls_url, client), report=silent)
        with pytest.raises(StorageUnavailableError) as refusal:
            await get(storage, "abc.0000/one.chunk")
        assert type(refusal.value) is StorageUnavailableError  # which is not tried again
        with pytest.raises(StorageUnavailableError, match="certificate"):
            await storage.list_metadata_files()
