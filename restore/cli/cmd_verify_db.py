"""`verify-db`: re-checks a finished database from its rows alone."""

from __future__ import annotations

from pathlib import Path

import click

from restore.cli.options import output_option, parse_waypoints, waypoint_option
from restore.cli.output import Answer, run_reported
from restore.cli.summary import answer_of


@click.command("verify-db")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@waypoint_option
@output_option
def verify_db(*, folder: Path, trust_waypoint: tuple[str, ...]) -> Answer:
    """Re-check a finished database from its rows.

    Hashes the whole state tree again, finds and hashes every value, recounts the usage, and checks the
    accumulator root at every ledger info, and the signatures.
    """
    from restore.verify_db import verify_database

    waypoints = parse_waypoints(trust_waypoint)
    result = run_reported(lambda report: verify_database(folder, waypoints, report))
    return answer_of(result, f"{folder} holds together: checked")
