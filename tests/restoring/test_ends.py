"""Whole commands that are stopped, or whose own commands misbehave: the right code and words, nothing left.

They run as users run them, and are looked at from outside: all that they start carries a mark.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import FaultPlan, Kind, serve_in_thread
from tests.flow.processes import marked
from tests.restoring.remote import (
    BUCKET,
    KEEP_A_FILE,
    TINY,
    Published,
    Reached,
    Way,
    nothing_but_the_loopback,
    publish,
    write_config,
)
from tests.restoring.watching import PROGRAM, Scene, wait_until

MAX_STOP_SECONDS = 10
"""What an orchestrator grants between the signal and SIGKILL."""

CHUNK = r"/state_epoch_.*\.chunk$"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(TINY, tmp_path_factory.mktemp("ends"), "tiny")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Checks at the end that nothing is left of what was started in it."""
    scene = Scene(str(tmp_path), tmp_path / "temporary")
    scene.temporary.mkdir()
    try:
        with scene.left_as_found():
            yield scene
    finally:
        for process in marked(scene.mark):  # of a test that failed
            os.kill(process, signal.SIGKILL)


@contextmanager
def running(arguments: Sequence[str], scene: Scene) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `aptos-restore ARGUMENTS --output json` during the block."""
    with subprocess.Popen(
        [PROGRAM, *arguments, "--output", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **nothing_but_the_loopback(), **scene.variables},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[bytes]) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON object and messages of a command that ends by itself."""
    output, messages = process.communicate(timeout=60)
    return process.returncode, json.loads(output or b"{}"), messages.decode()


def commands(tiny: Published, folder: Path, at_chunks: str) -> list[str]:
    """A storage behind commands, of which those that read a file of records do something first."""
    config = write_config(folder / "adapter.yaml", tiny.folder, at_chunks=at_chunks)
    return Reached(tiny, "", "", config).flags(Way.COMMAND)


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["verify", "bootstrap-db"])
def test_a_signal_while_a_command_hangs_ends_it(
    tiny: Published, scene: Scene, tmp_path: Path, number: signal.Signals, command: str
) -> None:
    hangs = tmp_path / "hangs"
    flags = commands(tiny, tmp_path, f"{KEEP_A_FILE}; : > {hangs}; sleep 1000 | sleep 1000")
    arguments = [command, *flags, *target_of(command, tmp_path), "--concurrent-downloads", "1"]
    with running(arguments, scene) as process:
        wait_until(hangs.exists)
        stop(process, number)


@pytest.mark.parametrize("way", [Way.HTTP, Way.S3])
@pytest.mark.parametrize("command", ["verify", "bootstrap-db"])
def test_a_signal_while_a_transfer_hangs_ends_it(
    tiny: Published, scene: Scene, tmp_path: Path, way: Way, command: str
) -> None:
    with serve_in_thread(tiny.folder.parents[1], FaultPlan(stall=1, only=CHUNK)) as server:
        flags = Reached(tiny, f"{server.url}/{BUCKET}", server.s3_endpoint, tmp_path).flags(way)
        with running([command, *flags, *target_of(command, tmp_path)], scene) as process:
            wait_until(lambda: server.counters.faults[Kind.STALL] > 0)
            stop(process, signal.SIGINT)


def target_of(command: str, folder: Path) -> list[str]:
    return ["--target-db-dir", str(folder / "db")] if command == "bootstrap-db" else []


def stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Sends a signal, and checks how the command ends."""
    began = time.monotonic()
    process.send_signal(number)
    code, answer, messages = ended(process)
    assert time.monotonic() - began < MAX_STOP_SECONDS
    assert (code, answer["exit_code"], answer["error"]) == (75, 75, "InterruptedRunError"), messages
    assert f"found {number.name}" in messages
    assert "same command" in answer["hint"]


# Commands that misbehave


def test_a_command_that_is_killed_is_run_again_and_what_it_started_ends(
    tiny: Published, scene: Scene, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    flags = commands(tiny, tmp_path, f"test -e {first} || {{ echo $$ > {first}; sleep 1000 >&-; }}")
    with running(["verify", *flags, "--concurrent-downloads", "1"], scene) as process:
        wait_until(lambda: first.exists() and first.read_text().endswith("\n"))
        os.kill(int(first.read_text()), signal.SIGKILL)  # the shell: its `sleep` goes on
        code, answer, messages = ended(process)
    assert (code, answer["retries"]) == (0, 1), messages


HANGING = {
    "hangs": "echo half a | tr a A; echo why it hangs >&2; sleep 1000",
    "never closes stdout": "echo why it hangs >&2; sleep 1000 & exit",
    "ignores TERM": "trap '' TERM; echo why it hangs >&2; sleep 1000",
}
"""By name: what commands do in place of bringing a file."""


@pytest.mark.parametrize("name", HANGING)
def test_a_command_that_hangs_is_given_up_and_its_words_are_told(
    tiny: Published, scene: Scene, tmp_path: Path, name: str
) -> None:
    flags = commands(tiny, tmp_path, HANGING[name])
    with running(["verify", *flags, "--command-idle-timeout", "0.5"], scene) as process:
        code, answer, messages = ended(process)
    assert (code, answer["exit_code"], answer["error"]) == (30, 30, "StalledError"), messages
    assert answer["stalls"] >= 3
    assert answer["message"].startswith("command open_for_read made no progress: file ")
    assert answer["file"].endswith(".chunk")
    assert answer["found"] == "0.5 s without a byte, on stderr: why it hangs"


def test_a_second_signal_ends_at_once_and_leaves_no_command(
    tiny: Published, scene: Scene, tmp_path: Path
) -> None:
    hangs = tmp_path / "hangs"
    flags = commands(tiny, tmp_path, f"trap '' TERM; : > {hangs}; sleep 1000")
    with running(["verify", *flags, "--concurrent-downloads", "1"], scene) as process:
        assert process.stderr is not None
        wait_until(hangs.exists)
        process.send_signal(signal.SIGINT)
        assert any(b"a second signal" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        code, _, messages = ended(process)
    assert code == 130, messages
