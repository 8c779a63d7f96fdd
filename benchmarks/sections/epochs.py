"""A history of epoch endings: `verify` of all of it, and its signatures beside what the library can do."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.epochs import claims_of
from benchmarks.epochs import rates as signature_rates
from benchmarks.figures import Row
from benchmarks.histories import HistorySpec, history
from benchmarks.processes import Measured, measure
from benchmarks.rounds import in_turn
from benchmarks.sections.commands import rates
from benchmarks.settings import Setting

SIGNATURES = 1000
"""Checked in each way, at most."""

OURS, LIMIT = "ours", "the limit"
"""How the ways of `benchmarks.epochs` end that are compared."""

MUST_RATIO = 1.0
"""Over the library alone: what was promised is 1,000 signatures a second, or the library's own limit."""


def rows(setting: Setting) -> list[Row]:
    """The whole command, and the signatures alone in each way."""
    backup, waypoint = history(HistorySpec(epochs=setting.sizes.epochs), setting.folder)
    runs = in_turn({"verify": partial(_verify, backup, waypoint)}, setting.sizes.rounds)
    command = Row(
        part="verify: epochs",
        work=f"{setting.sizes.epochs:,} epochs, 100 of 150 signers",
        unit="epochs/s",
        ours=rates(runs["verify"], "epochs"),
    )
    return [command, *_signature_rows(backup)]


def _signature_rows(backup: Path) -> list[Row]:
    """Medians of `benchmarks.epochs`, whose ways take turns by themselves."""
    claims = claims_of(backup)[:SIGNATURES]
    told = signature_rates(claims)
    ours = next(rate for way, rate in told.items() if way.endswith(OURS))
    return [
        Row(
            part="verify: epochs",
            work=f"{len(claims):,} signatures, all keys cached",
            unit="signatures/s",
            ours=(ours,),
            rival=way,
            rivals=(rate,),
            must_ratio=MUST_RATIO if way.endswith(LIMIT) else None,
        )
        for way, rate in told.items()
        if not way.endswith(OURS)
    ]


def _verify(backup: Path, waypoint: str) -> Measured:
    nothing_else = ["--start-version", "max", "--state-snapshot-before-version", "0"]
    return measure(["verify", "--local-fs-dir", str(backup), "--trust-waypoint", waypoint, *nothing_else])
