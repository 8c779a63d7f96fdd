"""The one way files are written: whole or not at all, and still there after a power cut.

A temporary file beside the target, fsync, rename (or, where nothing may be overwritten, a hard link), fsync
of the folder. Temporary names start with a dot and are unique per process and file; listings leave them out.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from types import TracebackType
from typing import Self

TEMPORARY_PREFIX = ".tmp-"
_numbers = itertools.count()


class DurableFile:
    """A file that appears under its name, whole and durable, when the block ends without an error.

    On an error nothing remains. Use as a context manager; `write` appends.

    Args:
        path: the final name; its folder must exist.
        overwrite: whether a file of that name is replaced; else it raises `FileExistsError`.
    """

    def __init__(self, path: Path, *, overwrite: bool = True) -> None:
        self._path = path
        self._overwrite = overwrite
        self._temporary = path.with_name(
            f"{TEMPORARY_PREFIX}{os.getpid()}-{next(_numbers)}-{path.name}"[:255]
        )
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Creates the temporary file."""
        if not self._overwrite and self._path.exists():
            raise FileExistsError(f"{self._path}: exists")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._temporary, flags, 0o644)
        return self

    def write(self, data: bytes) -> None:
        """Appends all of `data`."""
        if self._descriptor is None:
            raise ValueError("file is not open")
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Publishes the file, or removes what there is of it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            try:
                if error is None:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if error is None:
                self._publish()
        finally:
            self._temporary.unlink(missing_ok=True)

    def _publish(self) -> None:
        if self._overwrite:
            self._temporary.replace(self._path)
        else:
            # A link fails where the name exists, whoever made it in the meantime; a rename would replace it.
            self._path.hardlink_to(self._temporary)
        sync_folder(self._path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Replaces `path` by a file of `data`, whole and durable."""
    with DurableFile(path) as file:
        file.write(data)


def make_directory_durably(path: Path) -> None:
    """Creates a folder and its missing parents, durably; one that exists is left as it is."""
    missing = []
    folder = path
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
