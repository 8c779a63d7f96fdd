"""The commands that look after a metadata cache, as they answer people and programs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from cache.folder import MirrorFolder, mirror_paths
from cache.lease import Lease
from cache.presence import Holder, Presence
from cache.prune import GRACE_SECONDS
from restore.catalog.mirror import MirrorOptions
from restore.catalog.mirror_remembered import RememberedFile
from restore.cli.main import cli, main
from tests.cache.lock_child import running

SYNCED_AT = 1_700_000_000

Lines = Callable[..., list[str]]
Json = Callable[..., dict[str, Any]]


@pytest.fixture
def backup(shared: Path, tmp_path: Path) -> Path:
    """The metadata of a backup that a test may change."""
    metadata = shared / "data" / "mainnet-genesis-backup" / "metadata"
    shutil.copytree(metadata, tmp_path / "backup" / "metadata", copy_function=shutil.copyfile)
    return tmp_path / "backup"


@pytest.fixture
def folder(backup: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> MirrorFolder:
    """The mirror of that backup, synced at `SYNCED_AT`."""
    return refreshed(backup, tmp_path / "kept", capsys)


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Runs `cache …`, which must end well, and returns the lines of its answer."""

    def run(*arguments: object) -> list[str]:
        assert main(["cache", *map(str, arguments)]) == 0
        shown = capsys.readouterr()
        assert shown.err == ""
        return shown.out.splitlines()

    return run


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Json:
    """Runs `cache … --output json`, and returns the one object on stdout."""

    def run(*arguments: object) -> dict[str, Any]:
        code = main(["cache", *map(str, arguments), "--output", "json"])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert (found["exit_code"], found["command"]) == (code, f"cache {arguments[0]}")
        return found

    return run


