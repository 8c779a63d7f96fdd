"""The one way files are written: whole or not at all, and still there after a power cut.

A temporary file beside the target, fsync, rename (or, where nothing may be overwritten, a hard link), fsync
of the folder. Temporary names start with a dot, and listings leave them out: a killed process leaves its own
behind.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

TEMPORARY_PREFIX = ".tmp-"


class DurableFile:
    """A file that appears under its name, whole and durable, when it is published; else nothing remains.

    Use it as a context manager, which publishes when the block ends without an error; or, where each step
    takes its own thread, `open`, `write`, `publish` and in any case `discard`.

    Args:
        path: the final name; its folder must exist.
        overwrite: whether a file of that name is replaced; else it raises `FileExistsError`.
        temporary_folder: where the temporary file lies, on the same filesystem; beside `path` unless given.
        mode: who may read and write the file, besides what the umask forbids.
    """

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool = True,
        temporary_folder: Path | None = None,
        mode: int = 0o644,
    ) -> None:
        self._path = path
        self._overwrite = overwrite
        self._mode = mode
        # Random: process ids repeat, after a crash and on other machines that share the folder.
        name = f"{TEMPORARY_PREFIX}{secrets.token_hex(16)}"
        self._temporary = (temporary_folder or path.parent) / name
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.publish()
        finally:
            self.discard()

    def open(self) -> None:
        """Creates the temporary file."""
        if not self._overwrite and os.path.lexists(self._path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self._path))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._temporary, flags, self._mode)

    def write(self, data: bytes) -> None:
        """Appends all of `data`."""
        descriptor = self._opened()
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def publish(self) -> None:
        """Makes the file durable, and visible under its name.

        Raises:
            FileExistsError: there is one, and it may not be overwritten.
        """
        os.fsync(self._opened())
        self._close()
        if self._overwrite:
            self._temporary.replace(self._path)
        else:
            # A link fails where the name exists, whoever made it in the meantime; a rename would replace it.
            self._path.hardlink_to(self._temporary)
        sync_folder(self._path.parent)

    def discard(self) -> None:
        """Removes what is left of the temporary file; after `publish`, nothing but that."""
        try:
            self._close()
        finally:
            self._temporary.unlink(missing_ok=True)

    def _opened(self) -> int:
        if self._descriptor is None:
            raise ValueError("file is not open")
        return self._descriptor

    def _close(self) -> None:
        # Forgotten first: after a failed close the number may already be another file's.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


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
    """Makes the names in a folder durable, where its filesystem can."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE filesystems keep names without being told, and say that they cannot be told.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
