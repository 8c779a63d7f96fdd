"""`query`: what a storage holds, in a form that programs read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from restore.cli.options import SourceFlags, output_option, source_options
from restore.cli.output import Answer
from restore.cli.reading import Backup, run_on_backup

if TYPE_CHECKING:
    from restore.catalog.view import MetadataView
    from restore.report.events import Report


@click.group("query")
def query() -> None:
    """Ask for the state of a backup."""


@query.command("backup-storage-state")
@source_options
@output_option
def backup_storage_state(*, source: SourceFlags) -> Answer:
    """Print the newest epoch ending, state snapshot and transaction in a backup.

    Reads metadata only. Exits 20 if a line of it could not be read: the newest may have been there.
    """
    return answer_of_view(run_on_backup(source, _load))


async def _load(backup: Backup, report: Report) -> MetadataView:
    from restore.catalog.mirror import load_view
    from restore.report.events import Notice

    view = await load_view(
        backup.storage, backup.metadata, concurrency=backup.limits.concurrency, report=report
    )
    for problem in view.problems:
        report(Notice(str(problem), warning=True))
    return view


def answer_of_view(view: MetadataView) -> Answer:
    """The state of the storage, although a line could not be read; that is the error then."""
    state = view.state()
    return Answer(dataclasses.asdict(state), str(state), next(iter(view.problems), None))