def refreshed(backup: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> MirrorFolder:
    """The mirror of a backup, brought up to date."""
    flags = ["--local-fs-dir", str(backup), "--metadata-cache-dir", str(root)]
    assert main(["query", "backup-storage-state", *flags]) == 0
    capsys.readouterr()
    (path,) = mirror_paths(root)
    folder = MirrorFolder(path)
    folder.touch_index(SYNCED_AT)
    return folder


@contextmanager
def leased(folder: MirrorFolder) -> Iterator[Holder]:
    """Somebody reads all packs of a mirror during the block."""
    holder = Holder(pid=17, host="elsewhere", command="verify\x1b[2J", since=SYNCED_AT)
    lease = Lease(holder, frozenset(folder.pack_files()))
    presence = Presence(folder.leases, "lease", msgspec.json.encode(lease))
    presence.appear()
    try:
        yield holder
    finally:
        presence.vanish()


def outdate(backup: Path) -> None:
    """Replaces all metadata by other files with the same content."""
    for path in list((backup / "metadata").iterdir()):
        (path.parent / f"other-{path.name}").write_bytes(path.read_bytes())
        path.unlink()


def test_info_tells_people_what_is_there(folder: MirrorFolder, backup: Path, lines: Lines) -> None:
    root = folder.path.parents[1]
    name, *rows = lines("info", "--metadata-cache-dir", root)
    assert name == f"file://{backup}"
    assert rows[0] == f"  folder       {folder.path}"
    assert re.fullmatch(r"  files        4, \d+ B in 1 pack", rows[1])
    assert re.fullmatch(r"  last synced  2023-11-14 22:13:20 UTC, \d+:\d\d:\d\d ago", rows[2])
    assert len(rows) == 3


def test_info_tells_programs_what_is_there(folder: MirrorFolder, backup: Path, answer: Json) -> None:
    found = answer("info", "--metadata-cache-dir", folder.path.parents[1])
    (pack,) = folder.pack_files()
    assert found["status"] == "ok"
    assert found["mirrors"] == [
        {
            "folder": str(folder.path),
            "identity": f"file://{backup}",
            "files": 4,
            "bytes": folder.pack_size(pack),
            "packs": 1,
            "retired_packs": 0,
            "retired_bytes": 0,
            "verified_signatures": 0,
            "synced_at": "2023-11-14T22:13:20+00:00",
            "locks": [],
            "leases": [],
            "problems": [],
        }
    ]


def test_info_counts_the_signatures_that_are_remembered(
    folder: MirrorFolder, backup: Path, lines: Lines, answer: Json
) -> None:
    flags = ("--metadata-cache-dir", folder.path.parents[1])
    kept = RememberedFile(MirrorOptions(folder.path.parents[1]), f"file://{backup}")
    asyncio.run(kept.add([bytes(32), bytes([1]) * 32]))
    assert "  verified     2 signatures" in lines("info", *flags)
    (mirror,) = answer("info", *flags)["mirrors"]
    assert mirror["verified_signatures"] == 2
    for command in (("verify",), ("prune", "--grace", "0"), ("verify",)):
        assert answer(*command, *flags)["status"] == "ok"
    assert len(asyncio.run(kept.load())) == 2


def test_info_names_who_is_at_work(folder: MirrorFolder, lines: Lines, answer: Json) -> None:
    flags = ("info", "--metadata-cache-dir", folder.path.parents[1])
    before = int(time.time())
    with leased(folder), running(folder.path) as child:
        assert child.ask("hold SYNC") == "held"
        *_, locked, read = lines(*flags)
        (mirror,) = answer(*flags)["mirrors"]
    host = os.uname().nodename
    assert locked.startswith(f"  locked       SYNC by pid {child.process.pid} on {host} (lock_child.py ")
    assert read == (
        "  read by      pid 17 on elsewhere (verify\\x1b[2J) since 2023-11-14 22:13:20 UTC, 1 pack"
    )
    (lock,) = mirror["locks"]
    assert (lock["mode"], lock["pid"], lock["host"]) == ("SYNC", child.process.pid, host)
    assert datetime.fromisoformat(lock["since"]).timestamp() >= before
    assert mirror["leases"] == [
        {
            "pid": 17,
            "host": "elsewhere",
            "command": "verify\x1b[2J",
            "since": "2023-11-14T22:13:20+00:00",
            "packs": 1,
        }
    ]


def test_info_shows_what_is_not_needed(
    folder: MirrorFolder, backup: Path, lines: Lines, answer: Json, capsys: pytest.CaptureFixture[str]
) -> None:
    (retired,) = folder.pack_files()
    size = folder.pack_size(retired)
    outdate(backup)
    refreshed(backup, folder.path.parents[1], capsys)
    shown = lines("info", "--metadata-cache-dir", folder.path.parents[1])
    assert f"  not needed   {size} B in 1 pack" in shown
    (mirror,) = answer("info", "--metadata-cache-dir", folder.path.parents[1])["mirrors"]
    assert (mirror["retired_packs"], mirror["retired_bytes"], mirror["packs"]) == (1, size, 1)


@pytest.mark.parametrize("command", ["info", "verify", "prune"])
def test_where_nothing_is_that_is_said_and_is_no_error(
    command: str, tmp_path: Path, lines: Lines, answer: Json
) -> None:
    absent, empty = tmp_path / "absent", tmp_path / "empty"
    empty.mkdir()
    assert lines(command, "--metadata-cache-dir", absent) == [f"there is no folder {absent} yet"]
    assert lines(command, "--metadata-cache-dir", empty) == [f"{empty} holds no metadata"]
    for folder in (absent, empty):
        found = answer(command, "--metadata-cache-dir", folder)
        assert (found["status"], found["mirrors"]) == ("ok", [])
    assert list(tmp_path.iterdir()) == [empty]
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("command", ["info", "verify", "prune"])
def test_the_folder_must_be_one_and_may_come_from_the_variable(
    command: str, folder: MirrorFolder, tmp_path: Path, answer: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = answer(command)
    assert (missing["exit_code"], missing["message"]) == (2, "missing option '--metadata-cache-dir'")
    (tmp_path / "file").write_text("")
    wrong = answer(command, "--metadata-cache-dir", tmp_path / "file")
    assert (wrong["exit_code"], wrong["error"]) == (2, "UsageError")
    assert "not a directory" in wrong["message"]
    monkeypatch.setenv("APTOS_RESTORE_METADATA_CACHE_DIR", str(folder.path.parents[1]))
    assert len(answer(command)["mirrors"]) == 1


def test_verify_says_that_all_is_sound(folder: MirrorFolder, lines: Lines, answer: Json) -> None:
    assert lines("verify", "--metadata-cache-dir", folder.path.parents[1])[-1] == "all of it is sound"
    found = answer("verify", "--metadata-cache-dir", folder.path.parents[1])
    assert (found["exit_code"], found["mirrors"][0]["problems"]) == (0, [])


def test_verify_finds_damage_and_the_next_run_mends_it(
    folder: MirrorFolder, backup: Path, answer: Json, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder.path.parents[1]
    (pack,) = folder.path.glob("packs/*")
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    pack.write_bytes(data)
    assert answer("info", "--metadata-cache-dir", root)["exit_code"] == 0
    found = answer("verify", "--metadata-cache-dir", root)
    assert (found["exit_code"], found["error"], found["file"]) == (20, "DataError", str(root))
    assert found["found"] == "1 problem"
    assert "fetches again" in found["hint"]
    ((problem,),) = [mirror["problems"] for mirror in found["mirrors"]]
    assert problem.startswith(f"pack is not what its name says: file {pack.name}, found ")

    assert main(["cache", "verify", "--metadata-cache-dir", str(root)]) == 20
    shown = capsys.readouterr()
    assert f"  problem      {problem}\n" in shown.out
    assert "sound" not in shown.out
    assert shown.err.splitlines() == [
        f"error: metadata cache is damaged: file {root}, found 1 problem",
        f"hint: {found['hint']}",
    ]
    refreshed(backup, root, capsys)
    assert answer("verify", "--metadata-cache-dir", root)["exit_code"] == 0


def test_prune_removes_what_nobody_needs_after_its_grace(
    folder: MirrorFolder, backup: Path, lines: Lines, answer: Json, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder.path.parents[1]
    (retired,) = folder.pack_files()
    size = folder.pack_size(retired)
    with leased(folder):
        outdate(backup)
        refreshed(backup, root, capsys)
        assert lines("prune", "--metadata-cache-dir", root) == [
            f"file://{backup}",
            "  removed  0 B in 0 packs",
        ]
        assert lines("prune", "--metadata-cache-dir", root, "--grace", 0) == [
            f"file://{backup}",
            "  removed  0 B in 0 packs",
            "  kept     1 pack that somebody reads",
        ]
    (folder.path / ".tmp-1").write_bytes(b"")
    (removed,) = answer("prune", "--metadata-cache-dir", root, "--grace", 0)["mirrors"]
    assert removed == {
        "folder": str(folder.path),
        "identity": f"file://{backup}",
        "removed": {"packs": 1, "bytes": size, "leftovers": 1, "leased_packs": 0},
        "locks": [],
    }
    (folder.path / ".tmp-1").write_bytes(b"")
    assert lines("prune", "--metadata-cache-dir", root)[2:] == [
        "  removed  1 file that killed processes left"
    ]


def test_prune_names_who_is_at_work_and_ends_well(folder: MirrorFolder, lines: Lines, answer: Json) -> None:
    flags = ("prune", "--metadata-cache-dir", folder.path.parents[1], "--grace", 0)
    with running(folder.path) as child:
        assert child.ask("hold SYNC") == "held"
        _, busy, locked = lines(*flags)
        (mirror,) = answer(*flags)["mirrors"]
    assert busy == "  busy    nothing is removed"
    assert locked.startswith(f"  locked  SYNC by pid {child.process.pid} on ")
    assert mirror["removed"] is None
    assert [(lock["mode"], lock["pid"]) for lock in mirror["locks"]] == [("SYNC", child.process.pid)]


def test_the_grace_of_the_command_is_that_of_every_run() -> None:
    group = cli.commands["cache"]
    assert isinstance(group, click.Group)
    (grace,) = [param for param in group.commands["prune"].params if param.name == "grace"]
    assert grace.default == GRACE_SECONDS


@pytest.mark.parametrize("grace", ["-1", "soon", "nan", ""])
def test_other_graces_are_refused(grace: str, tmp_path: Path, answer: Json) -> None:
    found = answer("prune", "--metadata-cache-dir", tmp_path, f"--grace={grace}")
    assert (found["exit_code"], found["error"]) == (2, "UsageError")


def test_a_mirror_of_which_nothing_is_known_is_named_by_its_folder(
    folder: MirrorFolder, lines: Lines, answer: Json
) -> None:
    root = folder.path.parents[1]
    (folder.path / "index").unlink()
    name, files, synced = lines("info", "--metadata-cache-dir", root)
    assert name == f"{folder.path}, of which nothing is known"
    assert files.endswith("  0, 0 B in 0 packs")
    assert synced.endswith("  never")
    (mirror,) = answer("info", "--metadata-cache-dir", root)["mirrors"]
    assert (mirror["identity"], mirror["synced_at"]) == (None, None)


def test_others_words_do_not_control_the_terminal(
    backup: Path, tmp_path: Path, lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = refreshed(backup.rename(tmp_path / "ba\x1bckup"), tmp_path / "kept", capsys)
    strange = Presence(folder.leases, "le\x1base", b"?")
    strange.appear()
    try:
        name, *_, problem = lines("info", "--metadata-cache-dir", tmp_path / "kept")
    finally:
        strange.vanish()
    assert name == f"file://{tmp_path}/ba\\x1bckup"
    assert problem.startswith("  problem      lease does not parse: ")
    assert problem.isprintable()
