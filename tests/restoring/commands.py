"""Restores a sample in this process, or in a child that dies where it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from restore.coordinator import BootstrapRequest, bootstrap
from restore.flow.stop import run
from restore.kernel.choice import PURE, VARIABLE
from restore.ledger.waypoint import Waypoint
from restore.limits import Limits
from restore.proof.trust import TrustPolicy
from restore.report.events import Durable, Event, Report, silent
from restore.report.result import Result
from restore.sample.spec import SampleBackup
from restore.storage.local import LocalFs
from restore.target import store

LIMITS = Limits(concurrency=3, max_concurrency=3, memory_bytes=64 << 20, descriptors=64, threads=3)

FEW_ROWS = 6
"""In place of `TABLE_ROWS`: a chunk of the sample then has both table files and rows in memory."""


def request_of(
    root: Path,
    waypoint: Waypoint,
    target: Path | None,
    *,
    target_version: int | None = None,
    history_start: int | None = None,
) -> BootstrapRequest:
    """What `bootstrap-db` with these options asks for."""
    return BootstrapRequest(
        storage=LocalFs(root),
        target_dir=target,
        target_version=target_version,
        ledger_history_start_version=history_start,
        trust=TrustPolicy((waypoint,)),
        accept_older=False,
        limits=LIMITS,
    )


def restore_sample(
    sample: SampleBackup,
    target: Path | None,
    *,
    target_version: int | None = None,
    history_start: int | None = None,
    report: Report = silent,
) -> Result:
    """Restores `sample` in this process."""
    request = request_of(
        sample.root,
        sample.genesis_waypoint,
        target,
        target_version=target_version,
        history_start=history_start,
    )
    return restore_request(request, report)


def restore_request(request: BootstrapRequest, report: Report = silent) -> Result:
    """Restores what is asked for, in this process."""
    try:
        return run(lambda: bootstrap(request, report))
    except ExceptionGroup as group:  # two chunks that fail in the same tick; either is right
        raise group.exceptions[0] from None


def restore_and_die(
    sample: SampleBackup,
    target: Path,
    versions: Sequence[int | None],
    *,
    step: str,
    occurrence: int,
    kernel: str | None = None,
) -> None:
    """Restores in a child that kills itself right after the given durable step; it must die so.

    Its chunks go through table files, as large ones do. It works with this process's kernel, or another.
    """
    arguments = [sample.root, sample.genesis_waypoint, target, *versions, step, occurrence]
    command = [sys.executable, "-m", "tests.restoring.commands", *(str(argument) for argument in arguments)]
    environment = dict(os.environ)
    if kernel == PURE:
        environment[VARIABLE] = PURE
    elif kernel is not None:
        environment.pop(VARIABLE, None)
    finished = subprocess.run(command, capture_output=True, timeout=60, check=False, env=environment)
    assert finished.returncode == -signal.SIGKILL, finished.stderr.decode()


def _main(
    root: str, waypoint: str, target: str, version: str, history: str, step: str, occurrence: str
) -> None:
    left = int(occurrence)

    def die_there(event: Event) -> None:
        nonlocal left
        if isinstance(event, Durable) and event.step == step:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    store.TABLE_ROWS = store.OVERLAPPING_TABLE_ROWS = FEW_ROWS
    request = request_of(
        Path(root),
        Waypoint.parse(waypoint),
        Path(target),
        target_version=None if version == "None" else int(version),
        history_start=None if history == "None" else int(history),
    )
    run(lambda: bootstrap(request, die_there))


if __name__ == "__main__":
    _main(*sys.argv[1:])
