"""Reads metadata and manifests from a storage."""

from __future__ import annotations

from restore.catalog.entries import Entry, parse_entries
from restore.catalog.manifests import (
    EpochEndingManifest,
    StateSnapshotManifest,
    TransactionManifest,
    parse_epoch_ending_manifest,
    parse_state_snapshot_manifest,
    parse_transaction_manifest,
)
from restore.catalog.view import MetadataView
from restore.errors import EmptyStorageError
from restore.flow.stream import OrderedStream
from restore.storage.base import FileHandle, Storage, read_file

MAX_METADATA_BYTES = 16 << 20
"""A line has about 200 bytes: room for 80,000 compacted ones, and still a bound."""

MAX_MANIFEST_BYTES = 32 << 20
"""A manifest names each chunk in about 400 bytes: room for 80,000 chunks of 128 MiB, and still a bound."""


SMALL_FILES_AT_ONCE = 16
"""At least: what a small file costs is the time of a request, neither the link nor the CPUs."""


async def load_view(storage: Storage, *, concurrency: int) -> MetadataView:
    """Reads all metadata.

    Raises:
        EmptyStorageError: there is none.
        FormatError, ManifestError: a line that does not parse, with its file and number.

    Bounds: `concurrency` files at once, or `SMALL_FILES_AT_ONCE`; all entries, about 300 bytes each.
    """

    async def read(handle: FileHandle) -> list[Entry]:
        return parse_entries(await read_file(storage, handle, max_bytes=MAX_METADATA_BYTES), file=handle)

    handles = await storage.list_metadata_files()
    if not handles:
        raise EmptyStorageError("storage holds no backup", file=storage.identity)
    entries: list[Entry] = []
    at_once = max(concurrency, SMALL_FILES_AT_ONCE)
    async with OrderedStream(handles, read, concurrency=at_once) as files:
        async for lines in files:
            entries += lines
    return MetadataView(entries)


async def load_epoch_ending_manifest(storage: Storage, handle: FileHandle) -> EpochEndingManifest:
    """Reads and checks a manifest of epoch endings."""
    return parse_epoch_ending_manifest(await _read(storage, handle), file=handle)


async def load_state_snapshot_manifest(storage: Storage, handle: FileHandle) -> StateSnapshotManifest:
    """Reads and checks a manifest of a state snapshot."""
    return parse_state_snapshot_manifest(await _read(storage, handle), file=handle)


async def load_transaction_manifest(storage: Storage, handle: FileHandle) -> TransactionManifest:
    """Reads and checks a manifest of transactions."""
    return parse_transaction_manifest(await _read(storage, handle), file=handle)


async def _read(storage: Storage, handle: FileHandle) -> bytes:
    return await read_file(storage, handle, max_bytes=MAX_MANIFEST_BYTES)
