"""`verify-db`: re-checks a finished database from its rows alone."""

from __future__ import annotations

from pathlib import Path

import click

from restore.cli.options import network_option, output_option, parse_waypoints, waypoint_option
from restore.cli.output import Answer, run_reported
from restore.cli.summary import answer_of
from restore.cli.values import GivenPath


@click.command("verify-db")
@click.argument("folder", metavar="DIR", type=GivenPath())
@waypoint_option
@network_option
@output_option
def verify_db(*, folder: Path, trust_waypoint: tuple[str, ...], network: str | None) -> Answer:
    """Re-check a finished database from its rows.

    Hashes the whole state tree again, finds and hashes every value, recounts the usage, and checks the
    accumulator root at every ledger info, and the signatures. Without a waypoint or a network, the database's
    own genesis is taken on trust.
    """
    from restore.proof.trust import TrustPolicy
    from restore.verify_db import verify_database

    waypoints = parse_waypoints(trust_waypoint, network=network)
    TrustPolicy(waypoints, genesis=not waypoints).check()
    result = run_reported(lambda report: verify_database(folder, waypoints, report))
    return answer_of(result, f"{folder} holds together")
