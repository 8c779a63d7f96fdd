"""What a target must promise: the interface between proven data and where it goes.

Nothing reaches a target that was not proven before. Every `save_*` call returns only when its rows are
durable (or, for the dry target, at once), is idempotent (the same call again after a crash leaves the same
rows), and splits its work into shielded steps of at most `steps.STEP_BYTES`, so that a signal is answered in
time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.state import Usage
from restore.proof.accumulator import FrozenNode
from restore.proof.batch import Transactions
from restore.proof.builder import NodeRow
from restore.proof.columns import Nodes
from restore.proof.items import StateItems
from restore.target.staged import StagedChunk, StagedTransactions

MAX_REPLAY_VERSIONS = 800_000
"""A node opens a database only while T - V is at most this: it replays these versions into the tree."""


@dataclass(frozen=True, slots=True)
class SnapshotRows:
    """The proven rows of one snapshot chunk.

    Attributes:
        version: the snapshot's version.
        staged: what `stage_chunk` made of the chunk alone.
        nodes: tree nodes besides that can no longer change, in any order.
        last_key_hash: hash of the chunk's last key.
        usage: items and bytes from the snapshot's first chunk to the end of this one.
    """

    version: int
    staged: StagedChunk
    nodes: Sequence[NodeRow]
    last_key_hash: bytes
    usage: Usage


@dataclass(frozen=True, slots=True)
class TransactionRows:
    """Proven consecutive transactions.

    Attributes:
        first_version: version of the first one.
        staged: what `stage_transactions` made of them.
        nodes: hashes of the accumulator nodes that their leaves complete (the leaves themselves included), in
            the order in which they complete, 32 bytes each.
    """

    first_version: int
    staged: Sequence[StagedTransactions]
    nodes: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the finished database holds, for its last rows.

    Attributes:
        target_version: T.
        snapshot_version: V, the version of the tree.
        history_version: first version whose state can be read: K where history was asked for, else V.
    """

    target_version: int
    snapshot_version: int
    history_version: int


class Target(ABC):
    """Where proven data goes."""

    @property
    @abstractmethod
    def keeps_data(self) -> bool:
        """False for the dry target: it needs no tree nodes and no resume mark."""

    @abstractmethod
    async def save_ledger_infos(self, infos: Sequence[SignedLedgerInfo]) -> None:
        """Keeps ledger infos that end their epochs."""

    @abstractmethod
    def stage_chunk(self, version: int, items: StateItems | None, nodes: Nodes) -> StagedChunk:
        """Makes the rows of one snapshot chunk, not proven yet, ready to be kept. For a worker thread.

        Args:
            version: the snapshot's version.
            items: whose values are wanted; None where only the tree is.
            nodes: the chunk's own tree nodes; empty where only values are wanted.
        """

    @abstractmethod
    async def save_snapshot_rows(self, rows: SnapshotRows) -> None:
        """Keeps one chunk: values, then the progress row of key-values, then tree nodes."""

    @abstractmethod
    async def finish_snapshot(self, version: int, usage: Usage, *, nodes: Sequence[NodeRow]) -> None:
        """Keeps the last tree nodes, the root after all others, then the usage at `version`.

        `nodes` is empty where only values were wanted.
        """

    @abstractmethod
    async def save_frozen_subtrees(self, nodes: Sequence[FrozenNode]) -> None:
        """Keeps the frozen subtree roots left of the first saved transaction.

        Raises:
            DamagedTargetError: another hash is already stored at one of the positions.
        """

    @abstractmethod
    def stage_transactions(
        self, transactions: Transactions, part: range, *, replay_from: int | None
    ) -> list[StagedTransactions]:
        """Makes the rows of a part of some transactions ready to be kept. For a worker thread.

        Args:
            transactions: proven ones.
            part: which of them are wanted.
            replay_from: versions from here on also apply their write sets to the state values; None for none.
        """

    @abstractmethod
    async def save_transactions(self, rows: TransactionRows) -> Usage | None:
        """Keeps transactions with all their index rows; applies the write sets that were staged for that.

        Returns:
            The usage after the last version, if any write set was applied.
        """

    @abstractmethod
    async def verify_state(self, outcome: Outcome) -> None:
        """Recomputes the state's root at the last checkpoint up to T, where T > V, and recounts its leaves.

        Raises:
            ProofError: it is not the root that the checkpoint's transaction commits to.
        """

    @abstractmethod
    async def finish(self, outcome: Outcome) -> None:
        """Writes the progress rows, the one that makes the database look complete after all others."""

    @abstractmethod
    async def close(self) -> None:
        """Releases files and locks. Idempotent; never loses what `save_*` returned from."""
