"""The objects that are served: the files of a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

_UPLOAD = ".upload-"
"""How the names of files begin that are still written; listings leave them out."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an object holds now.

    Attributes:
        source: a descriptor that is open as long as the block of `Folder.opened`, or the bytes themselves.
        size: in bytes.
        tag: strong ETag, with its quotes.
        modified: seconds since 1970.
    """

    source: int | bytes
    size: int
    tag: str
    modified: float


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a listing.

    Attributes:
        name: of an index: the name in the folder; of an S3 listing: the key, or the common prefix.
        is_folder: whether it is a folder, or a common prefix.
        path: of the file or folder; of a common prefix that of a file it stands for.
    """

    name: str
    is_folder: bool
    path: Path


class Folder:
    """The files below `root`. No path leads out of it, unless a link does."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path_of(self, name: str) -> Path:
        """The file of a decoded path.

        Raises:
            FileNotFoundError: no file can have such a name here.
        """
        parts = [part for part in name.split("/") if part]
        if "\0" in name or not {".", ".."}.isdisjoint(parts):
            raise FileNotFoundError(name)
        return self._root.joinpath(*parts)

    @contextmanager
    def opened(self, name: str) -> Iterator[Content]:
        """An object, with its file open.

        Raises:
            FileNotFoundError: there is none.
            IsADirectoryError: it is a folder.
        """
        path = self.path_of(name)
        if path.is_dir():
            raise IsADirectoryError(name)
        if name.endswith("/"):
            raise FileNotFoundError(name)
        with _missing_is_one_error(name):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            stat = os.fstat(descriptor)
            yield Content(descriptor, stat.st_size, tag_of(stat), stat.st_mtime)
        finally:
            os.close(descriptor)

    def index(self, name: str) -> list[Entry]:
        """What is directly in a folder, by name.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        with _missing_is_one_error(name), os.scandir(self.path_of(name)) as found:
            entries = [
                Entry(one.name, one.is_dir(), Path(one.path))
                for one in found
                if not one.name.startswith(_UPLOAD)
            ]
        return sorted(entries, key=lambda entry: os.fsencode(entry.name))

    def keys(self, bucket: str, prefix: str, delimiter: str) -> list[Entry]:
        """The objects and common prefixes of a bucket, as S3 lists them: in the order of their bytes.

        Raises:
            FileNotFoundError: there is no such bucket.
        """
        root = self.path_of(bucket)
        if not root.is_dir():
            raise FileNotFoundError(bucket)
        found: dict[str, Entry] = {}
        for entry in _walk(str(root), "", prefix):
            end = entry.name.find(delimiter, len(prefix)) if delimiter else -1
            if end >= 0:
                common = entry.name[: end + len(delimiter)]
                found[common] = Entry(common, is_folder=True, path=entry.path)
            else:
                found[entry.name] = entry
        return sorted(found.values(), key=lambda entry: os.fsencode(entry.name))

    def write(self, name: str, data: IO[bytes], *, replace: bool) -> os.stat_result:
        """Makes an object, whole or not at all.

        Raises:
            FileExistsError: it is there, and may not be replaced.
            NotADirectoryError, IsADirectoryError: a file is where a folder would have to be, or the reverse.
        """
        target = self.path_of(name)
        if target.is_dir():
            raise IsADirectoryError(name)
        if target.exists() and not replace:
            raise FileExistsError(name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(name) from error
        with NamedTemporaryFile(dir=target.parent, prefix=_UPLOAD, delete=False) as file:
            shutil.copyfileobj(data, file)
        return Path(file.name).replace(target).stat()

    def delete(self, name: str) -> None:
        """Removes an object, if there is one, and folders that are empty without it, except the bucket."""
        path = self.path_of(name)
        if not path.is_file():
            return
        path.unlink()
        for parent in path.parents:
            if parent.parent == self._root or any(parent.iterdir()):
                break
            parent.rmdir()


def tag_of(stat: os.stat_result) -> str:
    """A strong tag: another one whenever a file was written again."""
    return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}-{stat.st_ino:x}"'


def _walk(folder: str, key: str, prefix: str) -> Iterator[Entry]:
    """All files below `folder` whose keys begin with `prefix`; `key` is that of the folder itself."""
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        name = key + entry.name
        if entry.is_dir():
            below = f"{name}/"
            if below.startswith(prefix) or prefix.startswith(below):
                yield from _walk(entry.path, below, prefix)
        elif name.startswith(prefix) and not entry.name.startswith(_UPLOAD):
            yield Entry(name, is_folder=False, path=Path(entry.path))


@contextmanager
def _missing_is_one_error(name: str) -> Iterator[None]:
    """A file where a folder would have to be is as good as nothing."""
    try:
        yield
    except NotADirectoryError as error:
        raise FileNotFoundError(name) from error
