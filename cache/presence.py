"""Files that are locked as long as their process lives: what locks and leases name their holders with.

A process id says little: it repeats, and means nothing on another machine that shares the folder. So only the
lock on a presence file decides whether its process lives; the kernel takes it away when the process ends,
however it ends. Whoever looks tests with a shared lock, so two that look at once never take each other for
the process.

A presence file gets its lock under a temporary name, and its own name only then:

    who looks before it is locked     its process seems dead. Either the lock fails, because the test holds
                                      its own, or the file is removed and cannot be renamed; in both cases the
                                      process makes another file
    who looks once it has its name    it has been locked ever since it had that name

A lock belongs to what was opened, and a child that is forked without executing another program shares that:
the presence then ends with the last of both. That is the safe side, and everything here is closed on exec.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from cache.atomic import TEMPORARY_PREFIX

MOST_BYTES = 16 << 20
"""Of one presence file: a lease of 200,000 packs. A longer one is not ours, and is cut off here."""

MOST_TRIES = 16
"""At one presence file: each needs somebody who looks just between two system calls."""

_USER_OF_URL = re.compile(r"//[^/@\s]*@")  # may hold a password, and others who share the folder read it
_COMMAND_LETTERS = 200  # enough to tell commands apart, few enough for one line of a message
_END_OF_YEARS = datetime(9999, 12, 31, tzinfo=UTC).timestamp()  # no later moment can be printed


class Holder(msgspec.Struct, frozen=True):
    """Who holds something, as a presence file says it.

    Attributes:
        pid: process id.
        host: the machine that it is of.
        command: what was called, shortened.
        since: Unix seconds.
    """

    pid: int
    host: str
    command: str
    since: Annotated[float, msgspec.Meta(ge=0, le=_END_OF_YEARS)]

    @classmethod
    def of_this_process(cls, *, now: float) -> Holder:
        """This process, which holds something since `now`."""
        program, *arguments = sys.argv or [""]
        text = " ".join([os.path.basename(program), *arguments])  # noqa: PTH119 - no path, a text
        # What cannot be printed cannot always be encoded either.
        command = _printable(_USER_OF_URL.sub("//", text))
        return cls(pid=os.getpid(), host=os.uname().nodename, command=command[:_COMMAND_LETTERS], since=now)

    def __str__(self) -> str:
        """Names the process in one line; what is unprintable is escaped, for the file may be anybody's."""
        since = datetime.fromtimestamp(self.since, UTC)
        return _printable(
            f"pid {self.pid} on {self.host} ({self.command}) since {since:%Y-%m-%d %H:%M:%S} UTC"
        )


class Presence:
    """Our own presence file. Synchronous: async code calls it in a thread.

    Args:
        folder: where it appears; must exist.
        name: how its name begins.
        content: what it says.

    Attributes:
        file: its path once it has appeared.

    Bounds: one descriptor from `appear` until `vanish`.
    """

    def __init__(self, folder: Path, name: str, content: bytes) -> None:
        if len(content) > MOST_BYTES:
            raise ValueError("presence file would be longer than what is read of one")
        self.file = folder / f"{name}-{secrets.token_hex(8)}"
        self._content = content
        self._path: Path | None = None  # where it lies now
        self._descriptor: int | None = None

    def appear(self) -> None:
        """Makes the file, locked and whole. Call `vanish` afterwards in any case, also if this fails."""
        for tries_left in reversed(range(MOST_TRIES)):
            try:
                self._try_to_appear()
                return
            except (BlockingIOError, FileNotFoundError):  # somebody looked too early
                self.vanish()
                if not tries_left:
                    raise

    def vanish(self) -> None:
        """Removes the file and lets go of its lock. Idempotent."""
        path, self._path = self._path, None
        descriptor, self._descriptor = self._descriptor, None
        try:
            if path is not None:
                path.unlink(missing_ok=True)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def is_intact(self) -> bool:
        """Whether others still see the file that we locked.

        It may have been removed or replaced from outside; and after a network file system lost the lock, its
        descriptor can no longer be read.
        """
        if self._descriptor is None:
            return False
        try:
            os.pread(self._descriptor, 1, 0)
            return os.path.samestat(os.fstat(self._descriptor), self.file.lstat())
        except OSError:
            return False

    def _try_to_appear(self) -> None:
        self._path = self.file.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(16)}")
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        view = memoryview(self._content)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._path.rename(self.file)
        self._path = self.file


@dataclass(frozen=True, slots=True)
class Present:
    """A presence file whose process lives.

    Attributes:
        path: of the file.
        content: what it says; anything, if it is not ours. Empty where we may not read it.
    """

    path: Path
    content: bytes


def living(folder: Path) -> list[Present]:
    """The presence files in `folder` whose process lives, sorted; none if there is no such folder.

    Bounds: `MOST_BYTES` for each.
    """
    contents = {path: _content(path) for path in _files(folder) if not _is_temporary(path)}
    return [Present(path, content) for path, content in contents.items() if content is not None]


def remove_dead(folder: Path) -> int:
    """Removes the presence files whose process died, half-made ones too; returns how many."""
    removed = 0
    for path in _files(folder):
        # Nobody locks it in between: a file with its own name was born locked, and the process of one that
        # has none makes another when it finds this one gone.
        if _content(path) is None:
            try:
                path.unlink()
            except FileNotFoundError:
                continue  # another was quicker, or its process ended well
            removed += 1
    return removed


def _files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry) for entry in entries if entry.is_file(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _is_temporary(path: Path) -> bool:
    return path.name.startswith(TEMPORARY_PREFIX)


def _content(path: Path) -> bytes | None:
    """What a presence file says; None if its process is dead."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except PermissionError:
        return b""  # another user's: it may well live
    with os.fdopen(descriptor, "rb") as file:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read(MOST_BYTES)
    return None


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
