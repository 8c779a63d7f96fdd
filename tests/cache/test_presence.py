"""Presence files: listed while their process lives, removed when it died, whoever looks and whenever."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from cache.atomic import TEMPORARY_PREFIX
from cache.presence import MOST_BYTES, MOST_TRIES, Holder, Presence, Present, living, remove_dead
from tests.conftest import open_descriptors

ROOT = Path(__file__).resolve().parents[2]

OWNER = """
import os, signal, subprocess, sys
from pathlib import Path
from cache.presence import Presence
presence = Presence(Path(sys.argv[1]), "child", b"of another process")
presence.appear()
if sys.argv[2] == "forks":
    if os.fork() == 0:
        sys.stdin.read()
        os._exit(0)
elif sys.argv[2] == "executes":
    subprocess.Popen(["cat"], close_fds=False)
print("present", flush=True)
signal.pause()
"""
"""A process with a presence file, and perhaps with a child that lives until its standard input ends."""


@contextmanager
def appeared(folder: Path, content: bytes = b"content") -> Iterator[Presence]:
    """A presence file of ours during the block."""
    presence = Presence(folder, "name", content)
    try:
        presence.appear()
        yield presence
    finally:
        presence.vanish()


@contextmanager
def owner(folder: Path, what: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process with a presence file; killed after the block."""
    argv = [sys.executable, "-c", OWNER, str(folder), what]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"present\n"
            yield process
        finally:
            process.kill()


def test_a_presence_is_living_until_it_vanishes(tmp_path: Path) -> None:
    before = open_descriptors()
    with appeared(tmp_path, b"first") as first, appeared(tmp_path, b"") as second:
        found = [Present(first.file, b"first"), Present(second.file, b"")]
        assert living(tmp_path) == sorted(found, key=lambda present: present.path)
        assert first.file.name.startswith("name-")
        first.vanish()
        first.vanish()
        assert living(tmp_path) == [Present(second.file, b"")]
        assert remove_dead(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []
    assert open_descriptors() == before


def test_a_file_that_nobody_locks_is_dead_whatever_it_says(tmp_path: Path) -> None:
    content = msgspec.json.encode(Holder.of_this_process(now=0.0))  # our process id, which lives
    (tmp_path / "name-0123").write_bytes(content)
    (tmp_path / f"{TEMPORARY_PREFIX}half-made").touch()
    with appeared(tmp_path) as ours:
        assert living(tmp_path) == [Present(ours.file, b"content")]
        assert remove_dead(tmp_path) == 2
        assert list(tmp_path.iterdir()) == [ours.file]
        assert remove_dead(tmp_path) == 0


def test_a_half_made_file_of_a_living_process_stays_and_is_not_listed(tmp_path: Path) -> None:
    path = tmp_path / f"{TEMPORARY_PREFIX}half-made"
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert living(tmp_path) == []
        assert remove_dead(tmp_path) == 0
    assert remove_dead(tmp_path) == 1


def test_a_folder_that_is_missing_holds_nothing(tmp_path: Path) -> None:
    assert living(tmp_path / "missing") == []
    assert remove_dead(tmp_path / "missing") == 0


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "link-to-file").symlink_to(__file__)
    (tmp_path / "dangling").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    assert living(tmp_path) == []
    assert remove_dead(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 5


def test_a_presence_dies_with_its_process(tmp_path: Path) -> None:
    with owner(tmp_path, "alone") as process:
        assert [present.content for present in living(tmp_path)] == [b"of another process"]
        assert remove_dead(tmp_path) == 0
        process.kill()
        process.wait()
        assert living(tmp_path) == []
        assert remove_dead(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_child_that_was_only_forked_keeps_the_presence(tmp_path: Path) -> None:
    with owner(tmp_path, "forks") as process:
        process.kill()
        process.wait()
        assert len(living(tmp_path)) == 1
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        assert process.stdout.read() == b""  # the child has ended as well
        assert living(tmp_path) == []


def test_a_child_that_executes_another_program_does_not_keep_the_presence(tmp_path: Path) -> None:
    with owner(tmp_path, "executes") as process:
        process.kill()
        process.wait()
        assert living(tmp_path) == []
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        assert process.stdout.read() == b""


def patch_lock(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None]) -> None:
    """Calls `before` each time a presence file is about to be locked by its process."""
    flock = fcntl.flock

    def patched(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_EX:
            before()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", patched)


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[int] = []

    def look() -> None:
        if len(removed) < 3:
            removed.append(remove_dead(tmp_path))

    patch_lock(monkeypatch, look)
    with appeared(tmp_path) as presence:
        assert removed == [1, 1, 1]
        assert list(tmp_path.iterdir()) == [presence.file]
        assert living(tmp_path) == [Present(presence.file, b"content")]
        assert presence.is_intact()


def test_a_file_whose_test_is_under_way_while_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests: list[int] = []

    def test() -> None:
        if not tests:
            (path,) = tmp_path.iterdir()
            tests.append(os.open(path, os.O_RDONLY))
            fcntl.flock(tests[0], fcntl.LOCK_SH)

    patch_lock(monkeypatch, test)
    try:
        with appeared(tmp_path) as presence:
            assert len(tests) == 1
            assert living(tmp_path) == [Present(presence.file, b"content")]
            assert list(tmp_path.iterdir()) == [presence.file]
    finally:
        os.close(tests[0])


def test_one_who_is_removed_every_time_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()
    removed: list[int] = []
    patch_lock(monkeypatch, lambda: removed.append(remove_dead(tmp_path)))
    presence = Presence(tmp_path, "name", b"content")
    with pytest.raises(FileNotFoundError):
        presence.appear()
    assert removed == [1] * MOST_TRIES
    assert open_descriptors() == before
    assert list(tmp_path.iterdir()) == []


def test_two_who_look_at_once_do_not_take_each_other_for_the_process(tmp_path: Path) -> None:
    path = tmp_path / "name-0123"
    path.touch()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert living(tmp_path) == []
        assert remove_dead(tmp_path) == 1


def test_a_file_that_another_removes_first_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "name-0123").touch()
    flock = fcntl.flock

    def remove_and_lock(descriptor: int, operation: int) -> None:
        (tmp_path / "name-0123").unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_and_lock)
    assert remove_dead(tmp_path) == 0


