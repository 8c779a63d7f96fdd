"""`query backup-storage-state`: one line that programs read, and what it says beside a line that is bad."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from restore.catalog.entries import (
    Entry,
    EpochEndingEntry,
    IdentityEntry,
    StateSnapshotEntry,
    TransactionEntry,
    encode_entry,
    file_name,
)
from restore.cli.cmd_query import query
from restore.cli.main import cli, main

ENTRIES: list[Entry] = [
    IdentityEntry("0f" * 32),
    EpochEndingEntry(0, 3315, 0, 417205000, "epoch_ending_0-.0000/epoch_ending.manifest"),
    EpochEndingEntry(3316, 3316, 417205001, 417206000, "epoch_ending_3316-.0000/epoch_ending.manifest"),
    StateSnapshotEntry(3305, 417205473, "state_epoch_3305_ver_417205473.0000/state.manifest"),
    TransactionEntry(0, 417000000, "transaction_0-.0000/transaction.manifest"),
]

LINE = (
    "latest_epoch_ending_epoch: 3316, latest_state_snapshot_epoch: 3305, "
    "latest_state_snapshot_version: 417205473, latest_transaction_version: 417000000"
)
NUMBERS = {
    "latest_epoch_ending_epoch": 3316,
    "latest_state_snapshot_epoch": 3305,
    "latest_state_snapshot_version": 417205473,
    "latest_transaction_version": 417000000,
}
NONE = dict.fromkeys(NUMBERS)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.commands, "query", query)


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of which only the metadata is there."""
    metadata = tmp_path / "backup" / "metadata"
    metadata.mkdir(parents=True)
    for entry in ENTRIES:
        (metadata / file_name(entry)).write_text(f"{encode_entry(entry)}\n")
    return metadata.parent


def ask(backup: Path, *flags: str) -> int:
    return main(["query", "backup-storage-state", "--local-fs-dir", str(backup), *flags])


def ask_json(capsys: pytest.CaptureFixture[str], backup: Path) -> tuple[int, dict[str, Any]]:
    code = ask(backup, "--output", "json")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    assert found["command"] == "query backup-storage-state"
    return code, found


def test_stdout_is_the_line_and_nothing_else(backup: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(backup) == 0
    assert capsys.readouterr().out == f"{LINE}\n"


def test_json_has_the_numbers(backup: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ask_json(capsys, backup)
    assert (code, found["status"]) == (0, "ok")
    assert found.items() >= NUMBERS.items()


def test_what_no_backup_holds_is_none_in_the_line_and_null_in_json(
    backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for entry in ENTRIES[1:]:
        (backup / "metadata" / file_name(entry)).unlink()
    assert ask(backup) == 0
    assert capsys.readouterr().out == f"{', '.join(f'{name}: none' for name in NUMBERS)}\n"
    code, found = ask_json(capsys, backup)
    assert code == 0
    assert found.items() >= NONE.items()


def test_the_state_of_a_real_backup_is_its_version_0(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(shared / "data" / "mainnet-genesis-backup") == 0
    assert capsys.readouterr().out == f"{', '.join(f'{name}: 0' for name in NUMBERS)}\n"


def test_a_bad_line_is_told_and_ends_with_20_after_the_line_of_the_rest(
    backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = encode_entry(ENTRIES[-1])
    (backup / "metadata" / "a.meta").write_text(f"{good}\n{good[:-1]}\n")
    (backup / "metadata" / "b.meta").write_text(encode_entry(TransactionEntry(9, 5, "m")))
    assert ask(backup) == 20
    shown = capsys.readouterr()
    assert shown.out == f"{LINE}\n"
    told = [line for line in shown.err.splitlines() if line.startswith(("warning: ", "error: ", "hint: "))]
    expected = [
        r"warning: metadata line 2 does not parse: .*: file metadata/a\.meta, offset \d+",
        r"warning: metadata line 1 has reversed versions: file metadata/b\.meta, offset 0, found 9\.\.5",
        r"error: metadata line 2 does not parse: .*: file metadata/a\.meta, offset \d+",
        r"hint: take this file from another replica of the backup; .*",
    ]
    assert [re.fullmatch(*pair) is not None for pair in zip(expected, told, strict=True)] == [True] * 4


def test_json_names_the_first_bad_line_beside_the_numbers(
    backup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (backup / "metadata" / "a.meta").write_text("torn\n")
    code, found = ask_json(capsys, backup)
    assert (code, found["status"], found["error"]) == (20, "error", "FormatError")
    assert (found["file"], found["offset"]) == ("metadata/a.meta", 0)
    assert found.items() >= NUMBERS.items()


def test_a_storage_without_metadata_has_no_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ask_json(capsys, tmp_path)
    assert (code, found["error"]) == (10, "EmptyStorageError")
    assert not found.keys() & NUMBERS.keys()
    assert list(tmp_path.iterdir()) == []
