"""What a backup holds, made of all metadata lines, and what of it covers a range.

Continuity is required over what is used, not over the archive: exact duplicates collapse; of overlapping
ranges the one that reaches furthest is taken, then the lowest handle; a gap names both neighbours.

Source: spec/backup-format.md 4.1; design.md, Continuity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Generic, Self, TypeVar

from restore.catalog.entries import BackupEntry, Entry, EpochEndingEntry, StateSnapshotEntry, TransactionEntry
from restore.errors import DataError

Ranged = TypeVar("Ranged", EpochEndingEntry, TransactionEntry)


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers that no backup holds.

    Attributes:
        unit: "epochs" or "versions".
        first: the first one missing.
        last: the last one missing; None where nothing follows.
        after: manifest of the backup before the gap; None at the beginning.
        before: manifest of the backup after it; None at the end.
    """

    unit: str
    first: int
    last: int | None
    after: str | None
    before: str | None

    def __str__(self) -> str:
        """One clause."""
        if self.before is None:
            return f"no {self.unit} from {self.first} on (the last backup is {self.after or 'none'})"
        return (
            f"{self.unit} {self.first} to {self.last} are missing "
            f"(between {self.after or 'the beginning'} and {self.before})"
        )


@dataclass(frozen=True, slots=True)
class Coverage(Generic[Ranged]):
    """Backups that cover a range from its beginning, in order; `gap` where they stop short of its end."""

    entries: tuple[Ranged, ...]
    gap: Gap | None


@dataclass(frozen=True, slots=True)
class StorageState:
    """The newest of what a storage holds; None where it holds none."""

    latest_epoch_ending_epoch: int | None
    latest_state_snapshot_epoch: int | None
    latest_state_snapshot_version: int | None
    latest_transaction_version: int | None

    def __str__(self) -> str:
        """The line of the Rust tool, which programs find among others by its words."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ", ".join(f"{name}: {'none' if value is None else value}" for name, value in values)


class MetadataView:
    """All backups of a storage, as far as its metadata could be read.

    Attributes:
        epoch_endings, state_snapshots, transactions: each sorted, without exact duplicates.
        problems: one for each line that could not be read, by file and place; it is missing above.
    """

    def __init__(self, entries: Iterable[Entry], problems: Iterable[DataError] = ()) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file or "", problem.offset or 0)))
        everything = list(entries)
        self.epoch_endings = _sorted(everything, EpochEndingEntry)
        self.state_snapshots = _sorted(everything, StateSnapshotEntry)
        self.transactions = _sorted(everything, TransactionEntry)

    @classmethod
    def of_sorted(
        cls,
        *,
        epoch_endings: tuple[EpochEndingEntry, ...],
        state_snapshots: tuple[StateSnapshotEntry, ...],
        transactions: tuple[TransactionEntry, ...],
    ) -> Self:
        """The view whose entries were sorted, and freed of duplicates, before."""
        view = cls(())
        view.epoch_endings = epoch_endings
        view.state_snapshots = state_snapshots
        view.transactions = transactions
        return view

    def require_complete(self) -> None:
        """Checks that every line could be read: otherwise nobody knows what the newest backup is.

        Raises:
            DataError: the first one that could not.
        """
        if self.problems:
            raise self.problems[0]

    def state(self) -> StorageState:
        """The newest of each kind; of the snapshots that of the latest epoch, then of the highest version."""
        snapshot = self.state_snapshots[-1] if self.state_snapshots else None
        return StorageState(
            max((entry.last_epoch for entry in self.epoch_endings), default=None),
            None if snapshot is None else snapshot.epoch,
            None if snapshot is None else snapshot.version,
            max((entry.last_version for entry in self.transactions), default=None),
        )

    def cover_epochs(self) -> Coverage[EpochEndingEntry]:
        """The epoch endings from epoch 0 on, as far as they are continuous."""
        newest = max((entry.last_epoch for entry in self.epoch_endings), default=0)
        return _cover(self.epoch_endings, "epochs", 0, newest)

    def cover_transactions(self, first: int, last: int) -> Coverage[TransactionEntry]:
        """The transaction backups that hold `first` to `last`, as far as they are continuous."""
        return _cover(self.transactions, "versions", first, last)

    def snapshots_before(self, version: int, *, inclusive: bool) -> list[StateSnapshotEntry]:
        """The snapshots below `version` (or at it), the newest first."""
        bound = version + 1 if inclusive else version
        below = [entry for entry in reversed(self.state_snapshots) if entry.version < bound]
        # The view is sorted by epoch; a metadata line may claim a late epoch for an early version.
        return sorted(below, key=lambda entry: entry.version, reverse=True)


def _sorted(entries: Sequence[Entry], kind: type[BackupEntry]) -> tuple[BackupEntry, ...]:
    return tuple(sorted({entry for entry in entries if isinstance(entry, kind)}))


def _cover(entries: Sequence[Ranged], unit: str, first: int, last: int) -> Coverage[Ranged]:
    """Covers first..last greedily: always the backup that reaches furthest among those that hold the next
    one.

    `entries` ascend by where they begin. No other choice reaches further: whatever a shorter one leads to can
    be taken after the longer one too.
    """
    chosen: list[Ranged] = []
    wanted, index = first, 0
    best: Ranged | None = None
    while wanted <= last:
        while index < len(entries) and entries[index].bounds[0] <= wanted:
            entry = entries[index]
            if best is None or (-entry.bounds[1], entry.manifest) < (-best.bounds[1], best.manifest):
                best = entry
            index += 1
        if best is None or best.bounds[1] < wanted:
            leader = chosen[-1] if chosen else best
            follower = entries[index] if index < len(entries) else None
            gap = Gap(
                unit,
                wanted if leader is None else leader.bounds[1] + 1,
                None if follower is None else follower.bounds[0] - 1,
                None if leader is None else leader.manifest,
                None if follower is None else follower.manifest,
            )
            return Coverage(tuple(chosen), gap)
        chosen.append(best)
        wanted = best.bounds[1] + 1
    return Coverage(tuple(chosen), None)
