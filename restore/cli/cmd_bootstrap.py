"""`bootstrap-db`: restores a backup into a database that a node opens."""

from __future__ import annotations

import click

from restore.cli.legacy import ignored_database_options, refused_option
from restore.cli.options import (
    RestoreFlags,
    accept_older_option,
    history_start_option,
    output_option,
    restore_options,
)
from restore.cli.output import Answer, run_reported
from restore.cli.summary import answer_of_restore


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

    request = BootstrapRequest(
        target_dir=restoring.target.folder(),
        target_version=restoring.target_version,
        ledger_history_start_version=ledger_history_start_version,
        trust=restoring.policy(),
        accept_older=accept_older,
        limits=restoring.source.limits(),
        storage=restoring.source.open_storage(),
    )
    result = run_reported(lambda report: bootstrap(request, report))
    return answer_of_restore(result, request.target_dir, headline=f"{request.target_dir} is restored")
