"""The contract of every storage, kept by the local one."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore.storage.local import LocalFs
from tests.contracts.storage import OpenStorage, StorageContract


class TestLocalFs(StorageContract):
    """Places are folders side by side."""

    @pytest.fixture
    def open_storage(self, tmp_path: Path) -> OpenStorage:
        return lambda place: LocalFs(tmp_path / place)
