"""What is reachable from a backup, from which of its files, and why not more: metadata in, plan out.

The newest state snapshot at or below the target is the base: an older one can reach no further, since its
transactions would have to cross the same gaps. Continuity is required over what is used, not over the
archive.

Source: design.md, Target and Continuity; spec/backup-format.md 6.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from restore.catalog.entries import EpochEndingEntry, StateSnapshotEntry, TransactionEntry
from restore.catalog.view import Gap, MetadataView
from restore.errors import DataError, UnreachableError
from restore.target.base import MAX_REPLAY_VERSIONS


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What the user asks of the backup.

    Attributes:
        target_version: the version wanted; None for the newest that a node can open.
        history_start: first version whose state must stay readable; None for the snapshot's own.
        accept_older: whether less than asked for is still welcome.
        check_epochs: whether snapshots must lie within the epoch endings (not so when those are skipped).
    """

    target_version: int | None = None
    history_start: int | None = None
    accept_older: bool = False
    check_epochs: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore will do.

    Attributes:
        requested: the version asked for; None if the newest.
        target: T, the last version that will be restored.
        snapshot: the state snapshot whose tree is restored, at V.
        kv_snapshot: the older one at K where the state history starts; None if it starts at V.
        transactions: the transaction backups from the one that holds K (or V) to the one that holds T.
        epoch_endings: the epoch-ending backups from epoch 0 on that vouch for all of these.
        notes: why not more, and which metadata could not be read, one sentence each.
        gaps: what is missing between the backups looked at.
    """

    requested: int | None
    target: int
    snapshot: StateSnapshotEntry
    kv_snapshot: StateSnapshotEntry | None
    transactions: tuple[TransactionEntry, ...]
    epoch_endings: tuple[EpochEndingEntry, ...]
    notes: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def first_saved(self) -> int:
        """First version of the ledger history that will be kept."""
        return self.transactions[0].first_version

    @property
    def history_version(self) -> int:
        """First version whose state will be readable: K, or V."""
        return (self.kv_snapshot or self.snapshot).version

    @property
    def snapshots(self) -> tuple[StateSnapshotEntry, ...]:
        """The snapshots in the order of their restoring."""
        return (self.snapshot,) if self.kv_snapshot is None else (self.kv_snapshot, self.snapshot)


def make_plan(view: MetadataView, request: PlanRequest) -> Plan:
    """Chooses what to restore.

    Where a metadata line could not be read, nobody knows what the newest version is, so one has to be asked
    for; whatever reaches that is continuous without the line.

    Raises:
        UnreachableError: nothing can be restored, or less than asked for and `accept_older` is not set; the
            message says what is reachable and what stands in the way.
        DataError: the newest version is asked for, and a metadata line could not be read.
    """
    if request.target_version is None:
        view.require_complete()
    try:
        return _plan(view, request)
    except UnreachableError as error:
        if view.problems:
            error.hint = f"what is missing may stand in what could not be read: {_first_of(view.problems)}"
        raise


def _first_of(problems: Sequence[DataError]) -> str:
    more = len(problems) - 1
    return f"{problems[0]}; and {more} more" if more else str(problems[0])


def _plan(view: MetadataView, request: PlanRequest) -> Plan:
    reach = _Reach(view, request)
    snapshot, target = reach.newest_base()
    kv_snapshot = reach.history_base(snapshot, target)
    if request.target_version is not None and target < request.target_version and not request.accept_older:
        raise UnreachableError(
            f"version {request.target_version} is not reachable, only {target} is: {'; '.join(reach.notes)}",
            expected=request.target_version,
            found=target,
        )
    first_used = snapshot if kv_snapshot is None else kv_snapshot
    transactions = view.cover_transactions(first_used.version, target).entries
    return Plan(
        requested=request.target_version,
        target=target,
        snapshot=snapshot,
        kv_snapshot=kv_snapshot,
        transactions=transactions,
        epoch_endings=tuple(
            # Up to the end of the last backup, not to the target: the ledger info of the chunk that holds the
            # target may be of a later epoch.
            entry
            for entry in view.cover_epochs().entries
            if entry.first_version <= transactions[-1].last_version
        ),
        notes=(*map(str, view.problems), *reach.notes),
        gaps=tuple(dict.fromkeys(reach.gaps)),
    )


class _Reach:
    """How far the backup's pieces reach; collects the reasons why not further."""

    def __init__(self, view: MetadataView, request: PlanRequest) -> None:
        self._view = view
        self._request = request
        self._epochs = view.cover_epochs()
        self.notes: list[str] = []
        self.gaps: list[Gap] = []

    def newest_base(self) -> tuple[StateSnapshotEntry, int]:
        """The newest usable snapshot and the version that transactions reach from it."""
        if not self._view.transactions:
            raise UnreachableError("the backup has no transactions")
        newest = max(entry.last_version for entry in self._view.transactions)
        requested = self._request.target_version
        wanted = newest if requested is None else requested
        if wanted > newest:
            self.notes.append(f"the newest transaction in the backup is {newest}")
        wanted = self._within_epochs(wanted)
        for snapshot in self._view.snapshots_before(wanted, inclusive=True):
            if self._is_usable(snapshot):
                return snapshot, self._reached(snapshot, wanted)
        versions = [snapshot.version for snapshot in self._view.state_snapshots]
        self.notes.append(f"state snapshots in the backup: {versions or 'none'}")
        raise UnreachableError(
            f"no usable state snapshot at or below version {wanted}: {'; '.join(self.notes)}",
            expected=wanted,
            hint="ask for a version at or above one of the snapshots",
        )

    def history_base(self, snapshot: StateSnapshotEntry, target: int) -> StateSnapshotEntry | None:
        """The newest snapshot at or below the history's start from which transactions reach `snapshot`."""
        start = self._request.history_start
        if start is None or start >= snapshot.version:
            return None
        for older in self._view.snapshots_before(start, inclusive=True):
            coverage = self._view.cover_transactions(older.version, target)
            if coverage.gap is None and self._is_usable(older):
                return older
            self._note_gap(f"no history from the snapshot at {older.version}: ", coverage.gap)
        if not self._request.accept_older:
            raise UnreachableError(
                f"no usable state snapshot at or below the history start {start}: "
                + ("; ".join(self.notes) or "the backup has none so old"),
                expected=start,
                found=snapshot.version,
            )
        self.notes.append(f"the state history starts at {snapshot.version}, not at {start}")
        return None

    def _note_gap(self, why: str, gap: Gap | None) -> None:
        if gap is not None:
            self.notes.append(f"{why}{gap}")
            self.gaps.append(gap)

    def _within_epochs(self, wanted: int) -> int:
        """Lowers `wanted` to the last chained epoch ending, if the backup shows that later epochs ended too.

        Nobody can check the ledger infos of those. They show by endings that are not chained, or
        by snapshots.
        """
        if not self._request.check_epochs:
            return wanted
        gap = self._epochs.gap
        if not self._epochs.entries:
            self._note_gap("no epoch endings from the beginning: ", gap)
            return wanted
        end = self._epochs.entries[-1]
        if wanted <= end.last_version:
            return wanted
        if gap is not None:
            self._note_gap(f"epoch endings are continuous up to version {end.last_version} only: ", gap)
            return end.last_version
        for snapshot in self._view.snapshots_before(wanted, inclusive=True):
            if snapshot.epoch > end.last_epoch and snapshot.version > end.last_version:
                self.notes.append(
                    f"epoch endings reach epoch {end.last_epoch} at version {end.last_version} only; "
                    f"the snapshot at version {snapshot.version} is of epoch {snapshot.epoch}"
                )
                return end.last_version
        return wanted

    def _is_usable(self, snapshot: StateSnapshotEntry) -> bool:
        last_epoch = self._epochs.entries[-1].last_epoch if self._epochs.entries else -1
        if self._request.check_epochs and snapshot.epoch > last_epoch:
            self.notes.append(
                f"the snapshot at version {snapshot.version} is of epoch {snapshot.epoch}, "
                f"epoch endings reach {last_epoch if last_epoch >= 0 else 'none'}"
            )
            return False
        coverage = self._view.cover_transactions(snapshot.version, snapshot.version)
        self._note_gap(f"no transactions for the snapshot at {snapshot.version}: ", coverage.gap)
        return coverage.gap is None

    def _reached(self, snapshot: StateSnapshotEntry, wanted: int) -> int:
        coverage = self._view.cover_transactions(snapshot.version, wanted)
        reached = min(wanted, coverage.entries[-1].last_version)
        self._note_gap("", coverage.gap)
        furthest = snapshot.version + MAX_REPLAY_VERSIONS
        if reached <= furthest:
            return reached
        if self._request.target_version is None:
            self.notes.append(
                f"transactions reach {reached}, but a node replays at most {MAX_REPLAY_VERSIONS} versions "
                f"after the snapshot at {snapshot.version}; so the target is the snapshot itself"
            )
            return snapshot.version
        self.notes.append(
            f"a node opens a database only up to {MAX_REPLAY_VERSIONS} versions after its snapshot: "
            f"from {snapshot.version} to {furthest}"
        )
        return furthest
