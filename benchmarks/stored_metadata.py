"""A storage's metadata as the source of a mirror, as it comes: nothing is parsed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from cache.errors import VanishedError
from restore.catalog.mirror import MAX_METADATA_BYTES
from restore.errors import MissingFileError
from restore.storage.base import Storage, read_file


class StoredMetadata:
    """The metadata files of a storage.

    Args:
        storage: where they are.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def identity(self) -> str:
        """The storage's own."""
        return self._storage.identity

    async def list_files(self) -> Mapping[str, str]:
        """Handles and tags."""
        return await self._storage.list_metadata()

    @asynccontextmanager
    async def fetch(self, name: str) -> AsyncIterator[bytes]:
        """One file.

        Raises:
            VanishedError: it is there no more.
        """
        try:
            content = await read_file(self._storage, name, max_bytes=MAX_METADATA_BYTES)
        except MissingFileError as error:
            raise VanishedError(error.message, file=name) from error
        yield content
