"""`bootstrap-db`: restores a backup into a database that a node opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from restore.cli.legacy import ignored_database_options, refused_option
from restore.cli.options import (
    RestoreFlags,
    accept_older_option,
    history_start_option,
    output_option,
    restore_options,
)
from restore.cli.output import Answer
from restore.cli.reading import Backup, run_on_backup
from restore.cli.summary import answer_of_restore

if TYPE_CHECKING:
    from restore.report.events import Report
    from restore.report.result import Result


@click.command("bootstrap-db")
@restore_options
@history_start_option
@accept_older_option
@output_option
@ignored_database_options
@refused_option("--replay-all")
def bootstrap_db(
    *, restoring: RestoreFlags, ledger_history_start_version: int | None, accept_older: bool
) -> Answer:
    """Restore a backup into a database that a node opens.

    Everything is proven before it is written. A run that was stopped, even killed, continues when the same
    command is given again.
    """
    from restore.coordinator import BootstrapRequest, bootstrap

    folder, policy = restoring.target.folder(), restoring.policy()

    async def work(backup: Backup, report: Report) -> Result:
        request = BootstrapRequest(
            target_dir=folder,
            target_version=restoring.target_version,
            ledger_history_start_version=ledger_history_start_version,
            trust=policy,
            accept_older=accept_older,
            storage=backup.storage,
            limits=backup.limits,
            slots=backup.slots,
            metadata=backup.metadata,
        )
        return await bootstrap(request, report)

    result = run_on_backup(restoring.source, work)
    return answer_of_restore(result, folder, headline=f"{folder} is restored")
