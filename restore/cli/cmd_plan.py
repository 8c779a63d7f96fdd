"""`plan`: what can be restored from a backup, from which of its files, and why not more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from restore.cli.legacy import ignored_database_options, refused_option
from restore.cli.options import (
    RestoreFlags,
    accept_older_option,
    history_start_option,
    output_option,
    restore_options,
)
from restore.cli.output import Answer, table
from restore.cli.reading import run_on_backup
from restore.errors import UnreachableError
from restore.report.figures import show_bytes, show_count

if TYPE_CHECKING:
    from restore.plan import Plan, PlanRequest
    from restore.survey import Survey

_HINT = "ask for what is reachable, or give --accept-older to bootstrap-db, or use a backup that holds more"


@click.command("plan")
@restore_options
@history_start_option
@accept_older_option
@output_option
@ignored_database_options
@refused_option("--replay-all")
def plan(*, restoring: RestoreFlags, ledger_history_start_version: int | None, accept_older: bool) -> Answer:  # noqa: ARG001  as bootstrap-db
    """Show what can be restored, and why not more.

    Reads metadata and manifests only. Exits 21 if that is less than asked for, as bootstrap-db would.

    Takes the flags of bootstrap-db, so that only the verb has to be exchanged. Of these --dry-run,
    --accept-older and the trust flags have no effect here; --target-db-dir names the folder whose free disk
    space is shown, the current one if not given.
    """
    from restore.plan import PlanRequest
    from restore.survey import survey

    request = PlanRequest(
        restoring.target_version,
        ledger_history_start_version,
        accept_older=True,  # what falls short is shown too, and then told by the exit code
        check_epochs=not restoring.skip_epoch_endings,
    )
    folder = restoring.target.target_db_dir or Path()
    try:
        found = run_on_backup(
            restoring.source,
            lambda backup, report: survey(
                backup.storage,
                request,
                limits=backup.limits,
                target=folder,
                metadata=backup.metadata,
                report=report,
            ),
        )
    except UnreachableError as error:
        if error.hint == UnreachableError.default_hint:
            error.hint = _HINT  # the other one says to run this command
        raise
    return Answer(_data(found), _text(found), _shortfall(found.plan, request))


def _shortfall(plan: Plan, request: PlanRequest) -> UnreachableError | None:
    """What bootstrap-db would say to the same request."""
    if request.target_version is not None and plan.target < request.target_version:
        return UnreachableError(
            "the target version is not reachable",
            expected=request.target_version,
            found=plan.target,
            hint=_HINT,
        )
    if request.history_start is not None and request.history_start < plan.history_version:
        return UnreachableError(
            "the history start is not reachable",
            expected=request.history_start,
            found=plan.history_version,
            hint=_HINT,
        )
    return None


def _data(found: Survey) -> dict[str, Any]:
    plan = found.plan
    return {
        "requested_version": plan.requested,
        "target_version": plan.target,
        "snapshot_version": plan.snapshot.version,
        "kv_snapshot_version": None if plan.kv_snapshot is None else plan.kv_snapshot.version,
        "first_saved_version": plan.first_saved,
        "notes": list(plan.notes),
        "gaps": [str(gap) for gap in plan.gaps],
        "files": [{"file": file.handle, "bytes": file.size} for file in found.files],
        "bytes": found.size,
        "free_disk_bytes": found.free_disk,
    }


def _text(found: Survey) -> str:
    plan = found.plan
    size = "of unknown size" if found.size is None else show_bytes(found.size)
    history = None if plan.kv_snapshot is None else f"from version {plan.kv_snapshot.version}"
    rows: list[tuple[str, object]] = [
        ("restorable to version", plan.target),
        ("state snapshot at version", plan.snapshot.version),
        ("state history", history),
        ("transactions from version", plan.first_saved),
        ("to read", f"{show_count(len(found.files), 'files')}, {size}"),
        ("free disk", None if found.free_disk is None else show_bytes(found.free_disk)),
    ]
    rows += [("epoch endings", entry.manifest) for entry in plan.epoch_endings]
    rows += [("snapshot", entry.manifest) for entry in plan.snapshots]
    rows += [("transactions", entry.manifest) for entry in plan.transactions]
    return "\n".join([table(rows), *(f"why not more: {note}" for note in plan.notes)])
