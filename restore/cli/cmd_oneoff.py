"""`oneoff`: restores one backup of one type, named by its manifest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from restore.cli.legacy import NO_MOVE_VM, ignored_database_options, refused_option
from restore.cli.options import RestoreFlags, option, output_option, restore_options
from restore.cli.output import Answer
from restore.cli.reading import Backup, run_on_backup
from restore.cli.summary import answer_of_restore
from restore.cli.values import parse_version
from restore.errors import UsageError

if TYPE_CHECKING:
    from restore.pieces import OneoffRequest
    from restore.report.events import Report
    from restore.report.result import Result
    from restore.snapshot import RestoreMode


@click.group("oneoff")
def oneoff() -> None:
    """Restore one backup of one type, named by its manifest."""


@oneoff.command("epoch-ending")
@restore_options
@option("--epoch-ending-manifest", metavar="HANDLE", required=True, help="The backup's manifest.")
@output_option
@ignored_database_options
def epoch_ending(*, restoring: RestoreFlags, epoch_ending_manifest: str) -> Answer:
    """Restore the ledger infos of one epoch-ending backup."""
    from restore.oneoff import oneoff_epoch_ending

    return _run(
        restoring,
        lambda request, report: oneoff_epoch_ending(request, report, manifest=epoch_ending_manifest),
    )


@oneoff.command("state-snapshot")
@restore_options
@option("--state-manifest", metavar="HANDLE", required=True, help="The backup's manifest.")
@option(
    "--state-into-version",
    metavar="N",
    required=True,
    callback=parse_version,
    help="Version of the state snapshot; must be the manifest's.",
)
@option(
    "--restore-mode",
    type=click.Choice(["default", "kv_only", "tree_only"]),
    default="default",
    show_default=True,
    help="Values and tree, or one of them; everything is proven in each mode.",
)
@output_option
@ignored_database_options
@refused_option("--validate-modules")
def state_snapshot(
    *, restoring: RestoreFlags, state_manifest: str, state_into_version: int, restore_mode: RestoreMode
) -> Answer:
    """Restore one state snapshot."""
    from restore.oneoff import oneoff_state_snapshot

    return _run(
        restoring,
        lambda request, report: oneoff_state_snapshot(
            request, report, manifest=state_manifest, into_version=state_into_version, mode=restore_mode
        ),
    )


@oneoff.command("transaction")
@restore_options
@option("--transaction-manifest", metavar="HANDLE", required=True, help="The backup's manifest.")
@option(
    "--replay-transactions-from-version",
    metavar="N",
    callback=parse_version,
    help="Apply the recorded write sets to the state values from this version on.  [default: save only]",
)
@option(
    "--kv-only-replay",
    type=bool,
    default=True,
    show_default=True,
    help="Must be true: write sets are applied as recorded, not executed again.",
)
@output_option
@ignored_database_options
def transaction(
    *,
    restoring: RestoreFlags,
    transaction_manifest: str,
    replay_transactions_from_version: int | None,
    kv_only_replay: bool,
) -> Answer:
    """Restore the transactions of one backup."""
    if not kv_only_replay:
        raise UsageError("--kv-only-replay false is not supported", hint=NO_MOVE_VM)
    from restore.oneoff import oneoff_transaction

    return _run(
        restoring,
        lambda request, report: oneoff_transaction(
            request, report, manifest=transaction_manifest, replay_from=replay_transactions_from_version
        ),
    )


def _run(restoring: RestoreFlags, work: Callable[[OneoffRequest, Report], Awaitable[Result]]) -> Answer:
    from restore.pieces import OneoffRequest

    folder, policy = restoring.target.folder(), restoring.policy()

    async def run(backup: Backup, report: Report) -> Result:
        request = OneoffRequest(
            target_dir=folder,
            target_version=restoring.target_version,
            trust=policy,
            storage=backup.storage,
            limits=backup.limits,
            slots=backup.slots,
            metadata=backup.metadata,
        )
        return await work(request, report)

    result = run_on_backup(restoring.source, run)
    return answer_of_restore(result, folder, headline=f"the backup is in {folder}")
