"""What only a local storage meets: links, permissions, full disks, leftovers."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cache.atomic import TEMPORARY_PREFIX
from restore.errors import (
    AccessDeniedError,
    EmptyStorageError,
    ManifestError,
    MissingFileError,
    ResourceError,
    RestoreError,
    StorageUnavailableError,
    UnsafePathError,
)
from restore.storage.local import LocalFs
from tests.conftest import open_descriptors
from tests.contracts.cancelling import cancel_at_every_wait
from tests.contracts.storage import LINE, get, put
from tests.flow.steps import settle

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A storage's folder, with one file, beside a folder that does not belong to it."""
    for folder, data in (("root/abc.0000", b"data"), ("outside", b"secret")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "one.chunk").write_bytes(data)
    return tmp_path / "root"


def outside(root: Path) -> Path:
    return root.parent / "outside"


def files_in(root: Path) -> dict[str, bytes]:
    """All files, by their handles."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def link_file_out(root: Path) -> str:
    (root / "link").symlink_to(outside(root) / "one.chunk")
    return "link"


def link_file_out_relatively(root: Path) -> str:
    (root / "abc.0000" / "link").symlink_to("../../outside/one.chunk")
    return "abc.0000/link"


def link_folder_out(root: Path) -> str:
    (root / "link").symlink_to(outside(root))
    return "link/one.chunk"


def link_by_way_of_a_link(root: Path) -> str:
    (root / "first").symlink_to("second")
    (root / "second").symlink_to(outside(root) / "one.chunk")
    return "first"


def link_to_a_sibling_with_the_root_s_name_as_beginning(root: Path) -> str:
    (root.parent / "root2").mkdir()
    (root.parent / "root2" / "one.chunk").write_bytes(b"secret")
    (root / "link").symlink_to(root.parent / "root2" / "one.chunk")
    return "link"


def link_to_itself(root: Path) -> str:
    (root / "link").symlink_to("link")
    return "link"


def links_in_a_circle(root: Path) -> str:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    return "one/file"


@pytest.mark.parametrize(
    "make",
    [
        link_file_out,
        link_file_out_relatively,
        link_folder_out,
        link_by_way_of_a_link,
        link_to_a_sibling_with_the_root_s_name_as_beginning,
        link_to_itself,
        links_in_a_circle,
    ],
)
async def test_a_link_out_of_the_storage_or_in_a_circle_is_unsafe(
    root: Path, make: Callable[[Path], str]
) -> None:
    handle, storage = make(root), LocalFs(root)
    descriptors = open_descriptors()
    with pytest.raises(UnsafePathError) as opening:
        await get(storage, handle)
    with pytest.raises(UnsafePathError) as asking:
        await storage.size_of(handle)
    for refusal in (opening, asking):
        assert (refusal.value.exit_code, refusal.value.file) == (20, handle)
    assert open_descriptors() == descriptors


async def test_links_inside_the_storage_and_to_it_are_followed(root: Path) -> None:
    (root / "link").symlink_to("abc.0000")
    (root / "abc.0000" / "other").symlink_to(root / "abc.0000" / "one.chunk")
    (root.parent / "current").symlink_to("root")
    storage = LocalFs(root.parent / "current")
    for handle in ("abc.0000/one.chunk", "link/one.chunk", "link/other"):
        assert await get(storage, handle) == b"data"
        assert await storage.size_of(handle) == 4
    assert storage.identity == LocalFs(root).identity == LocalFs(root / ".." / "root").identity


def test_the_identity_of_a_path_that_is_no_text_is_text(tmp_path: Path) -> None:
    assert LocalFs(tmp_path / "a\udcff").identity == f"file://{tmp_path}/a\\xff"


async def test_a_dangling_link_is_a_missing_file(root: Path) -> None:
    (root / "link").symlink_to("gone")
    with pytest.raises(MissingFileError):
        await get(LocalFs(root), "link")


async def test_metadata_in_a_linked_folder_outside_is_unsafe(root: Path) -> None:
    (root / "metadata").symlink_to(outside(root))
    storage = LocalFs(root)
    (handle,) = await storage.list_metadata_files()
    with pytest.raises(UnsafePathError):
        await get(storage, handle)
    with pytest.raises(UnsafePathError):
        await storage.backup_metadata_file(handle)
    assert (outside(root) / "one.chunk").exists()


async def test_a_linked_metadata_file_is_retired_as_the_link_that_it_is(root: Path) -> None:
    (root / "metadata").mkdir()
    (root / "metadata" / "some.meta").symlink_to("../abc.0000/one.chunk")
    await LocalFs(root).backup_metadata_file("metadata/some.meta")
    assert (root / "metadata_backup" / "some.meta").is_symlink()
    assert (root / "abc.0000" / "one.chunk").read_bytes() == b"data"


async def test_what_is_no_file_is_missing_and_nobody_waits_for_it(root: Path) -> None:
    os.mkfifo(root / "pipe")
    for handle in ("pipe", "abc.0000"):
        with pytest.raises(MissingFileError):
            await get(LocalFs(root), handle)


async def test_a_name_too_long_for_the_filesystem_is_missing(root: Path) -> None:
    with pytest.raises(MissingFileError):
        await get(LocalFs(root), f"abc.0000/{'x' * 300}")


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch])
async def test_a_root_without_a_folder_of_metadata_is_empty(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    root = tmp_path / "root"
    make(root)
    with pytest.raises(EmptyStorageError) as refusal:
        await LocalFs(root).list_metadata_files()
    assert (refusal.value.exit_code, refusal.value.file) == (10, str(root / "metadata"))


async def test_leftovers_of_other_writers_are_not_listed(root: Path) -> None:
    (root / "metadata").mkdir()
    for name in (f"{TEMPORARY_PREFIX}1234", ".nfs0001", ".hidden.meta", "some.meta"):
        (root / "metadata" / name).write_text(LINE)
    assert await LocalFs(root).list_metadata_files() == ["metadata/some.meta"]


async def test_other_tools_never_see_unfinished_metadata(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They list whatever is in the folder, hidden or not."""
    seen: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        seen.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        seen.extend(path.name for path in (root / "metadata").iterdir())
        fsync(descriptor)

    await LocalFs(root).save_metadata_lines("first.meta", [LINE])
    monkeypatch.setattr(os, "fsync", note)
    await LocalFs(root).save_metadata_lines("second.meta", [LINE])
    unfinished, first, folder, *both = seen
    assert unfinished.startswith(TEMPORARY_PREFIX)
    assert (first, folder) == ("first.meta", "metadata")
    assert sorted(both) == ["first.meta", "second.meta"]