def test_a_half_made_file_is_removed_by_vanish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()

    def write(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)
    presence = Presence(tmp_path, "name", b"content")
    with pytest.raises(OSError, match="No space left"):
        presence.appear()
    presence.vanish()
    assert list(tmp_path.iterdir()) == []
    assert open_descriptors() == before


def test_a_presence_that_never_appeared_can_vanish(tmp_path: Path) -> None:
    presence = Presence(tmp_path / "missing", "name", b"content")
    presence.vanish()
    with pytest.raises(FileNotFoundError):
        presence.appear()
    presence.vanish()


def test_a_presence_is_listed_only_when_all_of_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    listed: list[Present] = []

    def write_a_little(descriptor: int, data: bytes) -> int:
        listed.extend(living(tmp_path))
        assert remove_dead(tmp_path) == 0
        return write(descriptor, data[:3])

    monkeypatch.setattr(os, "write", write_a_little)
    with appeared(tmp_path, b"0123456789") as presence:
        assert listed == []
        assert living(tmp_path) == [Present(presence.file, b"0123456789")]


def test_a_presence_is_intact_until_it_is_tampered_with(tmp_path: Path) -> None:
    presence = Presence(tmp_path, "name", b"content")
    assert not presence.is_intact()
    with appeared(tmp_path) as presence:
        assert presence.is_intact()
        moved = tmp_path / "moved"
        presence.file.rename(moved)
        assert not presence.is_intact()
        presence.file.write_bytes(b"content")
        assert not presence.is_intact()
        moved.rename(presence.file)
        assert presence.is_intact()
        presence.vanish()
        assert not presence.is_intact()


def test_a_presence_whose_lock_was_lost_is_not_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pread(descriptor: int, length: int, offset: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with appeared(tmp_path) as presence:
        monkeypatch.setattr(os, "pread", pread)
        assert not presence.is_intact()


def test_what_is_read_and_written_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="longer"):
        Presence(tmp_path, "name", bytes(MOST_BYTES + 1))
    with (tmp_path / "name-0123").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(MOST_BYTES + 1)
        (present,) = living(tmp_path)
        assert len(present.content) == MOST_BYTES


def test_a_file_that_may_not_be_read_counts_as_living(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "name-0123"
    path.touch()

    def refuse(*args: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    assert living(tmp_path) == [Present(path, b"")]
    assert remove_dead(tmp_path) == 0
    assert path.exists()


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/usr/bin/aptos-restore", "verify", "--storage", "/a b"], "aptos-restore verify --storage /a b"),
        (["aptos-restore", "a\nb\x1b[1m", "\udcff", "\u202e"], r"aptos-restore a\nb\x1b[1m \udcff \u202e"),
        (["aptos-restore", "https://me:secret@host/a@b", "//@"], "aptos-restore https://host/a@b //"),
        (["aptos-restore", "x" * 500], "aptos-restore " + "x" * 186),
        ([""], ""),
        ([], ""),
    ],
)
def test_a_holder_says_what_was_called(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], command: str
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    holder = Holder.of_this_process(now=12.5)
    assert holder == Holder(pid=os.getpid(), host=os.uname().nodename, command=command, since=12.5)
    assert msgspec.json.decode(msgspec.json.encode(holder), type=Holder) == holder


def test_a_holder_is_named_in_one_printable_line() -> None:
    holder = Holder(pid=123, host="host", command="aptos-restore verify", since=1795694584.9)
    assert str(holder) == "pid 123 on host (aptos-restore verify) since 2026-11-26 12:03:04 UTC"
    foreign = Holder(pid=-1, host="a\x07b", command="\x1b[2J\n\u2028ü", since=0)
    assert str(foreign) == r"pid -1 on a\x07b (\x1b[2J\n\u2028ü) since 1970-01-01 00:00:00 UTC"


@pytest.mark.parametrize("since", ["-1", "1e300", '"now"', "null"])
def test_a_holder_since_no_printable_moment_is_refused(since: str) -> None:
    text = f'{{"pid": 1, "host": "", "command": "", "since": {since}}}'
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Holder)


def test_a_holder_at_the_end_of_years_can_be_named() -> None:
    text = '{"pid": 1, "host": "", "command": "", "since": 253402214400}'
    assert str(msgspec.json.decode(text, type=Holder)).endswith("since 9999-12-31 00:00:00 UTC")
