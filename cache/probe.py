"""Whether a folder's file system locks, for all who share it.

Two questions, since neither answers the other: a lock is taken twice, which must fail; and the options of the
mount say whether other machines would notice. What keeps its locks to one machine and does not say so (some
FUSE and cluster file systems) is not found out.

Sources: proc_pid_mountinfo(5), nfs(5), mount.lustre(8).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.atomic import TEMPORARY_PREFIX
from cache.errors import NoLocksError

MOUNTINFO = Path("/proc/self/mountinfo")

_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
_NFS_LOCAL = {"nolock", "local_lock=flock", "local_lock=all"}


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system.

    Attributes:
        point: where it is mounted.
        kind: its type.
        options: of the mount and of the file system.
    """

    point: str
    kind: str
    options: frozenset[str]

    def local_locks(self) -> str | None:
        """What of it keeps locks from other machines; None if nothing does."""
        if self.kind in ("nfs", "nfs4"):
            return ", ".join(sorted(self.options & _NFS_LOCAL)) or None
        if self.kind == "lustre":
            if "localflock" in self.options:
                return "localflock"
            return None if "flock" in self.options else "no flock"
        return None


def check_locks(
    folder: Path,
    *,
    flock: Callable[[int, int], None] = fcntl.flock,
    mountinfo: Path = MOUNTINFO,
) -> None:
    """Returns if locks in `folder` keep out everybody who shares it.

    Synchronous: async code calls it in a thread.

    Args:
        folder: must exist, and be writable.
        flock: as `fcntl.flock`.
        mountinfo: the kernel's list of mounts; where there is none, only the lock is tried.

    Raises:
        NoLocksError: they do not.
    """
    mount = _mount_of(folder, mountinfo)
    if mount is not None and (reason := mount.local_locks()):
        raise NoLocksError(
            "file system does not keep other machines out",
            file=folder,
            expected="locks that all machines see",
            found=f"{mount.kind} mounted with {reason}",
        )
    if failure := _try_twice(folder, flock):
        kind = "an unknown file system" if mount is None else mount.kind
        raise NoLocksError(
            "file system does not lock",
            file=folder,
            expected="locks that exclude each other",
            found=f"{failure}, by {kind}",
        )


def parse_mountinfo(text: str) -> list[Mount]:
    """The mounts that a mountinfo file lists, in its order; lines that are none are left out."""
    return [mount for line in text.split("\n") if (mount := _parse_mount(line)) is not None]


def mount_at(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that an absolute, resolved path lies in: the deepest, and of several there the uppermost."""
    around = [mount for mount in mounts if os.path.commonpath((mount.point, path)) == mount.point]
    # The last one mounted hides the others; the first of equals is what `max` takes.
    return max(reversed(around), key=lambda mount: len(mount.point), default=None)


def _mount_of(folder: Path, mountinfo: Path) -> Mount | None:
    try:
        text = os.fsdecode(mountinfo.read_bytes())
    except FileNotFoundError:
        return None
    return mount_at(os.path.realpath(folder), parse_mountinfo(text))


def _parse_mount(line: str) -> Mount | None:
    # "36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda rw,errors=continue", with any number of
    # fields before the dash.
    fields, dash, more = line.partition(" - ")
    before, after = fields.split(" "), more.split(" ")
    if not dash or len(before) < 6 or len(after) < 3 or not before[4].startswith("/"):
        return None
    options = frozenset(f"{before[5]},{after[2]}".split(","))
    return Mount(point=_unescape(before[4]), kind=_unescape(after[0]), options=options)


def _unescape(field: str) -> str:
    r"""Blanks, tabs, line ends and backslashes stand there as `\ooo`."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _try_twice(folder: Path, flock: Callable[[int, int], None]) -> str | None:
    """Locks one file twice. Returns what is wrong if nothing refuses, or if there are no locks."""
    path = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(16)}"
    first = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        second = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "one lock given twice" if _is_given(second, flock) else None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            return os.strerror(error.errno)
        finally:
            os.close(second)
    finally:
        os.close(first)
        path.unlink()


def _is_given(descriptor: int, flock: Callable[[int, int], None]) -> bool:
    try:
        flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
