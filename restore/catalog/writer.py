"""Writes backups: records cut into chunks, proofs, the manifest, and in the end the metadata line.

That line makes the backup exist: what an interrupted one leaves is a folder that nothing refers to.

Source: spec/backup-format.md sections 3, 4 and 8.1.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from msgspec import UNSET

from restore.catalog.entries import (
    BackupEntry,
    Entry,
    EpochEndingEntry,
    StateSnapshotEntry,
    TransactionEntry,
    compacted_file_name,
    encode_entry,
    file_name,
)
from restore.catalog.manifests import (
    EpochEndingChunk,
    EpochEndingManifest,
    HashValue,
    Manifest,
    StateSnapshotChunk,
    StateSnapshotManifest,
    TransactionChunk,
    TransactionManifest,
    encode_manifest,
    parse_epoch_ending_manifest,
    parse_state_snapshot_manifest,
    parse_transaction_manifest,
)
from restore.errors import ManifestError, UsageError
from restore.ledger.transaction import ChunkFormat
from restore.ledger.waypoint import Waypoint
from restore.storage.base import PIECE_BYTES, BackupHandle, FileHandle, Storage
from restore.storage.names import backup_name
from restore.wire.records import LENGTH_BYTES, frame

MAX_CHUNK_BYTES = 128 << 20
"""What other tools write by default: 128 MiB."""


class EpochEnding(NamedTuple):
    """BCS LedgerInfoWithSignatures of an epoch's end, and its waypoint."""

    record: bytes
    waypoint: Waypoint


class StateRecord(NamedTuple):
    """BCS StateKey and StateValue, one after the other, and the hash of the key."""

    record: bytes
    key_hash: bytes


Item = TypeVar("Item", EpochEnding, StateRecord, bytes)
T = TypeVar("T")

Records: TypeAlias = AsyncIterable[Item] | Iterable[Item]
"""In order, without a gap; taken one at a time."""

StateRangeProver: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""The hash of a chunk's last key to BCS SparseMerkleRangeProof."""

TransactionRangeProver: TypeAlias = Callable[[int, int], Awaitable[bytes]]
"""First and last version of a chunk to its proof file: a range proof and a signed ledger info, BCS."""


@dataclass(frozen=True, slots=True)
class Written(Generic[BackupEntry]):
    """A finished backup: the entry in its metadata, and how many chunks it has."""

    entry: BackupEntry
    chunks: int


def random_suffix() -> str:
    """Four hexadecimal digits, so that another try gets another folder."""
    return secrets.token_hex(2)


