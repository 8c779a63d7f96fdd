"""Which kernel a process takes, and what it says where it cannot have the one that was asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from restore.cli.main import cli, main
from restore.cli.output import Answer, run_reported
from restore.kernel.choice import KERNELS, PURE, VARIABLE
from restore.report.events import Notice, Report

LEVELS: tuple[str, ...]
try:
    from restore.kernel._native import sha3_levels
except ImportError:
    LEVELS = ()
else:
    LEVELS = sha3_levels()

NOT_BUILT = "import sys; sys.modules['restore.kernel._native'] = None\n"
"""What a script begins with, for which the extension is not there."""

COMMAND = "import sys; from restore.cli.main import main; sys.exit(main(sys.argv[1:]))"


def run(script: str, *arguments: str, wanted: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a script in a process of its own, since each keeps to its kernel."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if wanted is not None:
        environment[VARIABLE] = wanted
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, check=False, text=True, env=environment)


def told(*, wanted: str | None = None, built: bool = True) -> list[str]:
    """What a process says about its kernel, and what a hash is there."""
    script = (
        "from restore.kernel import choice; from restore.crypto.digest import sha3_256_many\n"
        "print(choice.kernel_name(), choice.uses_native(), choice.is_missing(), choice.describe_kernel())\n"
        "print(sha3_256_many(b'ab', [b'c'])[0].hex()[:8])"
    )
    done = run(script if built else NOT_BUILT + script, wanted=wanted)
    assert done.returncode == 0, done.stderr
    choice, digest = done.stdout.splitlines()
    assert digest == "3a985da7"
    return choice.split(maxsplit=3)


@pytest.mark.parametrize("level", LEVELS)
def test_a_process_takes_the_kernel_that_is_asked_for(level: str) -> None:
    assert told(wanted=level) == [level, "True", "False", f"{level}, in the C extension"]


@pytest.mark.skipif(not LEVELS, reason="the C extension is not built")
@pytest.mark.parametrize("wanted", [None, ""])
def test_it_takes_the_best_where_none_is_asked_for(wanted: str | None) -> None:
    assert told(wanted=wanted)[:3] == [LEVELS[0], "True", "False"]


def test_without_the_extension_it_takes_the_pure_forms_and_knows_what_is_missing() -> None:
    name, native, missing, words = told(built=False)
    assert (name, native, missing) == (PURE, "False", "True")
    assert words.startswith("hashlib, since the C extension does not import: ")


@pytest.mark.parametrize("built", [True, False])
def test_nothing_is_missing_where_the_pure_forms_are_asked_for(built: bool) -> None:
    assert told(wanted=PURE, built=built) == [PURE, "False", "False", PURE]


def refused(wanted: str, *arguments: str, built: bool = True) -> tuple[str, str]:
    """The error and the hint of a command that cannot have the kernel it is asked for."""
    done = run(COMMAND if built else NOT_BUILT + COMMAND, *arguments, wanted=wanted)
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    return error.removeprefix("error: "), hint


@pytest.mark.parametrize("command", ["doctor", "bootstrap-db", "cache"])
def test_an_unknown_name_is_refused_before_a_command_does_anything(command: str) -> None:
    error, hint = refused("avx1024", command)
    assert error == "unknown kernel: expected avx512 or avx2 or neon or scalar or hashlib, found avx1024"
    assert f"unset {VARIABLE}" in hint


def test_a_kernel_that_is_not_built_is_refused() -> None:
    error, hint = refused("scalar", "doctor", built=False)
    assert error.startswith(
        "the kernel asked for needs the C extension, which does not import: found scalar, "
    )
    assert "install a C compiler" in hint


@pytest.mark.skipif(not LEVELS, reason="the C extension is not built")
def test_a_kernel_that_this_cpu_cannot_run_is_refused() -> None:
    absent = next(name for name in KERNELS if name not in (*LEVELS, PURE))
    error, hint = refused(absent, "doctor")
    expected = " or ".join((*LEVELS, PURE))
    assert error == f"this CPU cannot run the kernel asked for: expected {expected}, found {absent}"
    assert f"unset {VARIABLE}" in hint


def test_help_answers_whatever_is_asked_for() -> None:
    done = run(COMMAND, "--help", wanted="avx1024")
    assert (done.returncode, done.stderr) == (0, "")
    assert VARIABLE in done.stdout


def test_doctor_shows_the_kernel() -> None:
    done = run(COMMAND, "doctor", wanted=PURE)
    assert ["kernel", PURE] in [line.split() for line in done.stdout.splitlines()]


MISSING = "note: the C extension is missing, so this takes several times as long; install a C compiler"


def test_a_command_says_that_the_extension_is_missing() -> None:
    done = run(NOT_BUILT + COMMAND, "verify-db", "nowhere")
    assert done.stderr.startswith(MISSING)
    assert done.stderr.count(MISSING) == 1


def test_a_command_of_several_runs_says_it_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work(report: Report) -> None:
        report(Notice("under way"))

    def run_twice() -> Answer:
        for _ in range(2):
            run_reported(work)
        return Answer()

    monkeypatch.setattr("restore.cli.main.is_missing", lambda: True)
    monkeypatch.setitem(cli.commands, "demo", click.Command("demo", callback=run_twice))
    assert main(["demo"]) == 0
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith(MISSING)
    assert others == ["note: under way"] * 2


@pytest.mark.parametrize(
    ("script", "arguments", "wanted"),
    [
        (NOT_BUILT + COMMAND, ["verify-db", "nowhere"], PURE),
        (NOT_BUILT + COMMAND, ["plan", "--local-fs-dir", "nowhere"], None),
        (COMMAND, ["verify-db", "nowhere"], LEVELS[0] if LEVELS else PURE),
    ],
    ids=["asked for", "nothing to hash", "there"],
)
def test_nothing_is_said_where_nothing_is_amiss(
    script: str, arguments: list[str], wanted: str | None
) -> None:
    done = run(script, *arguments, wanted=wanted)
    assert "nowhere" in done.stderr
    assert "C extension" not in done.stderr
