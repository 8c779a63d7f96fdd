"""Parsing: every flag, its environment variable, its refusal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from restore.cli.legacy import ignored_notices
from restore.cli.main import cli, command_name, main
from restore.cli.options import ENV_PREFIX, TargetFlags
from restore.cli.values import MAX_U64, GivenPath, LimitRate

BOOTSTRAP = ["bootstrap-db", "--local-fs-dir", "backup"]
WAYPOINT = "0:6072b68a942aace147e0655c5704beaa255c84a7829baa4e72a500f1516584c4"


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that name it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def parsed(*arguments: str) -> dict[str, Any]:
    """The values that a command line gives its command."""
    command: click.Command = cli
    rest = list(arguments)
    while isinstance(command, click.Group):
        command = command.commands[rest.pop(0)]
    with command.make_context("test", rest) as context:
        return context.params


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The object that a command line ends with."""
    code = main([*arguments, "--output", "json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == code
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("bootstrap-db",),
        ("restore", "bootstrap-db"),
        ("oneoff", "epoch-ending"),
        ("oneoff", "state-snapshot"),
        ("oneoff", "transaction"),
        ("restore", "oneoff", "epoch-ending"),
        ("restore", "oneoff", "state-snapshot"),
        ("restore", "oneoff", "transaction"),
        ("verify",),
        ("backup", "verify"),
        ("aptos-db", "restore", "bootstrap-db"),
        ("aptos-db", "restore", "oneoff", "transaction"),
        ("aptos-db", "backup", "verify"),
        ("query", "backup-storage-state"),
        ("backup", "query", "backup-storage-state"),
        ("aptos-db", "backup", "query", "backup-storage-state"),
        ("cache", "info"),
        ("cache", "prune"),
        ("cache", "verify"),
        ("plan",),
        ("verify-db",),
        ("demo",),
        ("doctor",),
    ],
)
def test_every_command_is_there(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: aptos-restore {' '.join(words)} ")


def test_every_flag_is_a_variable() -> None:
    for words, command in commands():
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in {"help", None}:
                flag = option.opts[-1]
                assert option.envvar == ENV_PREFIX + flag[2:].replace("-", "_").upper(), (words, flag)


def test_every_shown_option_has_help() -> None:
    for words, command in commands():
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help or option.hidden, (words, option.opts)


def test_variables_are_read_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APTOS_RESTORE_LOCAL_FS_DIR", "from-variable")
    monkeypatch.setenv("APTOS_RESTORE_TRUST_WAYPOINT", f"{WAYPOINT} 5:00")
    monkeypatch.setenv("APTOS_RESTORE_DRY_RUN", "true")
    monkeypatch.setenv("APTOS_RESTORE_MEMORY_BUDGET", "2G")
    values = parsed("bootstrap-db", "--memory-budget", "1G")
    assert values["local_fs_dir"] == Path("from-variable")
    assert values["trust_waypoint"] == (WAYPOINT, "5:00")
    assert values["dry_run"] is True
    assert values["memory_budget"] == 1 << 30


STORAGES = {
    "storage": ("--storage", "s3://bucket"),
    "local_fs_dir": ("--local-fs-dir", "folder"),
    "command_adapter_config": ("--command-adapter-config", "config.yaml"),
}


@pytest.mark.parametrize("given", STORAGES)
@pytest.mark.parametrize("variable", STORAGES)
def test_a_storage_on_the_command_line_displaces_one_in_a_variable(
    given: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_PREFIX + variable.upper(), "of-the-environment")
    values = parsed("bootstrap-db", "--dry-run", *STORAGES[given])
    named = {name: str(values[name]) for name in STORAGES if values[name] is not None}
    assert named == {given: STORAGES[given][1]}


@pytest.mark.parametrize("second", ["storage", "command_adapter_config"])
@pytest.mark.parametrize("source", ["command line", "variables"])
def test_two_storages_at_one_place_are_refused(
    second: str, source: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*STORAGES["local_fs_dir"], *STORAGES[second]] if source == "command line" else []
    if source == "variables":
        for name in ("local_fs_dir", second):
            monkeypatch.setenv(ENV_PREFIX + name.upper(), STORAGES[name][1])
    found = failure(capsys, "bootstrap-db", "--dry-run", "--trust-genesis", *arguments)
    assert found["message"].startswith("exactly one of --storage")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1073741824", 1 << 30),
        ("64K", 64 << 10),
        ("512M", 512 << 20),
        ("512m", 512 << 20),
        ("2G", 2 << 30),
        ("2GB", 2 << 30),
        ("2GiB", 2 << 30),
        ("1T", 1 << 40),
    ],
)
def test_sizes_have_binary_units(text: str, size: int) -> None:
    assert parsed(*BOOTSTRAP, "--memory-budget", text)["memory_budget"] == size


