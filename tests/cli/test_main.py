"""The edge: exit codes, the two lines on stderr, and a stdout that holds one object or nothing."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from restore.cli.main import cli, main
from restore.cli.output import Answer, run_reported, wants_json
from restore.errors import (
    DiskFullError,
    InterruptedRunError,
    ProofError,
    RestoreError,
    StorageUnavailableError,
    UsageError,
)
from restore.report.events import Notice, Report

Fail = Callable[[BaseException], None]


@pytest.fixture
def fail_with(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Adds a command `fail` that raises what the test wants."""

    def add(error: BaseException) -> None:
        def callback() -> None:
            raise error

        monkeypatch.setitem(cli.commands, "fail", click.Command("fail", callback=callback))

    return add


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the one object on stdout, and stderr."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APTOS_RESTORE_OUTPUT", "json")
        code = main(arguments)
    shown = capsys.readouterr()
    assert shown.out.count("\n") == 1
    found: dict[str, Any] = json.loads(shown.out)
    assert found["schema"] == 1
    assert found["exit_code"] == code
    return code, found, shown.err


PROOF_ERROR = ProofError(
    "chunk does not match its range proof", file="state/0-.chunk", version=7, expected=b"\xaa", found=b"\xbb"
)


def test_an_error_is_two_lines_on_stderr(fail_with: Fail, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(PROOF_ERROR)
    assert main(["fail"]) == 20
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "error: chunk does not match its range proof: file state/0-.chunk, version 7, expected aa, found bb",
        f"hint: {ProofError.default_hint}",
    ]


