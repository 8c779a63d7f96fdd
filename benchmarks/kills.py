"""Kills restores at random, again and again, and compares what they end in with an uninterrupted one.

    python -m benchmarks.kills --rounds 50

Each round restores into a fresh folder: the same command is begun, killed with SIGKILL after a seeded random
time, and begun again, until it comes to its end. Every row must then be as in the uninterrupted restore.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rows import row_digests
from benchmarks.samples import sample
from restore.sample.spec import SampleSpec

START_SECONDS = 0.3
"""A process needs about this long to begin its work; kills before that would test Python's start."""


def main() -> None:
    """Runs the rounds; exits 1 at the first difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--transactions", type=int, default=2_000)
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "aptos-restore-benchmarks"
    )
    options = parser.parse_args()
    spec = SampleSpec(
        seed=options.seed,
        state_items=options.items,
        transactions=options.transactions,
        epochs=6,
        snapshot_chunks=20,
        transactions_per_backup=max(1, options.transactions // 8),
    )
    backup, waypoint = sample(spec, options.folder)
    first_snapshot = spec.epoch_ends()[spec.snapshot_epochs[0]]
    variants = {
        "T = V": ["--target-version", str(spec.epoch_ends()[spec.epochs - spec.tail_epochs])],
        "T > V": [],
        "K < V < T": ["--ledger-history-start-version", str(first_snapshot)],
    }
    for name, extra in variants.items():
        command = ["bootstrap-db", "--local-fs-dir", str(backup), "--trust-waypoint", waypoint, *extra]
        _run_rounds(name, command, options)


def _run_rounds(name: str, command: Sequence[str], options: argparse.Namespace) -> None:
    randomness = random.Random(options.seed)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        whole = Path(scratch) / "whole"
        began = time.monotonic()
        _restore(command, whole, kill_after=None)
        seconds = time.monotonic() - began
        expected = row_digests(whole)
        kills = 0
        for number in range(options.rounds):
            target = Path(scratch) / f"killed-{number}"
            while not _restore(command, target, kill_after=START_SECONDS + randomness.random() * seconds):
                kills += 1
            found = row_digests(target)
            differing = [table for table in expected if expected[table] != found[table]]
            if differing:
                sys.exit(
                    f"{name}, round {number}, seed {options.seed}: rows differ in {', '.join(differing)}"
                )
            shutil.rmtree(target)
    print(f"{name}: {options.rounds} rounds with {kills} kills end in the rows of an uninterrupted restore")


def _restore(command: Sequence[str], target: Path, *, kill_after: float | None) -> bool:
    """Runs one restore; whether it came to its end before it was killed."""
    arguments = [
        str(Path(sys.executable).with_name("aptos-restore")),
        *command,
        "--target-db-dir",
        str(target),
    ]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _, messages = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return False
    if process.returncode != 0:
        sys.exit(f"a continued restore exited {process.returncode}:\n{messages.decode()}")
    return True


if __name__ == "__main__":
    main()
