"""What a backup holds and what of it a restore would use: metadata and manifests only, no chunk is read."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from restore.catalog.loading import (
    load_epoch_ending_manifest,
    load_state_snapshot_manifest,
    load_transaction_manifest,
)
from restore.catalog.mirror import PRIVATE, MirrorOptions, load_view
from restore.flow.stream import OrderedStream
from restore.limits import Limits
from restore.plan import Plan, PlanRequest, make_plan
from restore.report.events import Report, silent
from restore.storage.base import FileHandle, Storage


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that the plan reads; `size` in bytes where the storage tells it."""

    handle: FileHandle
    size: int | None


@dataclass(frozen=True, slots=True)
class Survey:
    """A plan with its files.

    Attributes:
        plan: what would be restored.
        files: what would be read, in the order of reading.
        free_disk: bytes free where the target would lie; None without a target.
    """

    plan: Plan
    files: tuple[PlannedFile, ...]
    free_disk: int | None

    @property
    def size(self) -> int | None:
        """Bytes of all files; None where one is unknown."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


async def survey(
    storage: Storage,
    request: PlanRequest,
    *,
    limits: Limits,
    target: Path | None,
    metadata: MirrorOptions = PRIVATE,
    report: Report = silent,
) -> Survey:
    """Plans, and lists what the plan would read.

    Args:
        storage: where the backup is.
        request: what is wanted.
        limits: bounds of the run.
        target: where the target would lie.
        metadata: where the backup's metadata is kept.
        report: takes events.

    Raises:
        UnreachableError: as `make_plan`.
        ManifestError: a manifest that does not parse or contradicts itself.
    """
    view = await load_view(storage, metadata, concurrency=limits.concurrency, report=report)
    plan = make_plan(view, request)
    handles: list[FileHandle] = []
    for entry in plan.epoch_endings:
        endings = await load_epoch_ending_manifest(storage, entry.manifest)
        handles += [entry.manifest, *(chunk.ledger_infos for chunk in endings.chunks)]
    for snapshot in plan.snapshots:
        state = await load_state_snapshot_manifest(storage, snapshot.manifest)
        handles += [snapshot.manifest, state.proof]
        handles += [handle for chunk in state.chunks for handle in (chunk.blobs, chunk.proof)]
    for backup in plan.transactions:
        transactions = await load_transaction_manifest(storage, backup.manifest)
        handles.append(backup.manifest)
        handles += [
            handle
            for chunk in transactions.chunks
            if chunk.first_version <= plan.target
            for handle in (chunk.transactions, chunk.proof)
        ]

    async def measure(handle: FileHandle) -> PlannedFile:
        return PlannedFile(handle, await storage.size_of(handle))

    async with OrderedStream(handles, measure, concurrency=limits.concurrency) as measured:
        files = [file async for file in measured]
    return Survey(plan, tuple(files), None if target is None else _free_disk(target))


def _free_disk(target: Path) -> int:
    """Bytes free on the file system that would hold `target`."""
    existing = target.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free
