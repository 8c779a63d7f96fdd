"""Reads manifests from a storage."""

from __future__ import annotations

from restore.catalog.manifests import (
    EpochEndingManifest,
    StateSnapshotManifest,
    TransactionManifest,
    parse_epoch_ending_manifest,
    parse_state_snapshot_manifest,
    parse_transaction_manifest,
)
from restore.storage.base import FileHandle, Storage, read_file

MAX_MANIFEST_BYTES = 32 << 20
"""A manifest names each chunk in about 400 bytes: room for 80,000 chunks of 128 MiB, and still a bound."""


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
