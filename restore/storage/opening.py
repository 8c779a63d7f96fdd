"""Opens the storage that the command line names."""

from __future__ import annotations

from pathlib import Path

from restore.storage.base import Storage
from restore.storage.local import LocalFs


def open_storage(*, local_fs_dir: Path) -> Storage:
    """The backup in a local folder."""
    return LocalFs(local_fs_dir)
