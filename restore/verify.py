"""`verify`: the same controllers over a target that keeps nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass

from restore.catalog.entries import MAX_U64, StateSnapshotEntry, TransactionEntry
from restore.catalog.mirror import PRIVATE, MirrorOptions, load_view
from restore.catalog.view import Gap, MetadataView
from restore.epochs import restore_epoch_endings
from restore.errors import UnreachableError
from restore.fetch import Fetcher
from restore.flow.slots import Slots
from restore.ledger.hashes import APTOS, Domain
from restore.limits import Limits
from restore.proof.accumulator import Accumulator
from restore.proof.trust import TrustedHistory, TrustPolicy
from restore.report.events import Notice, Report
from restore.report.result import Result
from restore.run import Run
from restore.snapshot import FinishedSnapshot, SnapshotPosition, restore_snapshot
from restore.storage.base import Storage
from restore.target.dry import DryTarget
from restore.transactions import TransactionPosition, TransactionRange, restore_transactions

COMMAND = "verify"


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What is to be verified.

    Attributes:
        storage: where the backup is.
        start_version: first version whose transaction backup is verified, 0 for the oldest; None for none.
        end_version: last one; None for the newest.
        state_snapshot_before_version: the newest snapshot strictly before this version is verified; None for
            the newest of all, 0 for none.
        trust: what the proofs must end in.
        limits: bounds of the run.
        slots: how many chunks may be in progress; always `limits.concurrency` if not given.
        metadata: where the backup's metadata is kept.
        domain: the network's hashes.
    """

    storage: Storage
    start_version: int | None
    end_version: int | None
    state_snapshot_before_version: int | None
    trust: TrustPolicy
    limits: Limits
    slots: Slots | None = None
    metadata: MirrorOptions = PRIVATE
    domain: Domain = APTOS


async def verify(request: VerifyRequest, report: Report) -> Result:
    """Verifies all epoch endings, one state snapshot and the transactions asked for; writes nothing anywhere.

    Raises:
        RestoreError: the class says what to do; see `restore.errors`. Metadata that does not parse is told
            first and raised last: what the rest of it names is verified all the same.

    Bounds: `request.limits`.
    """
    began = time.monotonic()
    request.trust.check()
    view = await load_view(
        request.storage, request.metadata, concurrency=request.limits.concurrency, report=report
    )
    for problem in view.problems:
        report(Notice(str(problem), warning=True))
    try:
        result = await _verify_view(view, request, report, began=began)
    except UnreachableError:
        view.require_complete()  # the gap may be where a line does not parse
        raise
    view.require_complete()
    return result


async def _verify_view(view: MetadataView, request: VerifyRequest, report: Report, *, began: float) -> Result:
    """Verifies what `view` names."""
    snapshot = _choose_snapshot(view, request)
    backups = _choose_transactions(view, request)
    if request.trust.skip:
        report(Notice("epoch endings are skipped: no signature is checked", warning=True))
    last = _last_version(backups, request)
    versions = [] if snapshot is None else [snapshot.version]
    versions += [] if last is None else [last]
    first_used = min([*versions, *(entry.first_version for entry in backups[:1])], default=0)
    history = TrustedHistory(request.trust, request.domain, keep_from=first_used)
    async with Fetcher(request.storage, request.limits, slots=request.slots) as fetcher:
        run = Run(fetcher, request.domain, history, DryTarget(), report, request.metadata)
        await _verify_epochs(run, view, tuple(versions))
        finished = None if snapshot is None else await _verify_snapshot(run, snapshot)
        position = await _verify_transactions(run, backups, last)
    target = last if last is not None else max(versions, default=None)
    return Result(
        command=COMMAND,
        trust=request.trust.name,
        waypoints=request.trust.names,
        requested_version=request.end_version,
        target_version=target,
        snapshot_version=None if snapshot is None else snapshot.version,
        state_root_hash=None if finished is None else finished.root.hex(),
        state_items=None if finished is None else finished.usage.items,
        state_bytes=None if finished is None else finished.usage.bytes,
        transactions=None if position.count is None else position.count - backups[0].first_version,
        epochs=history.epochs if target is None else history.epochs_to(target),
        ledger_version=target,
        accumulator_root_hash=_accumulator_root(request.domain, position),
        seconds=round(time.monotonic() - began, 3),
    )


async def _verify_epochs(run: Run, view: MetadataView, versions: tuple[int, ...]) -> None:
    if run.history.policy.skip:
        return
    coverage = view.cover_epochs()
    if not coverage.entries:
        raise UnreachableError(f"no epoch endings from the beginning: {coverage.gap}")
    _refuse_gap(coverage.gap)
    await restore_epoch_endings(run, coverage.entries, target_version=MAX_U64)
    run.history.check_waypoints(target=MAX_U64, versions=versions)


async def _verify_snapshot(run: Run, snapshot: StateSnapshotEntry) -> FinishedSnapshot:
    async def keep_nothing(position: SnapshotPosition) -> None:
        """Each verify begins anew."""

    return await restore_snapshot(
        run, snapshot, mode="default", start=SnapshotPosition(), commit=keep_nothing
    )


async def _verify_transactions(
    run: Run, backups: tuple[TransactionEntry, ...], last: int | None
) -> TransactionPosition:
    async def keep_nothing(position: TransactionPosition) -> None:
        """Each verify begins anew."""

    if last is None:
        return TransactionPosition()
    return await restore_transactions(
        run, backups, TransactionRange(last, None), start=TransactionPosition(), commit=keep_nothing
    )


def _choose_snapshot(view: MetadataView, request: VerifyRequest) -> StateSnapshotEntry | None:
    before = request.state_snapshot_before_version
    snapshots = view.snapshots_before(MAX_U64 if before is None else before, inclusive=before is None)
    return snapshots[0] if snapshots else None


def _choose_transactions(view: MetadataView, request: VerifyRequest) -> tuple[TransactionEntry, ...]:
    """The backups from the one that holds the first version asked for, without a gap up to the last.

    Raises:
        UnreachableError: a gap, named with its neighbours.
    """
    if request.start_version is None or not view.transactions:
        return ()
    oldest = min(entry.first_version for entry in view.transactions)
    newest = max(entry.last_version for entry in view.transactions)
    last = newest if request.end_version is None else request.end_version
    first = request.start_version or oldest
    if not first <= last <= newest:
        raise UnreachableError(
            "the backup does not hold the transactions asked for",
            expected=f"{first} to {last}",
            found=f"{oldest} to {newest}",
            hint="ask for versions that the backup holds; the plan command lists its transactions",
        )
    coverage = view.cover_transactions(first, last)
    _refuse_gap(coverage.gap)
    return tuple(coverage.entries)


def _last_version(backups: tuple[TransactionEntry, ...], request: VerifyRequest) -> int | None:
    """The last version whose transaction is verified; None for none."""
    if not backups:
        return None
    return backups[-1].last_version if request.end_version is None else request.end_version


def _refuse_gap(gap: Gap | None) -> None:
    if gap is not None:
        raise UnreachableError(str(gap), hint="verify the ranges on either side of the gap by themselves")


def _accumulator_root(domain: Domain, position: TransactionPosition) -> str | None:
    if position.count is None:
        return None
    return Accumulator(domain.transaction_accumulator, position.count, position.roots).root().hex()
