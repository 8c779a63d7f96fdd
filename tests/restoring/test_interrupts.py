"""Signals, full disks, refused files: the right code, nothing left behind, and the same command goes on."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.rows import row_digests
from restore.errors import AccessDeniedError, InterruptedRunError
from restore.report.events import Advanced, Event
from restore.sample.spec import SampleBackup
from restore.storage.local import LocalFs
from tests.restoring.commands import request_of, restore_request, restore_sample

MAX_STOP_SECONDS = 10
"""What an orchestrator grants between the signal and SIGKILL."""


def command(sample: SampleBackup, target: Path) -> list[str]:
    """The command line of a restore."""
    return [
        str(Path(sys.executable).with_name("aptos-restore")),
        "bootstrap-db",
        f"--local-fs-dir={sample.root}",
        f"--target-db-dir={target}",
        f"--trust-waypoint={sample.genesis_waypoint}",
        "--output=json",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_75_and_the_same_command_finishes(
    sample: SampleBackup, target: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(command(sample, target), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    mark = target / ".aptos-restore" / "mark.json"
    while not mark.exists():  # from its first mark on there is something to continue
        assert process.poll() is None
        time.sleep(0.001)
    began = time.monotonic()
    process.send_signal(number)
    output, messages = process.communicate(timeout=MAX_STOP_SECONDS)
    assert time.monotonic() - began < MAX_STOP_SECONDS
    assert process.returncode == 75, messages.decode()
    answer = json.loads(output)
    assert (answer["status"], answer["exit_code"]) == ("error", 75)
    assert "same command" in answer["hint"]
    finished = subprocess.run(command(sample, target), capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr.decode()
    whole = target.with_name("whole")
    restore_sample(sample, whole)
    assert row_digests(target) == row_digests(whole)


def test_an_interrupt_in_this_process_leaves_nothing_and_continues(
    sample: SampleBackup, target: Path
) -> None:
    """The fixture of all tests sees to it that no thread or descriptor is left."""

    def interrupt(event: Event) -> None:
        if isinstance(event, Advanced) and event.phase.startswith("state"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRunError):
        restore_sample(sample, target, report=interrupt)
    assert restore_sample(sample, target).target_version == sample.last_version


def limited(arguments: Sequence[str], *, file_bytes: int) -> subprocess.CompletedProcess[bytes]:
    """Runs a command that may not let any file grow past a size."""

    def limit() -> None:
        # The signal would kill the process; ignored, the write fails with "file too large" as on a full disk.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    return subprocess.run(arguments, capture_output=True, preexec_fn=limit, check=False)


@pytest.mark.parametrize("file_bytes", [4 << 10, 60 << 10, 200 << 10])
def test_a_full_disk_exits_40_and_the_same_command_continues_with_room(
    sample: SampleBackup, target: Path, file_bytes: int
) -> None:
    full = limited(command(sample, target), file_bytes=file_bytes)
    assert full.returncode == 40, full.stderr.decode()
    answer = json.loads(full.stdout)
    assert answer["error"] == "DiskFullError"
    assert str(target) in answer["file"]
    finished = subprocess.run(command(sample, target), capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr.decode()
    whole = target.with_name("whole")
    restore_sample(sample, whole)
    assert row_digests(target) == row_digests(whole)


def test_a_file_that_may_not_be_read_exits_31(sample: SampleBackup, target: Path) -> None:
    def refuse_chunks(path: str, flags: int) -> int:
        if path.endswith(".chunk"):
            raise PermissionError(13, "Permission denied", path)
        return os.open(path, flags)

    storage = LocalFs(sample.root, opener=refuse_chunks)
    request = replace(request_of(sample.root, sample.genesis_waypoint, target), storage=storage)
    with pytest.raises(AccessDeniedError) as caught:
        restore_request(request)
    assert caught.value.exit_code == 31
    assert str(caught.value.file).endswith(".chunk")