@pytest.mark.parametrize("text", ["G", "2X", "-1", "1.5G", "2 G", "²", "0x10"])
def test_other_sizes_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = failure(capsys, *BOOTSTRAP, "--dry-run", f"--memory-budget={text}")
    assert found["exit_code"] == 2
    assert f"'--memory-budget': {text!r} is not a size" in found["message"]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("80M", LimitRate(80 << 20, None)),
        ("@limit", LimitRate(None, Path("limit"))),
        ("@off", LimitRate(None, Path("off"))),
        ("off", None),
    ],
)
def test_a_bandwidth_limit_is_a_size_or_a_file_or_off(
    text: str, limit: LimitRate | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APTOS_RESTORE_LIMIT_RATE", "1M")  # which off takes away
    assert parsed(*BOOTSTRAP, "--limit-rate", text)["limit_rate"] == limit


@pytest.mark.parametrize("text", ["", "0", "OFF", "none", "offf"])
def test_other_bandwidth_limits_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = failure(capsys, *BOOTSTRAP, "--dry-run", f"--limit-rate={text}")
    assert found["exit_code"] == 2
    assert "'--limit-rate': " in found["message"]


def test_a_budget_above_the_memory_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--local-fs-dir", "absent", "--trust-genesis", "--memory-budget", "900T"]) == 10
    assert capsys.readouterr().err.startswith(
        "warning: the memory budget of 900.0 TiB is more than the memory"
    )


@pytest.mark.parametrize("version", [0, 1, MAX_U64])
def test_versions_are_unsigned_64_bit(version: int) -> None:
    assert parsed(*BOOTSTRAP, "--target-version", str(version))["target_version"] == version


@pytest.mark.parametrize("text", ["-1", "1_000", "max", "1e3", "", str(MAX_U64 + 1), "٣"])
def test_other_versions_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = failure(capsys, *BOOTSTRAP, "--dry-run", f"--target-version={text}")
    assert found["exit_code"] == 2
    assert f"{text!r} is not a version" in found["message"]


def test_verify_starts_at_zero_and_max_means_no_transactions() -> None:
    assert parsed("verify", "--local-fs-dir", "b")["start_version"] == 0
    assert parsed("verify", "--local-fs-dir", "b", "--start-version", "7")["start_version"] == 7
    assert parsed("verify", "--local-fs-dir", "b", "--start-version", "max")["start_version"] is None


def test_verify_refuses_a_range_that_ends_before_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    found = failure(capsys, "verify", "--local-fs-dir", "b", "--start-version", "8", "--end-version", "7")
    assert found["exit_code"] == 2
    assert "--start-version lies after --end-version" in found["message"]


def test_a_target_or_a_dry_run_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    found = failure(capsys, *BOOTSTRAP, "--trust-genesis")
    assert found["exit_code"] == 2
    assert found["message"] == "--target-db-dir or --dry-run is needed"


def test_a_dry_run_may_be_added_to_any_command_line() -> None:
    folder = Path("db")
    assert TargetFlags(folder, dry_run=False).folder() == folder
    assert TargetFlags(folder, dry_run=True).folder() is None
    assert TargetFlags(None, dry_run=True).folder() is None


def test_plan_takes_every_flag_of_bootstrap_db() -> None:
    flags = [
        {opt for param in cli.commands[name].params for opt in param.opts}
        for name in ("bootstrap-db", "plan")
    ]
    assert flags[0] == flags[1]


PATHS = [
    ["verify", "--local-fs-dir", "PATH", "--trust-genesis"],
    ["plan", "--local-fs-dir", "PATH"],
    ["plan", "--local-fs-dir", "b", "--target-db-dir", "PATH"],
    [*BOOTSTRAP, "--trust-genesis", "--target-db-dir", "PATH"],
    ["verify-db", "PATH"],
    ["demo", "--keep", "PATH"],
    ["doctor", "--target-db-dir", "PATH"],
    ["doctor", "--metadata-cache-dir", "PATH"],
    ["plan", "--local-fs-dir", "b", "--metadata-cache-dir", "PATH"],
    ["cache", "info", "--metadata-cache-dir", "PATH"],
]


@pytest.mark.parametrize("arguments", PATHS)
def test_an_empty_path_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = failure(capsys, *("" if word == "PATH" else word for word in arguments))
    assert (found["exit_code"], found["error"]) == (2, "UsageError")
    assert found["message"].endswith("a path must not be empty")


@pytest.mark.parametrize("arguments", PATHS)
@pytest.mark.parametrize(
    ("path", "reason"), [("x" * 300, "file name too long"), (f"{__file__}/below", "not a directory")]
)
def test_a_path_that_cannot_be_is_refused(
    arguments: list[str], path: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = failure(capsys, *(path if word == "PATH" else word for word in arguments))
    assert (found["exit_code"], found["error"]) == (2, "UsageError")
    assert found["message"].endswith(f"{path!r}: {reason}")


def test_what_this_user_may_not_read_is_no_question_of_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for anybody but root
    assert GivenPath().convert(str(tmp_path), None, None) == tmp_path


@pytest.mark.parametrize("flag", ["--metadata-lock-timeout", "--command-idle-timeout"])
@pytest.mark.parametrize("text", ["nan", "1h", ""])
def test_seconds_are_a_number(flag: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = failure(capsys, "plan", "--local-fs-dir", "b", flag, text)
    assert (found["exit_code"], found["error"]) == (2, "UsageError")
    assert found["message"] == f"invalid value for '{flag}': {text!r} is not a valid number of seconds"


@pytest.mark.parametrize("command", [[*BOOTSTRAP, "--dry-run"], ["verify", "--local-fs-dir", "b"]])
def test_something_must_be_trusted(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = failure(capsys, *command)
    assert (found["exit_code"], found["error"]) == (2, "UsageError")
    assert "--trust-waypoint" in found["hint"]


def test_a_waypoint_that_does_not_parse_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    found = failure(capsys, *BOOTSTRAP, "--dry-run", "--trust-waypoint", "0:xyz")
    assert (found["exit_code"], found["found"]) == (2, "0:xyz")
    assert "--network" in found["hint"]


@pytest.mark.parametrize("command", [[*BOOTSTRAP, "--dry-run"], ["verify-db", "db"]])
def test_contradicting_waypoints_are_a_usage_error(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    other = WAYPOINT[:-1] + "5"
    found = failure(capsys, *command, "--network", "mainnet", "--trust-waypoint", other)
    assert found["exit_code"] == 2
    assert "same version" in found["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        [*BOOTSTRAP, "--dry-run", "--replay-all"],
        ["verify", "--local-fs-dir", "b", "--validate-modules"],
        ["oneoff", "state-snapshot", "--local-fs-dir", "b", "--dry-run", "--validate-modules"],
        ["replay-verify", "--target-db-dir", "d", "--lazy-quit"],
        ["aptos-db", "replay-verify", "--target-db-dir", "d", "--lazy-quit"],
        [
            *("oneoff", "transaction", "--local-fs-dir", "b", "--dry-run", "--transaction-manifest", "m"),
            *("--kv-only-replay", "false"),
        ],
    ],
)
def test_what_needs_a_move_vm_is_refused_with_the_reason(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = failure(capsys, *arguments)
    assert found["exit_code"] == 2
    assert "not supported" in found["message"]
    assert "no Move VM" in found["hint"]


def test_flags_that_tune_the_rust_tool_are_accepted_and_said_once() -> None:
    given = [
        *("--replay-concurrency-level", "16", "--enable-storage-sharding"),
        *("--ledger-db-max-open-files", "5000", "--ledger-db-max-total-wal-size", "1"),
        *("--state-merkle-db-max-open-files", "5000", "--state-merkle-db-max-total-wal-size", "1"),
        *("--state-kv-db-max-open-files", "5000", "--state-kv-db-max-total-wal-size", "1"),
        *("--index-db-max-open-files", "5000", "--index-db-max-total-wal-size", "1"),
        *("--max-background-jobs", "16", "--block-cache-size", "1", "--enable-state-indices"),
    ]
    command = cli.commands["bootstrap-db"]
    with command.make_context("test", ["--local-fs-dir", "b", *given]) as context:
        (notice,) = ignored_notices(context)
    assert all(flag in notice for flag in given if flag.startswith("--"))


def test_nothing_is_said_about_flags_that_were_not_given() -> None:
    with cli.commands["bootstrap-db"].make_context("test", ["--local-fs-dir", "b"]) as context:
        assert ignored_notices(context) == []


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["bootstrap-db", "--dry-run"], "bootstrap-db"),
        (["restore", "bootstrap-db"], "bootstrap-db"),
        (["backup", "verify", "--start-version", "plan"], "verify"),
        (["oneoff", "transaction"], "oneoff transaction"),
        (["restore", "oneoff", "transaction"], "oneoff transaction"),
        (["aptos-db", "restore", "oneoff", "transaction"], "oneoff transaction"),
        (["aptos-db", "backup", "verify", "--start-version", "plan"], "verify"),
        (["aptos-db", "backup", "query", "backup-storage-state"], "query backup-storage-state"),
        (["cache", "verify"], "cache verify"),
        (["aptos-db", "replay-verify"], "replay-verify"),
        (["aptos-db"], "aptos-restore"),
        (["oneoff"], "oneoff"),
        (["verify-db", "verify"], "verify-db"),
        (["unknown", "verify"], "aptos-restore"),
        ([], "aptos-restore"),
    ],
)
def test_a_command_has_one_name_however_it_is_spelled(arguments: list[str], name: str) -> None:
    assert command_name(arguments) == name
