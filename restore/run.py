"""What the controllers of one run share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from restore.catalog.mirror import PRIVATE, MirrorOptions
from restore.fetch import Fetcher
from restore.flow.stream import OrderedStream
from restore.ledger.hashes import Domain
from restore.proof.trust import TrustedHistory
from restore.report.events import Queued, Report
from restore.target.base import Target


@dataclass(frozen=True, slots=True)
class Run:
    """One run's means: where bytes come from, what is trusted, where proven data goes, who is told.

    Attributes:
        fetcher: the storage under budgets, and the worker threads.
        domain: the network's hashes.
        history: the verified epoch endings.
        target: where proven data goes.
        report: takes events.
        metadata: where the backup's metadata is kept, and beside it what was verified of its history.
    """

    fetcher: Fetcher
    domain: Domain
    history: TrustedHistory
    target: Target
    report: Report
    metadata: MirrorOptions = PRIVATE

    def tell_depth(self, phase: str, stream: OrderedStream[Any, Any]) -> None:
        """Tells how many chunks of a phase are in progress, and how many wait for their turn."""
        depth = stream.statistics()
        self.report(Queued(phase, depth.running, depth.held - depth.running))
