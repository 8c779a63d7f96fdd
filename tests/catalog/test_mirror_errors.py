"""Whatever a mirror cannot do ends with its class, its exit code and the next step."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

import cache.mirror
from cache import errors as mirror_errors
from cache.errors import MirrorError
from cache.folder import MirrorFolder, mirror_path
from cache.lock import Locks, Mode
from cache.probe import check_locks
from cache.sync import MAX_LISTINGS
from restore.catalog.mirror import MirrorOptions, load_view
from restore.catalog.mirror_errors import typed_errors
from restore.errors import (
    AccessDeniedError,
    DiskFullError,
    EmptyStorageError,
    LockedError,
    MissingFileError,
    ResourceError,
    RestoreError,
    StorageUnavailableError,
    UsageError,
)
from restore.storage.base import FileHandle, Storage
from restore.storage.local import LocalFs
from tests.catalog.metadata import Observed, save, save_some, versions


async def refused(kind: type[RestoreError], storage: Storage, options: MirrorOptions) -> RestoreError:
    """The error of just this class that reading ends with."""
    with pytest.raises(kind) as refusal:
        await load_view(storage, options, concurrency=2)
    assert type(refusal.value) is kind
    return refusal.value


@asynccontextmanager
async def held_by_another_task(folder: MirrorFolder, mode: Mode) -> AsyncIterator[None]:
    is_held, may_end = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with Locks(folder.path).hold(mode):
            is_held.set()
            await may_end.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(hold())
        await is_held.wait()
        yield
        may_end.set()


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own in `folder`, where one can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# What the storage is to blame for


@pytest.mark.parametrize("folders", ["", "root", "root/metadata"])
async def test_a_storage_without_metadata_is_empty(tmp_path: Path, folders: str) -> None:
    (tmp_path / folders).mkdir(parents=True, exist_ok=True)
    error = await refused(EmptyStorageError, LocalFs(tmp_path / "root"), MirrorOptions())
    assert (error.exit_code, error.file) == (10, f"file://{tmp_path / 'root'}")


async def test_a_storage_that_is_empty_all_at_once_is_refused_and_nothing_forgotten(tmp_path: Path) -> None:
    storage = Observed(tmp_path / "backup")
    entries = await save_some(storage, 3)
    options = MirrorOptions(tmp_path / "mirrors")
    await load_view(storage, options, concurrency=2)
    (tmp_path / "backup" / "metadata").rename(tmp_path / "elsewhere")
    error = await refused(EmptyStorageError, storage, options)
    assert error.exit_code == 10
    assert "emptied on purpose" in (error.hint or "")
    (tmp_path / "elsewhere").rename(tmp_path / "backup" / "metadata")
    storage.told()
    assert (await load_view(storage, options, concurrency=2)).transactions == tuple(entries)
    assert storage.told() == []


async def test_a_listed_file_that_cannot_be_read_fails_the_whole(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 1)
    (tmp_path / "backup" / "metadata" / "zone.meta").symlink_to("gone.meta")
    error = await refused(MissingFileError, storage, MirrorOptions(tmp_path / "mirrors"))
    assert (error.exit_code, error.file) == (20, "metadata/zone.meta")


class Restless(LocalFs):
    """Lists each time a file that is gone when it is read."""

    listings = 0

    async def list_metadata(self) -> dict[FileHandle, str]:
        self.listings += 1
        return {f"metadata/{self.listings}.meta": ""}


async def test_a_storage_that_never_settles_is_unavailable(tmp_path: Path) -> None:
    storage = Restless(tmp_path)
    error = await refused(StorageUnavailableError, storage, MirrorOptions(tmp_path / "mirrors"))
    assert (error.exit_code, error.file) == (30, storage.identity)
    assert storage.listings == MAX_LISTINGS + 1


# What the folder is to blame for


async def test_who_is_waited_for_too_long_is_named(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 1)
    folder = MirrorFolder(mirror_path(tmp_path / "mirrors", storage.identity))
    folder.create()
    options = MirrorOptions(tmp_path / "mirrors", lock_seconds=0)
    for mode in (Mode.SYNC, Mode.PRUNE):
        async with held_by_another_task(folder, mode):
            error = await refused(LockedError, storage, options)
        assert (error.exit_code, error.file) == (11, str(folder.path))
        assert (error.found or "").startswith(f"{mode.name} by pid {os.getpid()} on {os.uname().nodename} (")
        assert "--metadata-lock-timeout" in (error.hint or "")
    await load_view(storage, options, concurrency=1)


async def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Observed(tmp_path / "backup")
    await save_some(storage, 1)
    lockless = functools.partial(check_locks, flock=lambda descriptor, operation: None)
    monkeypatch.setattr(cache.mirror, "check_locks", lockless)
    error = await refused(UsageError, storage, MirrorOptions(tmp_path / "mirrors"))
    assert error.exit_code == 2
    assert error.message == "metadata cache: file system does not lock"
    assert "give another --metadata-cache-dir, or none" in (error.hint or "")
    assert storage.told() == []


async def test_packs_that_are_taken_away_again_and_again_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalFs(tmp_path / "backup")
    options = MirrorOptions(tmp_path / "mirrors")
    for number in range(2):  # each run leaves a pack; what is fetched again is not read from one
        await save(storage, f"{number}.meta", versions(number, number))
        await load_view(storage, options, concurrency=1)
    monkeypatch.setattr(MirrorFolder, "read_summary", lambda self, state: None)  # else no pack is read
    read_pack, taken = MirrorFolder.read_pack, list[str]()

    def robbed(self: MirrorFolder, file: str, *, identity: str) -> object:
        taken.append(file)
        self.remove_pack(file)
        return read_pack(self, file, identity=identity)

    monkeypatch.setattr(MirrorFolder, "read_pack", robbed)
    error = await refused(ResourceError, storage, options)
    assert (error.exit_code, len(taken)) == (40, 2)
    assert (error.message, error.file) == (
        "metadata cache: leased file was damaged by somebody else",
        taken[-1],
    )


@pytest.mark.parametrize("below", ["", "below"])
async def test_a_file_is_no_folder(tmp_path: Path, below: str) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 1)
    (tmp_path / "file").write_text("precious")
    error = await refused(UsageError, storage, MirrorOptions(tmp_path / "file" / below))
    assert (error.exit_code, error.file) == (2, str(tmp_path / "file"))
    assert error.message == "metadata cache cannot be used: not a directory"
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(
    "place", ["backup/metadata", "backup/metadata/below", "link", "backup/else/../metadata"]
)
async def test_the_metadata_of_the_backup_is_no_place_for_a_cache(tmp_path: Path, place: str) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 1)
    (tmp_path / "backup" / "else").mkdir()
    (tmp_path / "link").symlink_to("backup/metadata")
    before = await storage.list_metadata()
    error = await refused(UsageError, storage, MirrorOptions(tmp_path / place))
    assert error.message == "metadata cache lies in the metadata of the backup"
    assert await storage.list_metadata() == before


@pytest.mark.parametrize("place", ["backup", "backup/metadata_too"])
async def test_beside_the_metadata_a_cache_is_in_nobodys_way(tmp_path: Path, place: str) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 1)
    before = await storage.list_metadata()
    await load_view(storage, MirrorOptions(tmp_path / place), concurrency=1)
    assert await storage.list_metadata() == before


async def test_a_folder_that_cannot_be_made_is_a_matter_of_resources(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 1)
    error = await refused(ResourceError, storage, MirrorOptions(Path("/proc/absent")))
    assert (error.exit_code, error.file) == (40, "/proc/absent")


async def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 1)
    with mounted(tmp_path / "disk", "ro"):
        error = await refused(AccessDeniedError, storage, MirrorOptions(tmp_path / "disk"))
    assert error.exit_code == 31
    assert error.message == "metadata cache cannot be used: read-only file system"
    assert (error.hint or "").startswith("let this user write there, or give another --metadata-cache-dir")


async def test_a_full_disk_is_told_and_room_mends_it(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 1)
    room, options = tmp_path / "disk" / "else", MirrorOptions(tmp_path / "disk")
    with mounted(tmp_path / "disk", "size=200k"):
        room.write_bytes(bytes(100 << 10))
        await save(storage, "long.meta", *(versions(number, number) for number in range(1500)))
        error = await refused(DiskFullError, storage, options)
        assert error.exit_code == 40
        assert error.message == "metadata cache cannot be used: no space left on device"
        assert (error.hint or "").startswith("free space there, or give another --metadata-cache-dir")
        room.unlink()
        assert len((await load_view(storage, options, concurrency=1)).transactions) == 1501


async def test_where_no_temporary_folder_can_be_made_another_is_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    error = await refused(ResourceError, storage, MirrorOptions())
    assert (error.file or "").startswith(str(tmp_path / "absent"))
    assert "TMPDIR" in (error.hint or "")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    error = await refused(ResourceError, storage, MirrorOptions())
    assert error.message.startswith("metadata cache cannot be used: no usable temporary directory")


# The table


def test_every_error_of_a_mirror_is_one_of_ours() -> None:
    kinds = {kind for kind in vars(mirror_errors).values() if isinstance(kind, type)} - {MirrorError}
    found = {}
    for kind in kinds:
        with pytest.raises(RestoreError) as refusal, typed_errors(Path("DIR")):
            raise kind("something is wrong", file="f", expected="e", found="g")
        assert str(refusal.value) == ("metadata cache: something is wrong: file f, expected e, found g")
        found[kind.__name__] = refusal.value.exit_code
    assert found == {
        "LockTimeoutError": 11,
        "LockOrderError": 1,
        "NoLocksError": 2,
        "LeaseLostError": 40,
        "VanishedError": 1,
        "UnfetchableError": 20,
        "UnsettledError": 30,
        "EmptyListingError": 10,
        "DamagedFileError": 40,
    }


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFullError),
        (errno.EDQUOT, DiskFullError),
        (errno.EFBIG, DiskFullError),
        (errno.EACCES, AccessDeniedError),
        (errno.EPERM, AccessDeniedError),
        (errno.EROFS, AccessDeniedError),
        (errno.EEXIST, UsageError),
        (errno.ENOTDIR, UsageError),
        (errno.EIO, ResourceError),
        (errno.EMFILE, ResourceError),
    ],
)
def test_every_error_of_the_file_system_is_one_of_ours(number: int, kind: type[RestoreError]) -> None:
    with pytest.raises(kind) as refusal, typed_errors(Path("DIR")):
        raise OSError(number, os.strerror(number))
    assert type(refusal.value) is kind
    assert refusal.value.file == "DIR"


def test_what_is_ours_passes_as_it_is() -> None:
    error = MissingFileError("gone")
    with pytest.raises(MissingFileError) as refusal, typed_errors(None):
        raise error
    assert refusal.value is error
