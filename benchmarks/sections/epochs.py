"""`verify` of a history of epoch endings, nearly all of which is their signatures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.figures import Row
from benchmarks.histories import HistorySpec, history
from benchmarks.processes import Measured, measure
from benchmarks.rounds import in_turn
from benchmarks.sections.commands import rates
from benchmarks.settings import Setting

MUST_EPOCHS = 1000.0
"""Epoch endings a second on two cores, with 100 of 150 signers."""


def rows(setting: Setting) -> list[Row]:
    """One row for the whole command."""
    backup, waypoint = history(HistorySpec(epochs=setting.sizes.epochs), setting.folder)
    runs = in_turn({"verify": partial(_verify, backup, waypoint)}, setting.sizes.rounds)
    return [
        Row(
            part="verify: epochs",
            work=f"{setting.sizes.epochs:,} epochs, 100 of 150 signers",
            unit="epochs/s",
            ours=rates(runs["verify"], "epochs"),
            must=MUST_EPOCHS,
        )
    ]


def _verify(backup: Path, waypoint: str) -> Measured:
    nothing_else = ["--start-version", "max", "--state-snapshot-before-version", "0"]
    return measure(["verify", "--local-fs-dir", str(backup), "--trust-waypoint", waypoint, *nothing_else])