async def test_a_listed_name_that_no_handle_can_have_is_an_error(root: Path) -> None:
    (root / "metadata").mkdir()
    (root / "metadata" / "\udcff\n.meta").write_text(LINE)
    with pytest.raises(UnsafePathError) as refusal:
        await LocalFs(root).list_metadata_files()
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    ("number", "kind", "exit_code"),
    [
        (errno.EACCES, AccessDeniedError, 31),
        (errno.EPERM, AccessDeniedError, 31),
        (errno.ENOENT, MissingFileError, 20),
        (errno.ELOOP, UnsafePathError, 20),
        (errno.EIO, StorageUnavailableError, 30),
        (errno.ESTALE, StorageUnavailableError, 30),
        (errno.EMFILE, ResourceError, 40),
        (errno.ENOMEM, ResourceError, 40),
    ],
)
async def test_a_file_that_cannot_be_opened_says_why(
    root: Path, number: int, kind: type[RestoreError], exit_code: int
) -> None:
    def refuse(path: str, flags: int) -> int:
        raise OSError(number, os.strerror(number), path)

    with pytest.raises(kind) as refusal:
        await get(LocalFs(root, opener=refuse), "abc.0000/one.chunk")
    assert type(refusal.value) is kind
    assert (refusal.value.exit_code, refusal.value.file) == (exit_code, "abc.0000/one.chunk")
    assert os.strerror(number) in refusal.value.message


async def test_a_file_that_cannot_be_read_to_its_end_says_so(root: Path) -> None:
    def open_unreadable(path: str, flags: int) -> int:
        return os.open("/proc/self/mem", flags)  # nothing is at its beginning: EIO

    descriptors = open_descriptors()
    with pytest.raises(StorageUnavailableError) as refusal:
        await get(LocalFs(root, opener=open_unreadable), "abc.0000/one.chunk")
    assert refusal.value.file == "abc.0000/one.chunk"
    assert open_descriptors() == descriptors


async def test_a_reader_cancelled_while_its_file_is_opened_closes_it(root: Path) -> None:
    opened: list[int] = []

    def note(path: str, flags: int) -> int:
        opened.append(os.open(path, flags))
        return opened[-1]

    async def check() -> None:
        for descriptor in opened:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptor)

    waits = await cancel_at_every_wait(lambda: get(LocalFs(root, opener=note), "abc.0000/one.chunk"), check)
    assert len(opened) == waits + 1


async def test_a_file_is_not_closed_under_a_thread_that_still_reads_from_it(root: Path) -> None:
    read_end, write_end = os.pipe()

    async def read() -> None:
        async with LocalFs(root, opener=lambda path, flags: read_end).open_for_read(
            "abc.0000/one.chunk"
        ) as file:
            reading.set()
            await file.read_piece()

    reading = asyncio.Event()
    reader = asyncio.create_task(read())
    await reading.wait()
    for _ in range(3):
        reader.cancel()
        await settle()
        assert not reader.done()
        os.fstat(read_end)
    os.write(write_end, b"at last")
    with pytest.raises(asyncio.CancelledError):
        await reader
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read_end)
    os.close(write_end)


