"""Runs a command's work on a backup: its storage, its bounds and the tally of its transfers, for one run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from restore.cli.output import Session, run_reported
from restore.cli.values import LimitRate, size_of_text

if TYPE_CHECKING:
    from restore.catalog.mirror import MirrorOptions
    from restore.cli.options import SourceFlags
    from restore.flow.monitor import Bounds
    from restore.flow.rate import Rate
    from restore.flow.slots import Slots
    from restore.limits import Limits
    from restore.report.events import Report
    from restore.storage.base import Storage
    from restore.storage.opening import Source

T = TypeVar("T")

CHILDREN_BESIDE = 2
"""Children besides one for each chunk, and the processes that check signatures: a listing, and one that is
about to be gone."""

TASKS, TASKS_PER_CHUNK = 128, 16
"""Of one chunk, or small file, the stream's task, two requests, and calls that are shielded."""

DESCRIPTORS_TO_STOP = 32
"""Kept free, so that a run which is stopped can still write its mark."""

MOST_OF_MEMORY = 0.95
"""Of the memory that this process may use; beyond, the kernel would end it without a word."""


@dataclass(frozen=True, slots=True)
class Backup:
    """An open backup, and what may be used to read it.

    Attributes:
        storage: its files.
        limits: bounds of the run.
        slots: how many chunks may be in progress.
        metadata: where its metadata is kept.
    """

    storage: Storage
    limits: Limits
    slots: Slots
    metadata: MirrorOptions


def run_on_backup(flags: SourceFlags, work: Callable[[Backup, Report], Awaitable[T]]) -> T:
    """Runs `work` on the backup that `flags` name, to its end or to a signal, with progress on stderr.

    What became of its transfers is noted in the session.
    """
    limits, source = flags.limits(), flags.source()
    session: Session = click.get_current_context().obj

    async def read(report: Report) -> T:
        async with _opened(flags, source, limits, report, session) as (backup, told):
            return await work(backup, told)

    return run_reported(read)


@asynccontextmanager
async def _opened(
    flags: SourceFlags, source: Source, limits: Limits, report: Report, session: Session
) -> AsyncIterator[tuple[Backup, Report]]:
    from restore.flow.monitor import Monitor
    from restore.flow.slots import Slots
    from restore.report.events import Event, Notice
    from restore.report.tally import Tally
    from restore.storage.opening import Reach, open_storage
    from restore.storage.place import Place

    tally = Tally()
    if flags.command_adapter_config is not None and isinstance(source, Place):
        report(
            Notice(
                f"{flags.command_adapter_config} leads to {source.url}, which is read without its commands; "
                "--no-native runs them"
            )
        )

    def told(event: Event) -> None:
        tally(event)
        report(event)

    slots = Slots(limits.concurrency, ceiling=limits.max_concurrency, report=told)
    monitor = Monitor(_bounds(limits), report=told)
    try:
        with _limited(flags.limit_rate, told) as rate:
            reach = Reach(
                slots.report, limits.max_concurrency + CHILDREN_BESIDE, flags.command_idle_timeout, rate
            )
            async with monitor, open_storage(source, reach) as storage:
                yield Backup(storage, limits, slots, flags.metadata()), told
    finally:
        peaks = monitor.peaks()
        session.transfers = tally.figures(
            peak_children=peaks.children,
            peak_descriptors=peaks.descriptors,
            peak_memory_bytes=peaks.memory_bytes,
        )


@contextmanager
def _limited(limit: LimitRate | None, report: Report) -> Iterator[Rate | None]:
    """The bandwidth limit, which follows its file during the block."""
    from restore.flow.rate import Rate
    from restore.flow.rate_file import RateFile

    if limit is None:
        yield None
    elif limit.file is None:
        yield Rate(limit.bytes_per_second)
    else:
        rate = Rate(None)
        with RateFile(limit.file, rate=rate, parse=size_of_text, report=report):
            yield rate


def _bounds(limits: Limits) -> Bounds:
    """Past these a run is stopped: something in it does not keep to its own bounds."""
    from restore.flow.monitor import Bounds
    from restore.limits import available_memory, reachable_descriptors

    return Bounds(
        tasks=TASKS + TASKS_PER_CHUNK * limits.max_concurrency,
        children=limits.max_concurrency + limits.concurrency + 2 * CHILDREN_BESIDE,
        descriptors=reachable_descriptors() - DESCRIPTORS_TO_STOP,
        memory_bytes=int(MOST_OF_MEMORY * available_memory()),
    )
