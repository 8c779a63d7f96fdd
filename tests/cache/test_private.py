from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.atomic import TEMPORARY_PREFIX
from cache.private import MOST_BYTES, read_private, write_private

WORD = b"what only this user says"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "word"


@pytest.fixture
def written(path: Path) -> Path:
    write_private(path, WORD)
    return path


@pytest.fixture
def no_umask() -> Iterator[None]:
    found = os.umask(0)
    yield
    os.umask(found)


def test_what_is_written_is_read(path: Path) -> None:
    assert read_private(path) is None
    for word in (WORD, b"", b"a longer one" * 1000):
        write_private(path, word)
        assert read_private(path) == word


@pytest.mark.usefixtures("no_umask")
def test_nobody_else_may_read_or_write_it(path: Path) -> None:
    write_private(path, WORD)
    assert path.stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("mode", [0o700, 0o604, 0o602, 0o640, 0o620, 0o644, 0o666])
def test_a_file_that_others_might_have_written_says_nothing(written: Path, mode: int) -> None:
    written.chmod(mode)
    assert read_private(written) is None
    write_private(written, WORD)
    assert read_private(written) == WORD


def test_a_file_of_another_user_says_nothing(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = written.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert read_private(written) is None


def test_a_link_says_nothing_wherever_it_leads(written: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(written)
    assert read_private(link) is None
    write_private(link, b"other")
    assert (read_private(link), read_private(written)) == (b"other", WORD)


def test_what_is_no_file_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(0o600)
    for name in ("pipe", "folder", "absent", "absent/file"):
        assert read_private(tmp_path / name) is None


def test_a_file_that_is_too_long_is_not_read(written: Path) -> None:
    os.truncate(written, MOST_BYTES + 1)
    assert read_private(written) is None


def test_a_damaged_file_says_nothing(written: Path) -> None:
    whole = written.read_bytes()
    for size in range(len(whole)):
        written.write_bytes(whole[:size])
        assert read_private(written) is None
        written.write_bytes(whole[:size] + bytes([whole[size] ^ 0x10]) + whole[size + 1 :])
        assert read_private(written) is None
    written.write_bytes(whole + b"\0")
    assert read_private(written) is None
    written.write_bytes(whole)
    assert read_private(written) == WORD


def test_who_is_killed_while_writing_leaves_the_old_word_or_the_new_one(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from cache.private import write_private\n"
        "for number in range(10**9):\n"
        "    write_private(Path(sys.argv[1]), b'%d,' % number * 50_000); print(number, flush=True)"
    )
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"0\n"
            writer.send_signal(signal.SIGKILL)
        word = read_private(path)
        assert word is not None
        number = word.split(b",", 1)[0]
        assert word == number + b"," + (number + b",") * 49_999
    others = {entry.name for entry in path.parent.iterdir()} - {path.name}
    assert all(name.startswith(TEMPORARY_PREFIX) for name in others)
