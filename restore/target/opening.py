"""Opens the target that a command writes to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from restore.flow.threads import Workers
from restore.ledger.hashes import Domain
from restore.report.events import Report
from restore.target.base import Target
from restore.target.dry import DryTarget
from restore.target.mark import TargetFolder

WRITERS = 4
"""Instances that are written to at once: each waits for the disk, which syncs several as fast as one."""


@asynccontextmanager
async def open_target(
    folder: TargetFolder | None, workers: Workers, *, report: Report, domain: Domain
) -> AsyncIterator[Target]:
    """The database in `folder`, or the dry target where there is no folder; closed with the block."""
    if folder is None:
        yield DryTarget()
        return
    from restore.target.rocks import RocksTarget  # rocksdict is not needed for a dry run

    async with Workers(WRITERS) as writers:
        target = await RocksTarget.open(folder.root, workers, writers=writers, report=report, domain=domain)
        try:
            yield target
        finally:
            await target.close()