class BackupWriter:
    """Writes backups into one storage.

    Args:
        storage: where to.
        max_chunk_size: most bytes of a chunk; only a chunk of one record may be larger.
        suffix: gives the four hexadecimal digits at the end of the next folder's name.

    Cancellation: what is not finished is not visible but for its folder; no metadata refers to it.
    Bounds: the records of one chunk, the one that follows it, and one piece of about `PIECE_BYTES`.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        max_chunk_size: int = MAX_CHUNK_BYTES,
        suffix: Callable[[], str] = random_suffix,
    ) -> None:
        if max_chunk_size < 1:
            raise UsageError("a chunk needs room for a byte", found=max_chunk_size)
        self._storage = storage
        self._max_chunk_size = max_chunk_size
        self._suffix = suffix

    async def write_epoch_endings(
        self, endings: Records[EpochEnding], *, first_epoch: int
    ) -> Written[EpochEndingEntry]:
        """Writes the endings of consecutive epochs, `first_epoch` first.

        Raises:
            ManifestError: there are none, or their waypoints do not ascend.
        """
        backup = await self._create(f"epoch_ending_{first_epoch}-")
        waypoints: list[Waypoint] = []

        async def write(chunk: _Chunk[EpochEnding]) -> EpochEndingChunk:
            waypoints.extend(ending.waypoint for ending in chunk.items)
            handle = await self._write_records(backup, chunk)
            return EpochEndingChunk(chunk.first, chunk.last, handle)

        chunks = await self._write_chunks(endings, write, first=first_epoch)
        last_epoch = chunks[-1].last_epoch
        manifest = EpochEndingManifest(
            first_epoch, last_epoch, tuple(str(waypoint) for waypoint in waypoints), chunks
        )
        handle = await self._write_manifest(
            backup, "epoch_ending.manifest", manifest, parse=parse_epoch_ending_manifest
        )
        entry = EpochEndingEntry(first_epoch, last_epoch, waypoints[0].version, waypoints[-1].version, handle)
        await self.save_metadata(entry)
        return Written(entry, len(chunks))

    async def write_state_snapshot(
        self,
        records: Records[StateRecord],
        *,
        epoch: int,
        version: int,
        root_hash: bytes,
        state_proof: bytes,
        prove: StateRangeProver,
    ) -> Written[StateSnapshotEntry]:
        """Writes the whole state at one version.

        Args:
            records: by ascending key hash.
            epoch: the epoch that ends at `version`.
            version: of the state.
            root_hash: of the state tree.
            state_proof: BCS of what vouches for the root: the content of `state.proof`.
            prove: asked for each chunk before a record beyond its first follower is taken.

        Raises:
            ManifestError: there are no records, or the keys of the chunks do not ascend.
        """
        backup = await self._create(f"state_epoch_{epoch}_ver_{version}")

        async def write(chunk: _Chunk[StateRecord]) -> StateSnapshotChunk:
            first_key, last_key = chunk.items[0].key_hash, chunk.items[-1].key_hash
            blobs = await self._write_records(backup, chunk)
            proof = await self._write_file(backup, f"{chunk.first}-{chunk.last}.proof", await prove(last_key))
            return StateSnapshotChunk(
                chunk.first, chunk.last, HashValue(first_key), HashValue(last_key), blobs, proof
            )

        chunks = await self._write_chunks(records, write, first=0)
        proof = await self._write_file(backup, "state.proof", state_proof)
        manifest = StateSnapshotManifest(version, epoch, HashValue(root_hash), chunks, proof)
        handle = await self._write_manifest(
            backup, "state.manifest", manifest, parse=parse_state_snapshot_manifest
        )
        entry = StateSnapshotEntry(epoch, version, handle)
        await self.save_metadata(entry)
        return Written(entry, len(chunks))

    async def write_transactions(
        self,
        records: Records[bytes],
        *,
        first_version: int,
        prove: TransactionRangeProver,
        chunk_format: ChunkFormat | None = None,
    ) -> Written[TransactionEntry]:
        """Writes consecutive transactions, `first_version` first.

        Args:
            records: BCS, each of the same format.
            first_version: of the first record.
            prove: asked for each chunk before it is written.
            chunk_format: what the chunks are said to be; None says nothing, as older tools do, and is
                read as "V0".

        Raises:
            ManifestError: there are no records.
        """
        backup = await self._create(f"transaction_{first_version}-")

        async def write(chunk: _Chunk[bytes]) -> TransactionChunk:
            proof = await self._write_file(
                backup, f"{chunk.first}-{chunk.last}.proof", await prove(chunk.first, chunk.last)
            )
            handle = await self._write_records(backup, chunk)
            return TransactionChunk(
                chunk.first, chunk.last, handle, proof, UNSET if chunk_format is None else chunk_format
            )

        chunks = await self._write_chunks(records, write, first=first_version)
        last_version = chunks[-1].last_version
        manifest = TransactionManifest(first_version, last_version, chunks)
        handle = await self._write_manifest(
            backup, "transaction.manifest", manifest, parse=parse_transaction_manifest
        )
        entry = TransactionEntry(first_version, last_version, handle)
        await self.save_metadata(entry)
        return Written(entry, len(chunks))

    async def save_metadata(self, entry: Entry) -> FileHandle:
        """Writes the metadata file of one entry."""
        return await self._storage.save_metadata_lines(file_name(entry), [encode_entry(entry)])

    async def save_compacted(self, entries: Sequence[BackupEntry], *, factor: int) -> tuple[FileHandle, ...]:
        """Writes entries of one kind into few files of `factor` lines each; the last may have fewer.

        Args:
            entries: sorted, without duplicates, as a `MetadataView` has them.
            factor: lines of a file.

        Raises:
            ManifestError: neighbours in a file are not continuous.
        """
        if factor < 1:
            raise UsageError("a compacted file has at least one line", found=factor)
        handles = []
        for start in range(0, len(entries), factor):
            group = entries[start : start + factor]
            lines = [encode_entry(entry) for entry in group]
            handles.append(await self._storage.save_metadata_lines(compacted_file_name(group), lines))
        return tuple(handles)

    async def _create(self, base: str) -> BackupHandle:
        return await self._storage.create_backup(backup_name(base, suffix=self._suffix()))

    async def _write_chunks(
        self, items: Records[Item], write: Callable[[_Chunk[Item]], Awaitable[T]], *, first: int
    ) -> tuple[T, ...]:
        """Cuts `items`, numbered from `first`, into chunks and writes each; returns what `write` did.

        A chunk ends before the record that would make it larger than allowed, so it never is empty.
        """
        written: list[T] = []
        chunk: _Chunk[Item] = _Chunk(first, [])
        size = 0
        async with aclosing(_each(items)) as stream:
            async for item in stream:
                framed = LENGTH_BYTES + len(_record(item))
                if chunk.items and size + framed > self._max_chunk_size:
                    written.append(await write(chunk))
                    chunk = _Chunk(chunk.last + 1, [])
                    size = 0
                chunk.items.append(item)
                size += framed
        if not chunk.items:
            raise ManifestError("backup would have no records")
        written.append(await write(chunk))
        return tuple(written)

    async def _write_records(self, backup: BackupHandle, chunk: _Chunk[Item]) -> FileHandle:
        async with self._storage.create_for_write(backup, f"{chunk.first}-.chunk") as file:
            pieces: list[bytes] = []
            size = 0
            for item in chunk.items:
                pieces.append(frame(_record(item)))
                size += len(pieces[-1])
                if size >= PIECE_BYTES:
                    await file.write(b"".join(pieces))
                    pieces, size = [], 0
            await file.write(b"".join(pieces))
        return file.handle

    async def _write_file(self, backup: BackupHandle, name: str, data: bytes) -> FileHandle:
        async with self._storage.create_for_write(backup, name) as file:
            await file.write(data)
        return file.handle

    async def _write_manifest(
        self, backup: BackupHandle, name: str, manifest: Manifest, *, parse: Callable[..., Manifest]
    ) -> FileHandle:
        """Writes a manifest that our own reader accepts; one that it refuses is refused here."""
        data = encode_manifest(manifest)
        parse(data, file=f"{backup}/{name}")
        return await self._write_file(backup, name, data)


@dataclass(frozen=True, slots=True)
class _Chunk(Generic[Item]):
    """Records that belong into one file; `first` is the number of the first."""

    first: int
    items: list[Item]

    @property
    def last(self) -> int:
        return self.first + len(self.items) - 1


def _record(item: EpochEnding | StateRecord | bytes) -> bytes:
    return item if isinstance(item, bytes) else item.record


async def _each(items: Records[Item]) -> AsyncGenerator[Item, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
