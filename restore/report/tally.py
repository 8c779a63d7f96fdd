"""What became of a run's transfers, and what its stages took, counted from its events, for the result."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from restore.report.events import (
    ConcurrencyChanged,
    Event,
    Hedged,
    Live,
    Received,
    Retried,
    Stage,
    Stalled,
    Throttled,
    Worked,
)


class StageFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage of a phase did.

    Attributes:
        seconds: the sum over all chunks, of which many are in progress at once.
        items: units of the phase; 0 for waits.
        bytes: those that the stage read; 0 for waits.
    """

    seconds: float = 0.0
    items: int = 0
    bytes: int = 0


class TransferFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How the transfers of a run went, what its stages took, and the most that it held at once.

    Attributes:
        bytes_downloaded: those that came twice included; as they were on the wire, packed, or as a command of
            a configuration printed them, mostly unpacked.
        retries: requests and commands that were tried again.
        stalls: transfers and commands that were given up because they made no progress.
        hedges: transfers that were requested a second time because they were late.
        throttles: how often the storage asked for a pause.
        concurrency: chunks in progress at once, as it was set last; None where it never changed.
        peak_connections: open connections.
        peak_children: child processes.
        peak_descriptors: open descriptors of the process.
        peak_memory_bytes: resident memory of the process.
        stages: what its phases did, by stage.
    """

    bytes_downloaded: int = 0
    retries: int = 0
    stalls: int = 0
    hedges: int = 0
    throttles: int = 0
    concurrency: int | None = None
    peak_connections: int = 0
    peak_children: int = 0
    peak_descriptors: int = 0
    peak_memory_bytes: int = 0
    stages: Mapping[str, Mapping[Stage, StageFigures]] = {}


class Tally:
    """A `Report` that counts what concerns transfers and stages, and leaves the rest to others."""

    def __init__(self) -> None:
        self.received = self.retries = self.stalls = self.hedges = self.throttles = 0
        self.concurrency: int | None = None
        self._peaks: dict[str, int] = {}
        self._stages: dict[str, dict[Stage, StageFigures]] = {}

    def __call__(self, event: Event) -> None:
        """Counts `event`."""
        match event:
            case Received():
                self.received += event.size
            case Live():
                self._peaks[event.what] = max(event.count, self._peaks.get(event.what, 0))
            case Retried():
                self.retries += 1
            case Stalled():
                self.stalls += 1
            case Hedged():
                self.hedges += 1
            case Throttled():
                self.throttles += 1
            case ConcurrencyChanged():
                self.concurrency = event.downloads
            case Worked():
                stages = self._stages.setdefault(event.phase, {})
                stages[event.stage] = _sum(stages.get(event.stage, StageFigures()), event)
            case _:
                pass  # of phases and of the target

    def figures(
        self, *, peak_children: int = 0, peak_descriptors: int = 0, peak_memory_bytes: int = 0
    ) -> TransferFigures:
        """The figures so far.

        Args:
            peak_children: as the kernel counted them; short-lived ones may only be in the events.
            peak_descriptors: as the kernel counted them.
            peak_memory_bytes: as the kernel counted it.
        """
        return TransferFigures(
            bytes_downloaded=self.received,
            retries=self.retries,
            stalls=self.stalls,
            hedges=self.hedges,
            throttles=self.throttles,
            concurrency=self.concurrency,
            peak_connections=self._peaks.get("connections", 0),
            peak_children=max(peak_children, self._peaks.get("children", 0)),
            peak_descriptors=peak_descriptors,
            peak_memory_bytes=peak_memory_bytes,
            stages={phase: _rounded(stages) for phase, stages in self._stages.items()},
        )


def _sum(figures: StageFigures, event: Worked) -> StageFigures:
    return StageFigures(
        seconds=figures.seconds + event.seconds,
        items=figures.items + event.items,
        bytes=figures.bytes + event.size,
    )


def _rounded(stages: Mapping[Stage, StageFigures]) -> dict[Stage, StageFigures]:
    return {
        stage: msgspec.structs.replace(figures, seconds=round(figures.seconds, 3))
        for stage, figures in stages.items()
    }
