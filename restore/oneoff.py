"""`oneoff`: restores one manifest by itself; several of them make a database.

Each is proven as in `bootstrap-db`; ledger infos are checked whenever the backup has epoch endings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from restore.catalog.entries import MAX_U64, EpochEndingEntry, StateSnapshotEntry, TransactionEntry
from restore.catalog.loading import (
    load_epoch_ending_manifest,
    load_state_snapshot_manifest,
    load_transaction_manifest,
)
from restore.epochs import restore_epoch_endings
from restore.errors import (
    MissingFileError,
    UnsafePathError,
    UsageError,
)
from restore.pieces import OneoffRequest, Session, check_continues, check_first_state, restore_piece
from restore.proof.accumulator import Accumulator
from restore.report.events import Report
from restore.report.result import Result, UsageResult
from restore.resume import state_mark
from restore.snapshot import RestoreMode, restore_snapshot
from restore.storage.base import FileHandle, Storage
from restore.target.dry import DryTarget
from restore.target.mark import PieceMark
from restore.transactions import TransactionRange, restore_transactions

T = TypeVar("T")


async def oneoff_epoch_ending(request: OneoffRequest, report: Report, *, manifest: str) -> Result:
    """Verifies one epoch-ending backup, with those before it, and keeps its ledger infos.

    Raises:
        RestoreError: the class says what to do; see `restore.errors`.
    """
    read = await _load_named(load_epoch_ending_manifest, request.storage, manifest)
    waypoints = read.parsed_waypoints()
    first, last = waypoints[0].version, waypoints[-1].version
    entry = EpochEndingEntry(read.first_epoch, read.last_epoch, first, last, manifest)
    piece = PieceMark(
        kind="epoch-ending", manifest=manifest, options="", first=read.first_epoch, last=read.last_epoch
    )

    async def keep(session: Session) -> Result:
        before = [older for older in session.epoch_endings if older.last_epoch < read.first_epoch]
        bound = MAX_U64 if request.target_version is None else request.target_version
        await restore_epoch_endings(replace(session.run, target=DryTarget()), before, target_version=bound)
        await restore_epoch_endings(session.run, [entry], target_version=bound)
        session.run.history.check_waypoints(target=min(last, bound), versions=())
        await session.journal.pin(session.run.history)
        epochs = session.run.history.epochs_to(bound)
        await session.journal.note(ledger_infos=epochs)
        return Result(
            command="oneoff epoch-ending",
            trust=session.trust,
            waypoints=session.run.history.policy.names,
            epochs=epochs,
        )

    return await restore_piece(request, report, piece, keep, reads_epochs=False)


async def oneoff_state_snapshot(
    request: OneoffRequest, report: Report, *, manifest: str, into_version: int, mode: RestoreMode
) -> Result:
    """Restores one state snapshot.

    Raises:
        UsageError: `into_version` is not the snapshot's version, or lies above the target version.
        RestoreError: the class says what to do; see `restore.errors`.
    """
    read = await _load_named(load_state_snapshot_manifest, request.storage, manifest)
    entry = StateSnapshotEntry(read.epoch, read.version, manifest)
    if into_version != read.version:
        raise UsageError(
            "a snapshot can be restored into its own version only", expected=read.version, found=into_version
        )
    if request.target_version is not None and read.version > request.target_version:
        raise UsageError(
            "the snapshot lies above the target version", expected=request.target_version, found=read.version
        )
    piece = PieceMark(
        kind="state-snapshot",
        manifest=manifest,
        options=mode,
        first=read.version,
        last=read.version,
        has_values=mode != "tree_only",
        has_tree=mode != "kv_only",
    )

    async def keep(session: Session) -> Result:
        check_first_state(session, piece)
        journal = session.journal
        finished = await restore_snapshot(
            session.run, entry, mode=mode, start=journal.snapshot_position(), commit=journal.at_snapshot
        )
        if mode != "kv_only":
            await journal.note(state=state_mark(finished))
        return Result(
            command="oneoff state-snapshot",
            trust=session.trust,
            waypoints=session.run.history.policy.names,
            snapshot_version=read.version,
            state_root_hash=finished.root.hex(),
            state_items=finished.usage.items,
            state_bytes=finished.usage.bytes,
            epochs=session.run.history.epochs_to(read.version),
        )

    return await restore_piece(request, report, piece, keep)


async def oneoff_transaction(
    request: OneoffRequest, report: Report, *, manifest: str, replay_from: int | None
) -> Result:
    """Restores one transaction backup; write sets from `replay_from` on are applied to the state values.

    Raises:
        UsageError: the backup lies above the target version, or does not continue what the target holds.
        RestoreError: the class says what to do; see `restore.errors`.
    """
    read = await _load_named(load_transaction_manifest, request.storage, manifest)
    entry = TransactionEntry(read.first_version, read.last_version, manifest)
    last = (
        read.last_version
        if request.target_version is None
        else min(read.last_version, request.target_version)
    )
    if last < read.first_version:
        raise UsageError("the backup lies above the target version", expected=last, found=read.first_version)
    replays = replay_from is not None and replay_from <= last
    piece = PieceMark(
        kind="transaction",
        manifest=manifest,
        options=f"to {last}, replay from {replay_from}",
        first=read.first_version,
        last=last,
        replayed=replays,
    )

    async def keep(session: Session) -> Result:
        check_continues(session, piece, replay_from if replays else None)
        journal = session.journal
        start = journal.transaction_position()
        position = await restore_transactions(
            session.run,
            [entry],
            TransactionRange(last, replay_from if replays else None),
            start=start,
            commit=journal.at_transactions,
        )
        seed = request.domain.transaction_accumulator
        usage = position.usage
        return Result(
            command="oneoff transaction",
            trust=session.trust,
            waypoints=session.run.history.policy.names,
            target_version=last,
            usage_at_target=None if usage is None else UsageResult(usage.items, usage.bytes),
            transactions=last - session.first_saved(piece) + 1,
            epochs=session.run.history.epochs_to(last),
            ledger_version=last,
            accumulator_root_hash=Accumulator(seed, last + 1, position.roots).root().hex(),
        )

    return await restore_piece(request, report, piece, keep, reach=read.last_version)


async def _load_named(
    load: Callable[[Storage, FileHandle], Awaitable[T]], storage: Storage, manifest: FileHandle
) -> T:
    """Loads the manifest that the user named; if it is not there, the mistake is not the backup's."""
    try:
        return await load(storage, manifest)
    except (MissingFileError, UnsafePathError) as error:
        raise UsageError(
            "no such manifest in the backup",
            file=manifest,
            hint="give its handle, relative to the backup's folder; the plan command lists them",
        ) from error
