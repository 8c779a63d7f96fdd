"""`verify-db`: checks a finished database again, from its rows and its mark alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from restore.flow.threads import Workers
from restore.ledger.hashes import Domain
from restore.ledger.waypoint import Waypoint
from restore.report.events import Report
from restore.report.result import Result, UsageResult
from restore.target.check import check_database
from restore.target.mark import load_finished

COMMAND = "verify-db"


async def verify_database(root: Path, waypoints: Sequence[Waypoint], report: Report) -> Result:
    """Checks the database below `root`; writes nothing.

    Args:
        root: the target's folder.
        waypoints: trusted ones; without any, the stored epoch 0 is taken on trust.
        report: takes events.

    Raises:
        ForeignTargetError: the folder holds no database of ours, or an unfinished one.
        DamagedTargetError: a row is missing, too many or wrong.
        RestoreError: the class says what to do; see `restore.errors`.
    """
    began = time.monotonic()
    mark, domain = load_finished(root)
    async with Workers(1) as workers:
        found = await check_database(
            root, mark=mark, trusted=waypoints, domain=Domain(domain), workers=workers, report=report
        )
    return Result(
        command=COMMAND,
        trust="waypoint" if waypoints else "genesis",
        waypoints=tuple(str(waypoint) for waypoint in waypoints),
        requested_version=mark.result.requested_version,
        target_version=found.target_version,
        snapshot_version=found.snapshot_version,
        state_root_hash=found.state_root.hex(),
        state_items=found.usage.items,
        state_bytes=found.usage.bytes,
        usage_at_target=UsageResult(found.usage_at_target.items, found.usage_at_target.bytes),
        transactions=found.transactions,
        epochs=found.epochs,
        ledger_version=found.target_version,
        accumulator_root_hash=found.accumulator_root.hex(),
        seconds=round(time.monotonic() - began, 3),
    )
