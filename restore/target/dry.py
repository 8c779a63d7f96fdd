"""The target that keeps nothing: everything is proven on the way here, and then dropped."""

from __future__ import annotations

from collections.abc import Sequence

from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.state import Usage
from restore.proof.accumulator import FrozenNode
from restore.proof.batch import Transactions
from restore.proof.builder import NodeRow
from restore.proof.columns import Nodes
from restore.proof.items import StateItems
from restore.target.base import Outcome, SnapshotRows, Target, TransactionRows
from restore.target.staged import StagedChunk, StagedTransactions


class DryTarget(Target):
    """Takes proven data and keeps none of it: for `verify` and `--dry-run`."""

    @property
    def keeps_data(self) -> bool:
        """False: nothing is kept."""
        return False

    async def save_ledger_infos(self, infos: Sequence[SignedLedgerInfo]) -> None:
        """Drops the ledger infos."""

    def stage_chunk(self, version: int, items: StateItems | None, nodes: Nodes) -> StagedChunk:  # noqa: ARG002
        """Makes nothing."""
        return StagedChunk()

    async def save_snapshot_rows(self, rows: SnapshotRows) -> None:
        """Drops the rows."""

    async def finish_snapshot(self, version: int, usage: Usage, *, nodes: Sequence[NodeRow]) -> None:
        """Drops the rows."""

    async def save_frozen_subtrees(self, nodes: Sequence[FrozenNode]) -> None:
        """Drops the nodes."""

    def stage_transactions(
        self,
        transactions: Transactions,  # noqa: ARG002
        part: range,  # noqa: ARG002
        *,
        replay_from: int | None,  # noqa: ARG002
    ) -> list[StagedTransactions]:
        """Makes nothing."""
        return []

    async def save_transactions(self, rows: TransactionRows) -> Usage | None:
        """Drops the rows; no state is built, so there is no usage after them."""

    async def verify_state(self, outcome: Outcome) -> None:
        """Builds no state: the signed infos vouch for its root, and each write set for its change."""

    async def finish(self, outcome: Outcome) -> None:
        """Has nothing to finish."""

    async def close(self) -> None:
        """Holds nothing open."""
