"""The doctor command."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cache.probe
from cache.probe import check_locks
from restore.cli.diagnosis import LIBRARIES, SharedFolder, diagnose
from restore.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


def test_the_libraries_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [requirement.split(">")[0].split("[")[0] for requirement in project["dependencies"]]
    assert list(LIBRARIES) == required


def test_it_says_what_this_process_may_use(tmp_path: Path) -> None:
    found = diagnose(tmp_path / "not" / "there")
    assert found.problems == ()
    assert found.limits is not None
    assert found.disk == str(tmp_path)
    assert found.disk_free_bytes > 0
    assert [entry.folder for entry in found.import_names] == [str(ROOT / "restore"), str(ROOT / "cache")]


def test_it_answers_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--target-db-dir", str(tmp_path), "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["command"], found["problems"]) == ("ok", "doctor", [])
    assert {library["name"] for library in found["libraries"]} == set(LIBRARIES)


def test_it_shows_the_limits_that_the_same_flags_give_a_restore(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--memory-budget", "64M", "--workers", "3"]
    assert main(["doctor", *flags, "--output", "json"]) == 0
    limits = json.loads(capsys.readouterr().out)["limits"]
    assert (limits["memory_bytes"], limits["concurrency"]) == (64 << 20, 3)
    assert main(["doctor", *flags]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["memory", "budget", "64.0", "MiB"] in rows
    assert main(["doctor", "--concurrent-downloads", "0"]) == 2
    assert "must be at least 1" in capsys.readouterr().err


def test_it_tries_locks_where_a_metadata_cache_would_lie_and_makes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    found = diagnose(tmp_path, metadata_folder=folder)
    assert (found.metadata_cache, found.problems) == (SharedFolder(str(folder), None), ())
    assert list(tmp_path.iterdir()) == []
    assert diagnose(tmp_path).metadata_cache is None


def test_a_file_system_without_locks_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lockless = functools.partial(check_locks, flock=lambda descriptor, operation: None)
    monkeypatch.setattr(cache.probe, "check_locks", lockless)
    assert main(["doctor", "--metadata-cache-dir", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    rows = [line.split(maxsplit=2) for line in shown.out.splitlines()]
    assert ["metadata", "cache", f"cannot be shared: {tmp_path}"] in rows
    assert "found metadata cache: file system does not lock: file " in shown.err


def test_a_folder_that_cannot_be_used_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    flags = ["--metadata-cache-dir", str(tmp_path / "file"), "--output", "json"]
    assert main(["doctor", *flags]) == 2
    found = json.loads(capsys.readouterr().out)
    failure = f"not a directory at {tmp_path / 'file'}"
    assert found["problems"] == [f"metadata cache: {failure}"]
    assert found["metadata_cache"] == {"folder": str(tmp_path / "file"), "failure": failure}


def test_it_shows_that_a_metadata_cache_can_be_shared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APTOS_RESTORE_METADATA_CACHE_DIR", str(tmp_path))
    assert main(["doctor"]) == 0
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert ["metadata", "cache", f"can be shared: {tmp_path}"] in rows


def test_it_reports_even_where_our_own_package_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cache.probe", None)
    (problem,) = diagnose(tmp_path, metadata_folder=tmp_path).problems
    assert problem.startswith("metadata cache: does not import: ")


def make_distribution(folder: Path, name: str, import_name: str) -> None:
    """An installed distribution that owns `import_name`."""
    (folder / import_name).mkdir(parents=True)
    (folder / import_name / "__init__.py").write_text("")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "top_level.txt").write_text(import_name + "\n")


@pytest.mark.parametrize("comes_first", [True, False])
def test_it_names_a_distribution_that_owns_one_of_our_names(tmp_path: Path, comes_first: bool) -> None:
    make_distribution(tmp_path, "some-cache", "cache")
    place = [str(tmp_path), str(ROOT)] if comes_first else [str(ROOT), str(tmp_path)]
    script = f"import sys; sys.path[:0] = {place!r}; from restore.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, "doctor", "--output", "json"],
        capture_output=True,
        check=False,
        text=True,
    )
    found = json.loads(done.stdout)
    assert (done.returncode, found["exit_code"], found["status"]) == (2, 2, "error")
    assert "the distribution some-cache also owns the import name cache" in found["message"]
    assert ("the import name cache leads to" in found["message"]) == comes_first