async def test_a_writer_cancelled_at_any_wait_leaves_no_temporary_file(root: Path) -> None:
    storage = LocalFs(root)
    tries = iter(range(100))

    async def write() -> None:
        async with storage.create_for_write("abc.0000", f"{next(tries)}-.chunk") as file:
            await file.write(b"data")

    async def check() -> None:
        assert not [handle for handle in files_in(root) if "/." in handle]

    assert await cancel_at_every_wait(write, check) >= 3


async def test_a_file_needs_its_backup(root: Path) -> None:
    with pytest.raises(MissingFileError):
        async with LocalFs(root).create_for_write("gone.0000", "one.chunk"):
            pass


async def test_a_file_in_the_place_of_a_backup_is_not_overwritten(root: Path) -> None:
    (root / "def.0000").write_bytes(b"data")
    with pytest.raises(ManifestError):
        await LocalFs(root).create_backup("def.0000")
    assert (root / "def.0000").read_bytes() == b"data"


async def test_the_layout_is_that_of_other_tools(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path / "new" / "root")
    await put(storage, "transaction_0-.0000/0-.chunk", b"data")
    for name in ("first.meta", "second.meta"):
        await storage.save_metadata_lines(name, [LINE])
    await storage.backup_metadata_file("metadata/first.meta")
    assert files_in(tmp_path / "new" / "root") == {
        "transaction_0-.0000/0-.chunk": b"data",
        "metadata/second.meta": f"{LINE}\n".encode(),
        "metadata_backup/first.meta": f"{LINE}\n".encode(),
    }


async def test_the_event_loop_s_thread_opens_nothing(root: Path) -> None:
    threads = set()

    def note(path: str, flags: int) -> int:
        threads.add(threading.current_thread())
        return os.open(path, flags)

    await get(LocalFs(root, opener=note), "abc.0000/one.chunk")
    assert threads
    assert threading.main_thread() not in threads


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


PROGRAM = """
import asyncio, os, resource, subprocess, sys
from pathlib import Path
from restore.errors import RestoreError
from restore.storage.local import LocalFs
from tests.contracts.storage import get

async def main(folder, handle=""):
    storage = LocalFs(Path(folder))
{script}

async def report():
    try:
        print("result", await main(*sys.argv[1:]))
    except RestoreError as error:
        print(type(error).__name__, error.exit_code, error.file)

asyncio.run(report())
"""

DROP_PRIVILEGES = """
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""

READ = DROP_PRIVILEGES + "return await get(storage, handle)"

LIST = DROP_PRIVILEGES + "return await storage.list_metadata_files()"

WRITE_MUCH = """
await storage.create_backup("abc.0000")
try:
    async with storage.create_for_write("abc.0000", "one.chunk") as file:
        for _ in range(100):
            await file.write(bytes(10_000))
finally:
    print(*os.listdir(folder + "/abc.0000"))
"""


def run_apart(script: str, *arguments: object, command: tuple[str, ...] = ()) -> str:
    """Runs the body of a coroutine in another process; returns what it printed, its result or error last."""
    program = PROGRAM.format(script=textwrap.indent(script, "    "))
    done = subprocess.run(
        [*command, sys.executable, "-c", program, *map(str, arguments)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("barred", ["abc.0000/one.chunk", "abc.0000"])
def test_a_file_that_this_user_may_not_read_is_denied(open_folder: Path, barred: str) -> None:
    for backup in ("abc.0000", "def.0000"):
        (open_folder / backup).mkdir(mode=0o755)
        (open_folder / backup / "one.chunk").write_bytes(b"data")
    (open_folder / barred).chmod(0)
    denied, granted = [run_apart(READ, open_folder, f"{name}.0000/one.chunk") for name in ("abc", "def")]
    (open_folder / barred).chmod(0o755)
    assert denied == "AccessDeniedError 31 abc.0000/one.chunk"
    assert granted == "result b'data'"


@pytest.mark.parametrize("barred", ["metadata", "."])
def test_metadata_that_this_user_may_not_list_is_denied_and_not_empty(open_folder: Path, barred: str) -> None:
    (open_folder / "metadata").mkdir(mode=0o755)
    (open_folder / "metadata" / "some.meta").write_text(LINE)
    (open_folder / barred).chmod(0)
    denied = run_apart(LIST, open_folder)
    (open_folder / barred).chmod(0o755)
    assert denied == f"AccessDeniedError 31 {open_folder / 'metadata'}"
    assert run_apart(LIST, open_folder) == "result ['metadata/some.meta']"


def test_a_file_that_may_not_grow_is_a_full_disk_and_leaves_nothing(tmp_path: Path) -> None:
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))"
    assert run_apart(limit + WRITE_MUCH, tmp_path) == "DiskFullError 40 abc.0000/one.chunk"


def test_a_disk_that_is_full_says_so_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    apart = ("unshare", "--mount")  # the mount ends with the process
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "none", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*apart, *mount], check=False).returncode:
        pytest.skip("a small filesystem cannot be mounted here")
    found = run_apart(f"subprocess.run({mount}, check=True)" + WRITE_MUCH, tmp_path, command=apart)
    assert found == "DiskFullError 40 abc.0000/one.chunk"
