"""Between the controllers' positions and the target's mark: what a run remembers, and how it continues."""

from __future__ import annotations

from typing import Any

import msgspec

from restore.catalog.entries import EpochEndingEntry, StateSnapshotEntry, TransactionEntry
from restore.errors import TrustError, UsageError
from restore.flow.threads import Workers
from restore.ledger.state import Usage
from restore.plan import Plan
from restore.proof.ranges import AccumulatorRangeProof
from restore.proof.trust import TrustedHistory, TrustPolicy
from restore.report.events import Durable, Report
from restore.snapshot import FinishedSnapshot, SnapshotPosition
from restore.target.mark import (
    BEGINNING,
    AccumulatorMark,
    EpochMark,
    Mark,
    PlanMark,
    SnapshotMark,
    StateMark,
    TargetFolder,
    TransactionMark,
    VoucherMark,
)
from restore.transactions import TransactionPosition, Voucher


class Journal:
    """The mark of one run: kept in memory, and after each durable step in the target's folder, if there is
    one.

    Cancellation: a mark that is being written is awaited to the end.
    """

    def __init__(self, folder: TargetFolder | None, workers: Workers, report: Report) -> None:
        self._folder = folder
        self._workers = workers
        self._report = report
        self.mark = folder.load_mark() if folder is not None else BEGINNING

    async def note(self, **changes: Any) -> None:
        """Replaces fields of the mark, durably."""
        self.mark = msgspec.structs.replace(self.mark, **changes)
        if self._folder is not None:
            await self._workers.run(self._folder.save_mark, self.mark)
            self._report(Durable("mark"))

    async def pin(self, history: TrustedHistory) -> None:
        """Notes which chain the target holds.

        Raises:
            TrustError: an earlier run found another one.
        """
        if self.mark.genesis is not None and history.genesis != self.mark.genesis:
            raise TrustError(
                "the backup is of another chain than the target",
                version=0,
                expected=self.mark.genesis,
                found=history.genesis,
            )
        await self.note(genesis=history.genesis)

    async def finish_step(self, **changes: Any) -> None:
        """Notes that the step in progress is complete."""
        await self.note(
            step=self.mark.step + 1, chunk=0, items=0, size=0, tree=None, frontier=None, **changes
        )

    def snapshot_position(self) -> SnapshotPosition:
        """Where the snapshot in progress continues."""
        mark = self.mark
        return SnapshotPosition(mark.chunk, Usage(mark.items, mark.size), mark.tree, mark.frontier)

    async def at_snapshot(self, position: SnapshotPosition) -> None:
        """Notes how far the snapshot is."""
        await self.note(
            chunk=position.chunk,
            items=position.usage.items,
            size=position.usage.bytes,
            tree=position.tree,
            frontier=position.frontier,
        )

    def transaction_position(self) -> TransactionPosition:
        """Where the transactions continue."""
        accumulator, voucher, usage = self.mark.accumulator, self.mark.voucher, self.mark.usage
        return TransactionPosition(
            None if accumulator is None else accumulator.count,
            () if accumulator is None else accumulator.roots,
            None
            if voucher is None
            else Voucher(voucher.ledger_info, AccumulatorRangeProof(voucher.left, voucher.right)),
            None if usage is None else Usage(*usage),
        )

    async def at_transactions(self, position: TransactionPosition) -> None:
        """Notes how far the transactions are."""
        voucher, usage = position.voucher, position.usage
        await self.note(
            accumulator=None if position.count is None else AccumulatorMark(position.count, position.roots),
            voucher=None
            if voucher is None
            else VoucherMark(voucher.ledger_info, voucher.proof.left, voucher.proof.right),
            usage=None if usage is None else (usage.items, usage.bytes),
        )


def refuse_unchecked(trust: TrustPolicy, mark: Mark) -> None:
    """Refuses to write what no ledger info vouches for, into a target that holds none.

    Raises:
        UsageError: ledger infos are to be skipped.
    """
    if trust.skip and mark.ledger_infos is None:
        raise UsageError(
            "epoch endings can be skipped only in a dry run, or on a target that holds the ledger infos",
            hint="leave out --skip-epoch-endings, or add --dry-run",
        )


def state_mark(snapshot: FinishedSnapshot) -> StateMark:
    """What a finished snapshot leaves in the mark."""
    return StateMark(snapshot.root, snapshot.usage.items, snapshot.usage.bytes)


def plan_mark(
    plan: Plan,
    *,
    domain: str,
    history_start: int | None,
    waypoints: tuple[str, ...],
    genesis: bool,
) -> PlanMark:
    """The plan as the target keeps it."""
    kv_snapshot = plan.kv_snapshot
    return PlanMark(
        domain=domain,
        requested=plan.requested,
        history_start=history_start,
        target=plan.target,
        snapshot=_snapshot_mark(plan.snapshot),
        kv_snapshot=None if kv_snapshot is None else _snapshot_mark(kv_snapshot),
        transactions=tuple(
            TransactionMark(entry.first_version, entry.last_version, entry.manifest)
            for entry in plan.transactions
        ),
        epoch_endings=tuple(
            EpochMark(
                entry.first_epoch, entry.last_epoch, entry.first_version, entry.last_version, entry.manifest
            )
            for entry in plan.epoch_endings
        ),
        waypoints=waypoints,
        trust_genesis=genesis,
    )


def plan_of_mark(mark: PlanMark) -> Plan:
    """The plan that a target was begun with."""
    kv_snapshot = mark.kv_snapshot
    return Plan(
        requested=mark.requested,
        target=mark.target,
        snapshot=_snapshot_entry(mark.snapshot),
        kv_snapshot=None if kv_snapshot is None else _snapshot_entry(kv_snapshot),
        transactions=tuple(
            TransactionEntry(first_version=part.first, last_version=part.last, manifest=part.manifest)
            for part in mark.transactions
        ),
        epoch_endings=tuple(
            EpochEndingEntry(
                first_epoch=part.first_epoch,
                last_epoch=part.last_epoch,
                first_version=part.first_version,
                last_version=part.last_version,
                manifest=part.manifest,
            )
            for part in mark.epoch_endings
        ),
    )


def _snapshot_mark(entry: StateSnapshotEntry) -> SnapshotMark:
    return SnapshotMark(entry.epoch, entry.version, entry.manifest)


def _snapshot_entry(mark: SnapshotMark) -> StateSnapshotEntry:
    return StateSnapshotEntry(epoch=mark.epoch, version=mark.version, manifest=mark.manifest)
