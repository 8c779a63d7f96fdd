"""Files appear whole and durable, or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.atomic import TEMPORARY_PREFIX, DurableFile, make_directory_durably, sync_folder, write_durably
from tests.conftest import open_descriptors


def names_in(folder: Path) -> list[str]:
    """All names, sorted."""
    return sorted(path.name for path in folder.iterdir())


class BodyError(Exception):
    """What a block raises."""


def write_and_fail(path: Path, *, overwrite: bool) -> None:
    """Raises in the midst of writing."""
    with DurableFile(path, overwrite=overwrite) as file:
        file.write(b"half of")
        raise BodyError


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_has_all_that_was_written(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "file"
    with DurableFile(path, overwrite=overwrite) as file:
        for part in (b"", b"one", b"", b"two" * 1_000_000):
            file.write(part)
        assert not path.exists()
    assert path.read_bytes() == b"one" + b"two" * 1_000_000
    assert names_in(tmp_path) == ["file"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_writes_are_joined(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "joined"
    with DurableFile(path) as file:
        for part in parts:
            file.write(part)
    assert path.read_bytes() == b"".join(parts)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"first", b"second, which is longer", b""):
        write_durably(path, data)
        assert path.read_bytes() == data
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_nothing_remains_after_an_error(tmp_path: Path, overwrite: bool) -> None:
    descriptors = open_descriptors()
    with pytest.raises(BodyError):
        write_and_fail(tmp_path / "file", overwrite=overwrite)
    assert names_in(tmp_path) == []
    assert open_descriptors() == descriptors


def test_an_error_keeps_what_would_have_been_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")
    with pytest.raises(BodyError):
        write_and_fail(path, overwrite=True)
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_what_exists_is_not_overwritten_unless_asked(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "file"
    make(path)
    with pytest.raises(FileExistsError) as refusal, DurableFile(path, overwrite=False):
        pytest.fail("it begins although its end is known")
    assert refusal.value.filename == str(path)
    assert names_in(tmp_path) == ["file"]


def test_what_appeared_meanwhile_is_not_overwritten_either(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = DurableFile(path, overwrite=False)
    file.open()
    file.write(b"mine")
    path.write_bytes(b"another's")
    with pytest.raises(FileExistsError):
        file.publish()
    file.discard()
    assert path.read_bytes() == b"another's"
    assert names_in(tmp_path) == ["file"]


def test_of_many_writers_exactly_one_creates_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def create(number: int) -> bool:
        try:
            with DurableFile(path, overwrite=False) as file:
                file.write(b"%d" % number)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        created = list(threads.map(create, range(32)))
    assert created.count(True) == 1
    assert path.read_bytes() == b"%d" % created.index(True)
    assert names_in(tmp_path) == ["file"]


def test_unfinished_files_have_hidden_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    with DurableFile(path) as first, DurableFile(path) as second:
        first.write(b"first")
        second.write(b"second")
        names = names_in(tmp_path)
        assert len(names) == 2
        assert all(name.startswith(TEMPORARY_PREFIX) and name.startswith(".") for name in names)
    assert names_in(tmp_path) == [path.name]
    assert path.read_bytes() == b"first"


def test_unfinished_files_may_lie_in_another_folder(tmp_path: Path) -> None:
    folder = tmp_path / "listed by others"
    folder.mkdir()
    for overwrite in (True, False):
        with DurableFile(folder / f"{overwrite}", overwrite=overwrite, temporary_folder=tmp_path) as file:
            file.write(b"data")
            assert f"{overwrite}" not in names_in(folder)
            assert not any(name.startswith(".") for name in names_in(folder))
    assert names_in(folder) == ["False", "True"]
    assert names_in(tmp_path) == [folder.name]


def test_a_killed_writer_leaves_nothing_under_the_name_and_hinders_nobody(tmp_path: Path) -> None:
    path = tmp_path / "file"
    script = f"""
