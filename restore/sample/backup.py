"""Writes a sample chain as a backup that grew over years: older parts in older forms, compacted metadata.

Epoch endings and transactions of the older epochs are in backups of several epochs and of format V0, later
ones as newer software writes them. The older half of each kind's metadata is compacted: the first files that
a compacted one replaces are retired already, the others are still listed beside it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from restore.catalog.entries import (
    CompactionEntry,
    EpochEndingEntry,
    IdentityEntry,
    StateSnapshotEntry,
    TransactionEntry,
    file_name,
)
from restore.catalog.writer import MAX_CHUNK_BYTES, BackupWriter, EpochEnding, StateRecord
from restore.errors import UsageError
from restore.ledger.hashes import APTOS, Domain
from restore.ledger.waypoint import Waypoint
from restore.sample.chain import FIRST_TIMESTAMP_USECS, Chain, SnapshotBase, build_chain
from restore.sample.encode import sequence
from restore.sample.seed import Source
from restore.sample.snapshot import SnapshotReader
from restore.sample.spec import SampleBackup, SampleSnapshot, SampleSpec
from restore.storage.base import FileHandle, Storage
from restore.storage.local import LocalFs
from restore.storage.names import METADATA_FOLDER
from restore.wire.records import LENGTH_BYTES

COMPACT_FACTOR = 2
"""Lines of a compacted metadata file: the fewest that make sense."""

EPOCHS_PER_CHUNK = 2
"""In the older epoch-ending backups, so that those of three epochs have several chunks."""

Ranged = TypeVar("Ranged", EpochEndingEntry, StateSnapshotEntry, TransactionEntry)


async def write_sample(spec: SampleSpec, root: Path, *, domain: Domain = APTOS) -> SampleBackup:
    """Makes the chain of `spec` and its backup in `root`, which must be empty or not there.

    Most of it is computation on the calling thread, so nothing else of the event loop gets on meanwhile.

    Raises:
        UsageError: the spec is impossible, or the folder is not empty.

    Cancellation: the folder is left as it is; what does not fit into memory is in a temporary folder beside
        it, which is removed.
    Bounds: about 64 MiB of items, 64 MiB of transactions, one chunk, 1/128 of the items, and 1 KiB for each
        transaction.
    """
    spec.check()
    with tempfile.TemporaryDirectory(prefix=".sample-", dir=_made_parent(root)) as folder:
        chain = build_chain(spec, domain, Path(folder))
        return await _Backup(spec, domain, chain, LocalFs(root)).write(root)


def _made_parent(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise UsageError("folder for a sample is not empty", found=root)
    return root.parent


class _Backup:
    def __init__(self, spec: SampleSpec, domain: Domain, chain: Chain, storage: Storage) -> None:
        self._spec = spec
        self._domain = domain
        self._chain = chain
        self._storage = storage
        self._source = Source(spec.seed, "backup")
        self._waypoints = tuple(Waypoint.of(signed.info, domain) for signed in chain.endings)

    async def write(self, root: Path) -> SampleBackup:
        identity = IdentityEntry(self._source.take(32).hex())
        await self._writer().save_metadata(identity)
        epoch_endings = await self._write_epoch_endings()
        snapshots = [await self._write_snapshot(base) for base in self._chain.bases]
        transactions = await self._write_transactions()
        await self._compact(epoch_endings, [entry for entry, _ in snapshots], transactions)
        history = self._chain.history
        return SampleBackup(
            spec=self._spec,
            root=root,
            waypoints=self._waypoints,
            snapshots=tuple(snapshot for _, snapshot in snapshots),
            state_roots=self._chain.state_roots,
            usages=self._chain.usages,
            accumulator_roots=tuple(history.root(version + 1) for version in range(self._spec.transactions)),
        )

    async def _write_epoch_endings(self) -> list[EpochEndingEntry]:
        spec = self._spec
        endings = [
            EpochEnding(signed.raw, waypoint)
            for signed, waypoint in zip(self._chain.endings, self._waypoints, strict=True)
        ]
        longest = max(len(ending.record) for ending in endings)
        writer = self._writer(max_chunk_size=EPOCHS_PER_CHUNK * (longest + LENGTH_BYTES))
        newer = spec.newer_epoch
        starts = [*range(0, newer, spec.epochs_per_backup), *range(newer, len(endings))]
        entries = []
        for start, end in zip(starts, [*starts[1:], len(endings)], strict=True):
            written = await writer.write_epoch_endings(endings[start:end], first_epoch=start)
            entries.append(written.entry)
        return entries

    async def _write_snapshot(self, base: SnapshotBase) -> tuple[StateSnapshotEntry, SampleSnapshot]:
        state = base.state
        reader = SnapshotReader(self._domain, state)
        signed = self._chain.endings[base.epoch]
        siblings = self._chain.history.siblings(base.version, signed.info.version + 1)

        async def prove(last_key: bytes) -> bytes:
            return reader.proof(last_key)

        writer = self._writer(max_chunk_size=state.sizes.chunk_bytes(self._spec.snapshot_chunks))
        written = await writer.write_state_snapshot(
            (StateRecord(entry.record, entry.key_hash) for entry in reader.entries()),
            epoch=base.epoch,
            version=base.version,
            root_hash=state.root,
            state_proof=sequence(siblings) + base.info + signed.raw,
            prove=prove,
        )
        snapshot = SampleSnapshot(
            epoch=base.epoch,
            version=base.version,
            root_hash=state.root,
            usage=state.usage,
            chunks=written.chunks,
            manifest=written.entry.manifest,
        )
        return written.entry, snapshot

    async def _write_transactions(self) -> list[TransactionEntry]:
        writer = self._writer(max_chunk_size=self._spec.transaction_chunk_bytes)
        records = iter(self._chain.records)
        entries = []
        for first, last in self._spec.backup_ranges():
            chunk_format = self._spec.format_of(last)
            # The oldest software did not say the format, which then was V0.
            is_oldest = last <= self._spec.transactions_per_backup
            written = await writer.write_transactions(
                islice(records, last - first + 1),
                first_version=first,
                prove=self._prove_range,
                chunk_format=None if is_oldest and chunk_format == "V0" else chunk_format,
            )
            entries.append(written.entry)
        return entries

    async def _prove_range(self, first: int, last: int) -> bytes:
        signed = self._chain.ledger_info_for(last)
        proof = self._chain.history.range_proof(first, last, signed.info.version + 1)
        return proof.encode() + signed.raw

    async def _compact(
        self,
        epoch_endings: Sequence[EpochEndingEntry],
        snapshots: Sequence[StateSnapshotEntry],
        transactions: Sequence[TransactionEntry],
    ) -> None:
        replaced = [
            *await self._compact_half(epoch_endings),
            *await self._compact_half(snapshots),
            *await self._compact_half(transactions),
        ]
        now = FIRST_TIMESTAMP_USECS // 1_000_000 + 10**7
        seen = {handle: now - self._source.below(86_400) for handle in replaced}
        await self._writer().save_metadata(CompactionEntry(now, dict(seen)))

    async def _compact_half(self, entries: Sequence[Ranged]) -> list[FileHandle]:
        """Compacts the older half; returns the replaced files that are still listed."""
        older = entries[: (len(entries) + 1) // 2]
        await self._writer().save_compacted(older, factor=COMPACT_FACTOR)
        handles = [f"{METADATA_FOLDER}/{file_name(entry)}" for entry in older]
        for handle in handles[:COMPACT_FACTOR]:
            await self._storage.backup_metadata_file(handle)
        return handles[COMPACT_FACTOR:]

    def _writer(self, *, max_chunk_size: int = MAX_CHUNK_BYTES) -> BackupWriter:
        return BackupWriter(self._storage, max_chunk_size=max_chunk_size, suffix=self._suffix)

    def _suffix(self) -> str:
        return self._source.take(2).hex()
