"""The contract of every storage, kept by commands: real pipelines over a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restore.errors import CommandFailedError
from restore.flow.children import Children
from restore.report.events import silent
from restore.storage.command import CommandStorage
from tests.contracts.storage import OpenStorage, StorageContract
from tests.storage.adapter_configs import LOCAL_FOLDER, load

MOST_CHILDREN = 32
"""More than a test has files open."""


async def at_once(_seconds: float) -> None:
    """In place of a pause."""


class TestCommandStorage(StorageContract):
    """Places are folders side by side. Why a command failed cannot be told, nor what a file holds."""

    missing = CommandFailedError
    existing = CommandFailedError
    tells_tags = False

    @pytest.fixture
    async def open_storage(self, tmp_path: Path) -> AsyncIterator[OpenStorage]:
        async with Children(MOST_CHILDREN, report=silent) as children:

            def open_storage(place: str) -> CommandStorage:
                folder = tmp_path / place
                folder.mkdir(exist_ok=True)
                config = load(LOCAL_FOLDER, FOLDER=str(folder))
                return CommandStorage(config, children, report=silent, sleep=at_once)

            yield open_storage