import os, signal
from pathlib import Path
from cache.atomic import DurableFile
with DurableFile(Path({str(path)!r}), overwrite=False) as file:
    file.write(b"half of")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run_script(script) == -signal.SIGKILL
    (left,) = names_in(tmp_path)
    assert left.startswith(TEMPORARY_PREFIX)
    with DurableFile(path, overwrite=False) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"


def test_a_file_that_may_not_grow_leaves_nothing(tmp_path: Path) -> None:
    script = f"""
import errno, resource
from pathlib import Path
from cache.atomic import write_durably
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_durably(Path({str(tmp_path / "file")!r}), bytes(1001))
except OSError as error:
    raise SystemExit(error.errno == errno.EFBIG and 7)
"""
    assert run_script(script) == 7
    assert names_in(tmp_path) == []


def run_script(script: str) -> int:
    """The exit code of a Python process."""
    root = Path(__file__).resolve().parents[2]
    return subprocess.run([sys.executable, "-c", script], cwd=root, check=False, timeout=60).returncode


class Syncs:
    """Notes which files and folders are made durable, and whether `path` was there by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.seen: list[tuple[Path, bool]] = []
        self.error: OSError | None = None
        self._path = path
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self.seen.append((Path(f"/proc/self/fd/{descriptor}").readlink(), self._path.exists()))
        if self.error is not None:
            raise self.error
        self._fsync(descriptor)


@pytest.mark.parametrize("overwrite", [True, False])
def test_the_content_is_durable_before_the_name_and_then_the_name(
    tmp_path: Path, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    syncs = Syncs(monkeypatch, path)
    with DurableFile(path, overwrite=overwrite) as file:
        file.write(b"data")
    (content, seen_early), (folder, seen_late) = syncs.seen
    assert content.parent == folder == tmp_path
    assert content.name.startswith(TEMPORARY_PREFIX)
    assert (seen_early, seen_late) == (False, True)


def test_a_file_that_cannot_be_made_durable_does_not_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs(monkeypatch, tmp_path / "file")
    syncs.error = OSError(5, "Input/output error")
    descriptors = open_descriptors()
    with pytest.raises(OSError, match="Input/output"):
        write_durably(tmp_path / "file", b"data")
    assert names_in(tmp_path) == []
    assert open_descriptors() == descriptors


def test_a_file_that_is_not_open_takes_nothing(tmp_path: Path) -> None:
    file = DurableFile(tmp_path / "file")
    file.discard()
    with pytest.raises(ValueError, match="not open"):
        file.write(b"data")
    with pytest.raises(ValueError, match="not open"):
        file.publish()
    with file:
        file.write(b"data")
    with pytest.raises(ValueError, match="not open"):
        file.write(b"more")
    file.discard()
    assert (tmp_path / "file").read_bytes() == b"data"


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_durably(tmp_path / "gone" / "file", b"data")


def test_folders_are_made_with_their_parents_and_each_name_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a" / "b" / "c"
    syncs = Syncs(monkeypatch, path)
    make_directory_durably(path)
    assert path.is_dir()
    assert syncs.seen == [(tmp_path, False), (tmp_path / "a", False), (tmp_path / "a" / "b", True)]
    make_directory_durably(path)
    assert len(syncs.seen) == 3


def test_a_relative_folder_is_made_where_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_directory_durably(Path("a/b"))
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises((FileExistsError, NotADirectoryError)):
            make_directory_durably(path)


def test_a_filesystem_that_cannot_sync_folders_is_left_alone(tmp_path: Path) -> None:
    descriptors = open_descriptors()
    sync_folder(Path("/proc"))  # says EINVAL
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "gone")
    assert open_descriptors() == descriptors


def test_a_folder_that_cannot_be_made_durable_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs(monkeypatch, tmp_path)
    syncs.error = OSError(5, "Input/output error")
    descriptors = open_descriptors()
    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path)
    assert open_descriptors() == descriptors
