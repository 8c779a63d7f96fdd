"""Whether locks are found not to lock: by trying, and by what the mount says."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cache.errors import NoLocksError
from cache.probe import MOUNTINFO, Mount, check_locks, mount_at, parse_mountinfo
from tests.conftest import open_descriptors

MOUNTS = r"""
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
90 22 0:44 / /srv/nfs rw,relatime shared:50 master:3 - nfs4 10.0.0.1:/export rw,vers=4.2,hard,proto=tcp,sec=sys,clientaddr=10.0.0.2,local_lock=none,addr=10.0.0.1
91 22 0:45 / /srv/nfs/old rw,relatime - nfs 10.0.0.1:/old rw,vers=3,hard,nolock,proto=tcp,mountvers=3,local_lock=all,addr=10.0.0.1
92 22 0:46 / /srv/with\040blank\134and\011more rw,noatime propagate_from:2 - lustre 10.0.0.3@tcp:/fs rw,flock,user_xattr
93 22 0:47 /sub /srv/nfs-too ro - xfs /dev/sdb ro,attr2
94 22 0:48 / /srv/nfs rw - fuse.sshfs me@host:/a rw,user_id=0
"""  # noqa: E501 - as the kernel prints it


def refusing(number: int) -> Callable[[int, int], None]:
    """A lock function that fails."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    return flock


def listing(folder: Path, kind: str, options: str) -> Path:
    """A list of mounts with one at `folder`."""
    path = folder.with_name(f"{folder.name}-mountinfo")
    path.write_text(f"22 1 0:1 / / rw - ext4 /dev/sda rw\n90 22 0:44 / {folder} rw - {kind} from {options}\n")
    return path


def test_mounts_are_read() -> None:
    mounts = parse_mountinfo(MOUNTS)
    assert [(mount.point, mount.kind) for mount in mounts] == [
        ("/", "ext4"),
        ("/proc", "proc"),
        ("/srv/nfs", "nfs4"),
        ("/srv/nfs/old", "nfs"),
        ("/srv/with blank\\and\tmore", "lustre"),
        ("/srv/nfs-too", "xfs"),
        ("/srv/nfs", "fuse.sshfs"),
    ]
    assert mounts[0].options == {"rw", "relatime", "errors=remount-ro"}
    assert mounts[4].options == {"rw", "noatime", "flock", "user_xattr"}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "garbage",
        " - ",
        "22 1 259:2 / / rw,relatime shared:1 ext4 /dev/sda rw",
        "22 1 259:2 / / - ext4 /dev/sda rw",
        "22 1 259:2 / / rw - ext4 /dev/sda",
        "22 1 259:2 / relative rw - ext4 /dev/sda rw",
    ],
)
def test_a_line_that_is_no_mount_is_left_out(line: str) -> None:
    assert parse_mountinfo(line) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/srv", "ext4"),
        ("/srv/nfs", "fuse.sshfs"),  # mounted over the one below
        ("/srv/nfs/a/b", "fuse.sshfs"),
        ("/srv/nfs/old", "nfs"),
        ("/srv/nfs/older", "fuse.sshfs"),
        ("/srv/nfs-too/a", "xfs"),
        ("/srv/nfs-three", "ext4"),
    ],
)
def test_a_path_lies_in_its_deepest_and_uppermost_mount(path: str, kind: str) -> None:
    mount = mount_at(path, parse_mountinfo(MOUNTS))
    assert mount is not None
    assert mount.kind == kind


def test_a_path_may_lie_in_no_mount_that_is_listed() -> None:
    assert mount_at("/srv", []) is None
    assert mount_at("/srv", [Mount("/home", "ext4", frozenset())]) is None


@pytest.mark.parametrize(
    ("kind", "options", "found"),
    [
        ("nfs", "rw,nolock,local_lock=all", "nfs mounted with local_lock=all, nolock"),
        ("nfs", "rw,nolock", "nfs mounted with nolock"),
        ("nfs4", "rw,local_lock=flock", "nfs4 mounted with local_lock=flock"),
        ("lustre", "rw,localflock,user_xattr", "lustre mounted with localflock"),
        ("lustre", "rw,user_xattr", "lustre mounted with no flock"),
        ("lustre", "rw,noflock", "lustre mounted with no flock"),
    ],
)
def test_locks_that_other_machines_do_not_see_are_refused(
    tmp_path: Path, kind: str, options: str, found: str
) -> None:
    with pytest.raises(NoLocksError, match="does not keep other machines out") as caught:
        check_locks(tmp_path, mountinfo=listing(tmp_path, kind, options))
    assert caught.value.file == str(tmp_path)
    assert caught.value.found == found


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("nfs", "rw,local_lock=none"),
        ("nfs", "rw,local_lock=posix"),
        ("nfs4", "rw,local_lock=none"),
        ("lustre", "rw,flock"),
        ("ext4", "rw,nolock,localflock"),  # means nothing there
    ],
)
def test_locks_that_all_machines_see_are_tried(tmp_path: Path, kind: str, options: str) -> None:
    mountinfo = listing(tmp_path, kind, options)
    check_locks(tmp_path, mountinfo=mountinfo)
    with pytest.raises(NoLocksError, match=f"given twice, by {kind}$"):
        check_locks(tmp_path, mountinfo=mountinfo, flock=lambda descriptor, operation: None)


def test_the_mount_is_that_of_where_a_link_leads(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(NoLocksError, match="nolock"):
        check_locks(link, mountinfo=listing(folder, "nfs", "nolock"))


def test_this_machine_locks_and_nothing_is_left(tmp_path: Path) -> None:
    before = open_descriptors()
    check_locks(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert open_descriptors() == before


def test_the_mounts_of_this_machine_are_read() -> None:
    assert mount_at("/", parse_mountinfo(MOUNTINFO.read_text())) is not None


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(tmp_path: Path, number: int) -> None:
    with pytest.raises(NoLocksError, match="does not lock") as caught:
        check_locks(tmp_path, flock=refusing(number), mountinfo=listing(tmp_path, "9p", "rw"))
    assert caught.value.file == str(tmp_path)
    assert caught.value.found == f"{os.strerror(number)}, by 9p"
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    asked: list[int] = []
    with pytest.raises(NoLocksError, match="one lock given twice"):
        check_locks(tmp_path, flock=lambda descriptor, operation: asked.append(operation))
    assert asked == [fcntl.LOCK_EX | fcntl.LOCK_NB] * 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.EAGAIN])  # the first lock of a new file cannot be held
def test_any_other_error_passes_as_it_is(tmp_path: Path, number: int) -> None:
    before = open_descriptors()
    with pytest.raises(OSError) as caught:
        check_locks(tmp_path, flock=refusing(number))
    assert caught.value.errno == number
    assert list(tmp_path.iterdir()) == []
    assert open_descriptors() == before


def test_without_a_list_of_mounts_the_lock_is_tried(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    check_locks(tmp_path, mountinfo=missing)
    with pytest.raises(NoLocksError, match="by an unknown file system"):
        check_locks(tmp_path, mountinfo=missing, flock=refusing(errno.ENOSYS))


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_locks(tmp_path / "missing")
