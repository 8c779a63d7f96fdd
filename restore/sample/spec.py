"""What a sample is asked for, and what it turns out to hold.

Versions are planned before anything is made: version 0 is genesis (epoch 0), each of the epochs after it ends
with a signed ledger info, and the head is the beginning of one more epoch that has not ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from restore.errors import UsageError
from restore.ledger.state import Usage
from restore.ledger.transaction import ChunkFormat
from restore.ledger.waypoint import Waypoint

MIN_EPOCH_TRANSACTIONS = 6
"""Room for a block with user transactions and for the block that ends the epoch."""

MIN_STATE_ITEMS = 100
"""The framework's items and some that users have."""


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """How large the sample is. The same spec makes the same bytes.

    Attributes:
        seed: of everything in it.
        state_items: items at version 0.
        epochs: epochs after genesis that end.
        transactions: versions in all, genesis included, so the last version is one less.
        validators: of each epoch; one of them is replaced every epoch.
        tail_epochs: epochs that end after the newest snapshot.
        head_transactions: transactions after the last epoch that ended; the newest proofs then carry ledger
            infos that end no epoch. 0 for none, else at least 2.
        snapshot_interval_epochs: a snapshot every so many epochs, counted back from the newest; 0 for the
            newest alone.
        snapshot_chunks: chunks of a snapshot, about.
        transactions_per_backup: the backups end at multiples of it; the first one is genesis alone.
        transaction_chunk_bytes: largest chunk of transactions.
        epochs_per_backup: epochs in each of the older epoch-ending backups; the newer half has one each.
    """

    seed: int = 1
    state_items: int = 2000
    epochs: int = 4
    transactions: int = 400
    validators: int = 4
    tail_epochs: int = 2
    head_transactions: int = 30
    snapshot_interval_epochs: int = 1
    snapshot_chunks: int = 8
    transactions_per_backup: int = 80
    transaction_chunk_bytes: int = 32 << 10
    epochs_per_backup: int = 3

    @property
    def last_version(self) -> int:
        """The newest version: T."""
        return self.transactions - 1

    @property
    def newer_epoch(self) -> int:
        """From this epoch on blocks and records have the forms of newer software; at least one epoch has."""
        return self.epochs // 2 + 1

    @property
    def snapshot_epochs(self) -> tuple[int, ...]:
        """The epochs at whose end the state is saved, in order."""
        newest = self.epochs - self.tail_epochs
        interval = self.snapshot_interval_epochs
        return tuple(sorted(range(newest, -1, -interval))) if interval else (newest,)

    def epoch_ends(self) -> tuple[int, ...]:
        """The last version of each epoch that ends, genesis's first: equal shares of the versions."""
        rest = self.transactions - 1 - self.head_transactions
        return tuple(rest * epoch // self.epochs for epoch in range(self.epochs + 1))

    def backup_ranges(self) -> tuple[tuple[int, int], ...]:
        """First and last version of each transaction backup."""
        size = self.transactions_per_backup
        starts = [0, *range(1, self.transactions, size)]
        return tuple((start, min(start + size - 1 if start else 0, self.last_version)) for start in starts)

    def format_of(self, last_version: int) -> ChunkFormat:
        """The format of the backup that ends at `last_version`; V0 has no room for auxiliary infos."""
        return "V1" if last_version > self.epoch_ends()[self.newer_epoch - 1] else "V0"

    def check(self) -> None:
        """Refuses a spec that no chain can follow.

        Raises:
            UsageError: naming the value.
        """
        head = self.head_transactions
        needed = 1 + self.epochs * MIN_EPOCH_TRANSACTIONS + head
        for name, value, least, most in (
            ("state_items", self.state_items, MIN_STATE_ITEMS, 10**9),
            ("epochs", self.epochs, 1, 10**6),
            ("transactions", self.transactions, needed, 10**9),
            ("validators", self.validators, 1, 1000),
            ("tail_epochs", self.tail_epochs, 0, self.epochs),
            ("head_transactions", head, 2 if head else 0, self.transactions),
            ("snapshot_interval_epochs", self.snapshot_interval_epochs, 0, 10**6),
            ("snapshot_chunks", self.snapshot_chunks, 1, self.state_items),
            ("transactions_per_backup", self.transactions_per_backup, 1, 10**9),
            ("transaction_chunk_bytes", self.transaction_chunk_bytes, 1, 128 << 20),
            ("epochs_per_backup", self.epochs_per_backup, 1, 10**6),
        ):
            if not least <= value <= most:
                raise UsageError(
                    f"sample with this {name} is impossible", expected=f"{least} to {most}", found=value
                )


@dataclass(frozen=True, slots=True)
class SampleSnapshot:
    """One state snapshot of the backup.

    Attributes:
        epoch: the epoch that ends at its version.
        version: the snapshot's version.
        root_hash: of the state tree.
        usage: items and bytes.
        chunks: how many it has.
        manifest: handle of its manifest.
    """

    epoch: int
    version: int
    root_hash: bytes
    usage: Usage
    chunks: int
    manifest: str


@dataclass(frozen=True, slots=True)
class SampleBackup:
    """A sample backup, and what a restore of it must come to.

    Attributes:
        spec: what was asked for.
        root: the folder, a LocalFs storage.
        waypoints: of the epoch endings, by epoch; the first is genesis's.
        snapshots: in order of their versions.
        state_roots: state root by version, for every checkpoint.
        usages: usage after each version from 0 to the last.
        accumulator_roots: root of the transaction accumulator after each version from 0 to the last.
    """

    spec: SampleSpec
    root: Path
    waypoints: tuple[Waypoint, ...]
    snapshots: tuple[SampleSnapshot, ...]
    state_roots: dict[int, bytes]
    usages: tuple[Usage, ...]
    accumulator_roots: tuple[bytes, ...]

    @property
    def genesis_waypoint(self) -> Waypoint:
        """What a user would trust."""
        return self.waypoints[0]

    @property
    def last_version(self) -> int:
        """The newest version: T."""
        return self.spec.last_version

    @property
    def epoch_ends(self) -> tuple[int, ...]:
        """The last version of each epoch that ends."""
        return self.spec.epoch_ends()