def test_an_error_is_one_object_on_stdout(fail_with: Fail, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(PROOF_ERROR)
    code, found, err = run_json(capsys, "fail")
    assert code == 20
    assert err.startswith("error: ")
    assert found.pop("seconds") >= 0
    assert found == {
        "schema": 1,
        "status": "error",
        "exit_code": 20,
        "command": "fail",
        "error": "ProofError",
        "message": str(PROOF_ERROR),
        "hint": ProofError.default_hint,
        "file": "state/0-.chunk",
        "version": 7,
        "expected": "aa",
        "found": "bb",
    }


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (UsageError("x"), 2),
        (InterruptedRunError("x"), 75),
        (KeyboardInterrupt(), 75),
        (MemoryError(), 40),
        (OSError(errno.EMFILE, "too many open files"), 40),
        (OSError(errno.ENOSPC, "no space"), 40),
        (PermissionError(errno.EACCES, "Permission denied", "/there"), 31),
        (OSError(errno.EROFS, "Read-only file system", "/there"), 31),
        (ValueError("x"), 1),
        (ExceptionGroup("g", [ValueError("x"), ExceptionGroup("h", [KeyError("k"), PROOF_ERROR])]), 20),
        (ExceptionGroup("g", [StorageUnavailableError("first"), PROOF_ERROR]), 30),
        (ExceptionGroup("g", [ValueError("x"), DiskFullError("full")]), 40),
        (ExceptionGroup("g", [ValueError("x")]), 1),
    ],
)
def test_every_exception_has_its_code(
    raised: BaseException, code: int, fail_with: Fail, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(raised)
    assert run_json(capsys, "fail")[0] == code


def test_a_refusal_of_the_system_names_the_file_and_is_no_bug(
    fail_with: Fail, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(OSError(errno.EROFS, "Read-only file system", "/there"))
    assert main(["fail"]) == 31
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: read-only file system: file /there"
    assert second.startswith("hint: ")


def test_a_bug_shows_its_traceback_and_ours_do_not(
    fail_with: Fail, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(ValueError("a surprise"))
    assert main(["fail"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-2:] == [
        "error: unexpected ValueError: a surprise",
        "hint: this is a bug; please report it with the lines above",
    ]
    fail_with(RestoreError("foreseen"))
    assert main(["fail"]) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "missing command"),
        (("oneoff",), "missing command"),
        (("nonsense",), "no such command 'nonsense'"),
        (("verify", "--nonsense"), "no such option"),
        (("verify", "--local-fs-dir"), "option '--local-fs-dir' requires an argument"),
        (("verify-db",), "missing argument 'DIR'"),
        (("doctor", "extra"), "got unexpected extra argument"),
        (("doctor", "--output", "xml"), "invalid value for '--output'"),
    ],
)
def test_usage_errors_are_errors_like_all_others(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    first, second = shown.err.splitlines()
    assert first.startswith(f"error: {message}")
    assert second.startswith("hint: see aptos-restore")
    assert second.endswith(" --help")


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("verify",), ("verify", "--nonsense")])
def test_usage_errors_are_one_object_too(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, _ = run_json(capsys, *arguments)
    assert (code, found["error"], found["status"]) == (2, "UsageError", "error")


def test_an_answer_goes_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = Answer({"schema": 1, "exit_code": 0, "text": "é\n"}, "for people")
    monkeypatch.setitem(cli.commands, "answer", click.Command("answer", callback=lambda: answer))
    assert main(["answer"]) == 0
    assert capsys.readouterr() == ("for people\n", "")
    assert run_json(capsys, "answer")[1]["text"] == "é\n"


@pytest.mark.parametrize(
    ("arguments", "variable", "expected"),
    [
        (["verify", "--output", "json"], None, True),
        (["verify", "--output=json", "--nonsense"], None, True),
        (["verify"], "json", True),
        (["verify", "--output", "text"], "json", False),
        (["verify", "--output", "text", "--output", "json"], None, True),
        (["verify"], "text", False),
        (["verify", "--output"], None, False),
        (["verify-db", "--", "--output", "json"], None, False),
        (["--output-folder=json"], None, False),
    ],
)
def test_the_form_is_known_before_parsing(arguments: list[str], variable: str | None, expected: bool) -> None:
    environment = {} if variable is None else {"APTOS_RESTORE_OUTPUT": variable}
    assert wants_json(arguments, environment) is expected


def test_a_reader_that_went_away_does_not_change_the_exit_code() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "restore.cli.main", "doctor"],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_code(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work(report: Report) -> Answer:
        report(Notice("under way"))
        signal.raise_signal(number)
        await asyncio.Event().wait()
        return Answer({}, "")

    monkeypatch.setitem(cli.commands, "work", click.Command("work", callback=lambda: run_reported(work)))
    code, found, err = run_json(capsys, "work")
    assert (code, found["error"], found["found"]) == (75, "InterruptedRunError", number.name)
    assert err.splitlines()[0] == "note: under way"
    assert err.splitlines()[1].startswith("note: stopping")


def test_version_and_help_answer_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--version", "-V"):
        assert main([flag]) == 0
        assert capsys.readouterr().out.startswith("aptos-restore ")
    assert main(["-h"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "bootstrap-db" in shown
    assert "aptos-db restore bootstrap-db" in shown


HEAVY = {"aiofiles", "asyncio", "msgspec", "py_arkworks_bls12381", "rich", "rocksdict", "uvloop"}


@pytest.mark.parametrize("arguments", [["-h"], ["bootstrap-db", "--help"], ["oneoff", "transaction", "-h"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = f"""
import sys
from restore.cli.main import main
main({arguments!r})
print({HEAVY!r} & sys.modules.keys(), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stderr == "set()\n"


def test_a_second_signal_after_the_run_ends_as_during_it() -> None:
    script = (
        "import os, signal, sys; import restore.cli.main as edge\n"
        "edge.cli.main = lambda *_, **__: (_ for _ in ()).throw(edge.InterruptedRunError('x'))\n"
        "edge.main([]); os.kill(os.getpid(), signal.SIGTERM); signal.pause()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert done.returncode == 130


def test_an_answer_that_cannot_be_written_is_no_success() -> None:
    command = [sys.executable, "-m", "restore.cli.main", "doctor", "--output", "json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 40
    assert done.stderr.decode().startswith("error: answer cannot be written: found no space left")
    assert b"Traceback" not in done.stderr
