"""`verify`: proves a backup without writing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from restore.cli.legacy import refused_option
from restore.cli.options import (
    SourceFlags,
    TrustFlags,
    option,
    output_option,
    skip_epochs_option,
    source_options,
    trust_options,
)
from restore.cli.output import Answer
from restore.cli.reading import Backup, run_on_backup
from restore.cli.summary import answer_of
from restore.cli.values import parse_version, parse_version_or_max

if TYPE_CHECKING:
    from restore.report.events import Report
    from restore.report.result import Result


@click.command("verify")
@source_options
@option(
    "--start-version",
    metavar="N|max",
    default="0",
    show_default=True,
    callback=parse_version_or_max,
    help="First transaction to check; max checks no transactions.",
)
@option(
    "--end-version",
    metavar="N",
    callback=parse_version,
    help="Last transaction to check.  [default: the newest]",
)
@option(
    "--state-snapshot-before-version",
    metavar="N",
    callback=parse_version,
    help="Check the newest state snapshot before this version; 0 checks none.  [default: the newest]",
)
@trust_options
@skip_epochs_option
@output_option
@refused_option("--validate-modules")
def verify(
    *,
    source: SourceFlags,
    start_version: int | None,
    end_version: int | None,
    state_snapshot_before_version: int | None,
    trust: TrustFlags,
    skip_epoch_endings: bool,
) -> Answer:
    """Prove a backup without writing anything.

    Checks every epoch ending and its signatures, one state snapshot with all its chunks, and every
    transaction in range.
    """
    if start_version is not None and end_version is not None and start_version > end_version:
        raise click.BadOptionUsage("--start-version", "--start-version lies after --end-version")
    from restore.verify import VerifyRequest
    from restore.verify import verify as verify_backup

    policy = trust.policy(skip=skip_epoch_endings)

    async def work(backup: Backup, report: Report) -> Result:
        request = VerifyRequest(
            start_version=start_version,
            end_version=end_version,
            state_snapshot_before_version=state_snapshot_before_version,
            trust=policy,
            storage=backup.storage,
            limits=backup.limits,
            slots=backup.slots,
            metadata=backup.metadata,
        )
        return await verify_backup(request, report)

    return answer_of(run_on_backup(source, work), "verified")
