"""The files of one mirror: every operation on them, each in the calling thread.

Packs and the index appear under their names whole and durable (`atomic`). What a killed process leaves is
temporary files, which nobody reads, and packs that no index knows, which the next sync takes over.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from cache.atomic import TEMPORARY_PREFIX, make_directory_durably, sync_folder, write_durably
from cache.entry import Entry, check_pack_name, decode_pack, encode_pack, is_pack_name, pack_name
from cache.errors import DamagedFileError
from cache.index import Index, PackRecord, decode_index, encode_index, seal, unseal
from cache.lock import HOLDERS_FOLDER

FORMAT_FOLDER = "v1"
"""Of the files described in `entry` and `index`; another format gets a folder of its own."""

_MIRROR_NAME = re.compile(r"[0-9a-f]{64}")

_TAG_FILE = "CACHEDIR.TAG"
_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Mirrored files, which can be fetched again.\n"
"""What backup programs look for (bford.info/cachedir)."""

MOST_BYTES = 1 << 30
"""Of any file here: a hundred times what an index of a million files has. A longer one is none of ours."""


def mirror_paths(root: Path) -> list[Path]:
    """The folders of all mirrors under `root`; none if there is no such folder."""
    try:
        paths = sorted((root / FORMAT_FOLDER).iterdir())
    except FileNotFoundError:
        return []
    # Any other folder is somebody else's: a user may have named the wrong one.
    return [path for path in paths if _MIRROR_NAME.fullmatch(path.name) and path.is_dir()]


def mirror_path(root: Path, identity: str) -> Path:
    """The folder of one source's mirror."""
    return root / FORMAT_FOLDER / hashlib.sha256(identity.encode()).hexdigest()


class MirrorFolder:
    """The files of one mirror.

    Args:
        path: its folder.

    Attributes:
        path: its folder.
        leases: presence files of those who read packs.
        holders: presence files of those who hold locks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.leases = path / "leases"
        self.holders = path / HOLDERS_FOLDER
        self._packs = path / "packs"
        self._index = path / "index"
        self._summary = path / "summary"

    def create(self) -> None:
        """Makes the folder, durably."""
        for folder in (self._packs, self.leases, self.holders):
            make_directory_durably(folder)
        # Not in the folder above, which is the user's: backups would go without whatever else lies there.
        tag = self.path.parent / _TAG_FILE
        if not tag.exists():
            write_durably(tag, _TAG)

    def load_index(self, *, identity: str | None) -> Index | None:
        """The index; None where there is none.

        Args:
            identity: whose it must be; None for anybody's.

        Raises:
            DamagedFileError: the file is no index, or another source's.
        """
        try:
            data = _read(self._index)
        except FileNotFoundError:
            return None
        return decode_index(data, identity=identity)

    def save_index(self, index: Index) -> None:
        """Replaces the index."""
        write_durably(self._index, encode_index(index))

    def synced_at(self) -> float | None:
        """When the index was last found or brought up to date, in Unix seconds; None for never."""
        try:
            return self._index.stat().st_mtime
        except FileNotFoundError:
            return None

    def touch_index(self, now: float) -> None:
        """Notes that the index was found up to date at `now`, in Unix seconds."""
        try:
            os.utime(self._index, (now, now))
        except PermissionError:  # it is another user's, and only its owner may set its time: now it is ours
            write_durably(self._index, _read(self._index))
            os.utime(self._index, (now, now))

    def read_summary(self, state: bytes) -> bytes | None:
        """What a reader made of all files, if it was of this state of the index; None for anything else."""
        try:
            data = _read(self._summary)
        except (FileNotFoundError, DamagedFileError):
            return None
        body = unseal(data)
        return body[len(state) :] if body is not None and body.startswith(state) else None

    def write_summary(self, state: bytes, summary: bytes) -> None:
        """Replaces what a reader made of all files of this state of the index."""
        write_durably(self._summary, seal(state + summary))

    def pack_files(self) -> set[str]:
        """The names of all packs; a folder, pipe or link of such a name is none."""
        with os.scandir(self._packs) as entries:
            return {
                entry.name
                for entry in entries
                if is_pack_name(entry.name) and entry.is_file(follow_symlinks=False)
            }

    def check_pack(self, file: str, size: int) -> None:
        """Reads a pack, and checks its bytes against its name.

        Raises:
            DamagedFileError: it is missing, or not what it should be.
        """
        data = self._read_pack(file)
        if len(data) != size:
            raise DamagedFileError("pack has another size", file=file, expected=size, found=len(data))
        check_pack_name(file, data)

    def read_pack(self, file: str, *, identity: str) -> list[Entry]:
        """The entries of a pack, all checked.

        Raises:
            DamagedFileError: it is missing, or not what it should be.
        """
        return decode_pack(file, self._read_pack(file), identity=identity)

    def write_pack(self, identity: str, entries: Sequence[Entry]) -> PackRecord:
        """Writes a pack, durably; all of its entries are live."""
        data = encode_pack(identity, entries)
        file = pack_name(data)
        write_durably(self._packs / file, data)
        return PackRecord(file, len(data), len(entries), {entry.name: entry.tag for entry in entries})

    def remove_pack(self, file: str) -> int:
        """Removes a pack; returns how many bytes it had, 0 where it is gone already."""
        size = self.pack_size(file) or 0
        (self._packs / file).unlink(missing_ok=True)
        return size

    def remove_temporary_files(self, *, before: float) -> int:
        """Removes what killed processes left half-written; only under PRUNE. Returns how many.

        Args:
            before: of the folder that all mirrors share, only what is older, in Unix seconds: others may be
                writing there.
        """
        ours = [path for folder in (self.path, self._packs) for path in _temporary_files(folder)]
        old = [path for path in _temporary_files(self.path.parent) if _is_older(path, before)]
        for path in ours + old:
            path.unlink(missing_ok=True)
        return len(ours) + len(old)

    def sync(self) -> None:
        """Makes removals durable."""
        sync_folder(self._packs)

    def pack_size(self, file: str) -> int | None:
        """Bytes of a pack; None where there is none."""
        try:
            return self.stat_pack(file).st_size
        except FileNotFoundError:
            return None

    def stat_pack(self, file: str) -> os.stat_result:
        """What the file system says of a pack."""
        return (self._packs / file).stat()

    def _read_pack(self, file: str) -> bytes:
        try:
            return _read(self._packs / file)
        except FileNotFoundError as error:
            raise DamagedFileError("pack is missing", file=file) from error


def _read(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        DamagedFileError: it is too long, or no file: a named pipe, or a link to a device, may never end.
        FileNotFoundError: there is none.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise DamagedFileError("not a file", file=path)
    if found.st_size > MOST_BYTES:
        raise DamagedFileError("file is too long for what it is", file=path, found=found.st_size)
    return path.read_bytes()


def _temporary_files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.name.startswith(TEMPORARY_PREFIX)]
    except FileNotFoundError:
        return []  # whoever made the mirror was killed before it had all of its folders


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime <= before
    except FileNotFoundError:
        return False
