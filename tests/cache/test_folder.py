"""The files of one mirror: whole, named by what is in them, and nothing else is touched."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cache.atomic import TEMPORARY_PREFIX
from cache.entry import Entry, make_entry
from cache.errors import DamagedFileError
from cache.folder import MOST_BYTES, MirrorFolder, mirror_path, mirror_paths
from cache.index import STATE_BYTES, Index, PackRecord
from tests.cache.syncing import DAMAGES

IDENTITY = "file:///one"
ENTRIES = [
    make_entry(IDENTITY, "one", tag="1", content=b"content of one"),
    make_entry(IDENTITY, "a/b", tag="", content=b""),
]


@pytest.fixture
def folder(tmp_path: Path) -> MirrorFolder:
    """A new mirror."""
    made = MirrorFolder(mirror_path(tmp_path, IDENTITY))
    made.create()
    return made


def packs(folder: MirrorFolder) -> Path:
    return folder.path / "packs"


def all_files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


# The folder itself.


def test_a_mirror_is_made_with_its_parents_and_a_tag_for_backup_programs(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "cache"
    folder = MirrorFolder(mirror_path(root, IDENTITY))
    folder.create()
    assert {path.name for path in folder.path.iterdir()} == {"packs", "leases", "holders"}
    assert (folder.leases, folder.holders) == (folder.path / "leases", folder.path / "holders")
    tag = (root / "v1" / "CACHEDIR.TAG").read_bytes()
    assert tag.startswith(b"Signature: 8a477f597d28d172789f06886806bc55")
    assert all_files(root) == {"v1/CACHEDIR.TAG"}


def test_making_it_again_changes_nothing(tmp_path: Path, folder: MirrorFolder) -> None:
    folder.write_pack(IDENTITY, ENTRIES)
    folder.save_index(Index(IDENTITY))
    (tmp_path / "v1" / "CACHEDIR.TAG").write_bytes(b"somebody's own")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    folder.create()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_each_source_has_a_folder_of_its_own(tmp_path: Path) -> None:
    identities = ["", "a", "b", "a/b", "../a", "file:///a", "file:///a/", "x" * 10_000, "ä\n"]
    paths = {mirror_path(tmp_path, identity) for identity in identities}
    assert len(paths) == len(identities)
    assert {path.parent for path in paths} == {tmp_path / "v1"}
    for path in paths:
        MirrorFolder(path).create()
    (tmp_path / "v1" / "a file").touch()
    (tmp_path / "v1" / "a folder").mkdir()
    assert mirror_paths(tmp_path) == sorted(paths)


def test_where_nothing_is_there_are_no_mirrors(tmp_path: Path) -> None:
    assert mirror_paths(tmp_path / "gone") == []
    assert mirror_paths(tmp_path) == []


# The index.


def test_an_index_is_loaded_as_it_was_saved(folder: MirrorFolder) -> None:
    assert folder.load_index(identity=IDENTITY) is None
    first = Index(IDENTITY, (folder.write_pack(IDENTITY, ENTRIES),))
    for index in (first, Index(IDENTITY, retired={first.packs[0].file: 5.0})):
        folder.save_index(index)
        assert folder.load_index(identity=IDENTITY) == index
        assert folder.load_index(identity=None) == index


@pytest.mark.parametrize("damage", [b"", b"x", bytes(32), bytes(1000)])
def test_a_damaged_index_is_found(folder: MirrorFolder, damage: bytes) -> None:
    (folder.path / "index").write_bytes(damage)
    for identity in (IDENTITY, None):
        with pytest.raises(DamagedFileError):
            folder.load_index(identity=identity)


def test_an_index_of_another_source_is_found(folder: MirrorFolder) -> None:
    folder.save_index(Index("file:///two"))
    with pytest.raises(DamagedFileError, match="another source"):
        folder.load_index(identity=IDENTITY)


def test_it_says_when_the_mirror_was_up_to_date(folder: MirrorFolder) -> None:
    assert folder.synced_at() is None
    folder.save_index(Index(IDENTITY))
    for now in (1000.25, 5e8):
        folder.touch_index(now)
        assert folder.synced_at() == now
    assert folder.load_index(identity=IDENTITY) == Index(IDENTITY)


def test_the_time_of_another_users_index_is_noted_in_a_copy(
    folder: MirrorFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = folder.path / "index"
    folder.save_index(Index(IDENTITY))
    set_times, theirs = os.utime, index.stat().st_ino

    def refuse(path: Path, times: tuple[float, float]) -> None:
        if path.stat().st_ino == theirs:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        set_times(path, times)

    monkeypatch.setattr(os, "utime", refuse)
    folder.touch_index(1000.25)
    assert folder.synced_at() == 1000.25
    assert folder.load_index(identity=IDENTITY) == Index(IDENTITY)


# Packs.


def test_a_pack_is_read_as_it_was_written(folder: MirrorFolder) -> None:
    record = folder.write_pack(IDENTITY, ENTRIES)
    path = packs(folder) / record.file
    assert record == PackRecord(path.name, path.stat().st_size, 2, {"one": "1", "a/b": ""})
    assert folder.read_pack(record.file, identity=IDENTITY) == ENTRIES
    folder.check_pack(record.file, record.size)
    assert (folder.pack_size(record.file), folder.stat_pack(record.file)) == (record.size, path.stat())
    assert folder.pack_files() == {record.file}
    assert all_files(folder.path) == {f"packs/{record.file}"}


def test_what_is_no_pack_is_not_listed(folder: MirrorFolder) -> None:
    record = folder.write_pack(IDENTITY, ENTRIES)
    for name in (".tmp-1234", "README", record.file + "~", record.file.upper(), "x.pack"):
        (packs(folder) / name).write_bytes(b"")
    assert folder.pack_files() == {record.file}


def exchange(path: Path) -> None:
    """Another pack, sound in itself, takes its place: one of the same source and size."""
    mirror = MirrorFolder(path.parents[1])
    other = mirror.write_pack(IDENTITY, ENTRIES)
    (path.parent / other.file).replace(path)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_sparse(path: Path) -> None:
    os.truncate(path, MOST_BYTES + 1)


UNREADABLE = (pipe, link_to_endless, link_to_itself, make_folder, make_sparse)
"""What must not be read, since that would not end, or fill the memory."""


@pytest.mark.parametrize("spoil", UNREADABLE)
def test_what_is_no_file_of_ours_is_not_read(folder: MirrorFolder, spoil: Callable[[Path], None]) -> None:
    state = bytes(STATE_BYTES)
    folder.save_index(Index(IDENTITY))
    folder.write_summary(state, b"summary")
    assert folder.read_summary(state) == b"summary"
    for name in ("index", "summary"):
        spoil(folder.path / name)
    with pytest.raises(DamagedFileError):
        folder.load_index(identity=IDENTITY)
    assert folder.read_summary(state) is None


@pytest.mark.parametrize("spoil", UNREADABLE[:-1])
def test_what_is_no_file_is_no_pack(folder: MirrorFolder, spoil: Callable[[Path], None]) -> None:
    record = folder.write_pack(IDENTITY, ENTRIES)
    spoil(packs(folder) / record.file)
    assert folder.pack_files() == set()


@pytest.mark.parametrize("damage", [*DAMAGES, exchange, *UNREADABLE])
def test_a_damaged_pack_is_found(folder: MirrorFolder, damage: Callable[[Path], None]) -> None:
    record = folder.write_pack(IDENTITY, ENTRIES)
    damage(packs(folder) / record.file)
    with pytest.raises(DamagedFileError) as refusal:
        folder.check_pack(record.file, record.size)
    assert Path(refusal.value.file or "").name == record.file
    with pytest.raises(DamagedFileError) as refusal:
        folder.read_pack(record.file, identity=IDENTITY)
    assert Path(refusal.value.file or "").name == record.file


def test_a_pack_of_a_size_that_nobody_noted_is_found(folder: MirrorFolder) -> None:
    record = folder.write_pack(IDENTITY, ENTRIES)
    with pytest.raises(DamagedFileError, match="another size") as refusal:
        folder.check_pack(record.file, record.size + 1)
    assert (refusal.value.expected, refusal.value.found) == (str(record.size + 1), str(record.size))


def test_a_pack_of_another_mirror_is_found(tmp_path: Path, folder: MirrorFolder) -> None:
    other = MirrorFolder(mirror_path(tmp_path, "file:///two"))
    other.create()
    entries = [make_entry("file:///two", "one", tag="1", content=b"content of one")]
    record = other.write_pack("file:///two", entries)
    shutil.copy(packs(other) / record.file, packs(folder))
    assert other.read_pack(record.file, identity="file:///two") == entries
    with pytest.raises(DamagedFileError, match="another source"):
        folder.read_pack(record.file, identity=IDENTITY)


def test_what_the_file_system_says_passes_as_it_is(folder: MirrorFolder) -> None:
    """A pack that cannot be read is not a damaged one: to fetch it again would not help."""
    record = folder.write_pack(IDENTITY, ENTRIES)
    shutil.rmtree(packs(folder))
    packs(folder).touch()
    with pytest.raises(NotADirectoryError):
        folder.read_pack(record.file, identity=IDENTITY)
    with pytest.raises(NotADirectoryError):
        folder.check_pack(record.file, record.size)


def test_a_pack_that_cannot_be_written_leaves_nothing(
    folder: MirrorFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        folder.write_pack(IDENTITY, ENTRIES)
    assert all_files(folder.path) == set()


def test_a_removed_pack_is_gone_and_can_be_removed_again(folder: MirrorFolder) -> None:
    record, other = folder.write_pack(IDENTITY, ENTRIES), folder.write_pack(IDENTITY, ENTRIES)
    assert folder.remove_pack(record.file) == record.size
    folder.sync()
    assert folder.pack_files() == {other.file}
    assert (folder.remove_pack(record.file), folder.pack_size(record.file)) == (0, None)


def test_an_entry_of_another_name_may_have_the_same_content(folder: MirrorFolder) -> None:
    entries: list[Entry] = [make_entry(IDENTITY, name, tag="", content=b"same") for name in ("a", "b")]
    record = folder.write_pack(IDENTITY, entries)
    assert folder.read_pack(record.file, identity=IDENTITY) == entries


# What killed processes leave.


def test_half_written_files_are_removed_and_nothing_else(tmp_path: Path, folder: MirrorFolder) -> None:
    folder.save_index(Index(IDENTITY, (folder.write_pack(IDENTITY, ENTRIES),)))
    (folder.path / "removal.lock").touch()
    (packs(folder) / "README").touch()
    kept = all_files(tmp_path)
    for place in (folder.path, packs(folder)):
        for number in range(2):
            (place / f"{TEMPORARY_PREFIX}{number}").write_bytes(b"half of")
    assert folder.remove_temporary_files(before=0) == 4
    assert all_files(tmp_path) == kept
    assert folder.remove_temporary_files(before=0) == 0


def test_in_the_folder_that_mirrors_share_only_old_ones_are_removed_and_above_it_none(
    tmp_path: Path, folder: MirrorFolder
) -> None:
    """Another mirror, which this PRUNE does not keep out, may just be made. Above, all is the user's."""
    for place in (tmp_path, tmp_path / "v1"):
        for age, name in ((100, "old"), (200, "new")):
            path = place / f"{TEMPORARY_PREFIX}{name}"
            path.touch()
            os.utime(path, (age, age))
    other = MirrorFolder(mirror_path(tmp_path, "file:///two"))
    other.create()
    (packs(other) / f"{TEMPORARY_PREFIX}1").touch()
    before = all_files(tmp_path)
    assert folder.remove_temporary_files(before=100) == 1
    assert all_files(tmp_path) == before - {f"v1/{TEMPORARY_PREFIX}old"}
