"""What others leave in a folder of mirrors, or take from it, does not fail whoever reads there."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

from restore.catalog.mirror import MirrorOptions, load_view
from restore.report.events import Event, Notice, PhaseStarted
from restore.storage.base import FileHandle
from restore.storage.local import LocalFs
from tests.catalog.metadata import Observed, save_some


@pytest.fixture
def shared_folder(tmp_path: Path) -> MirrorOptions:
    return MirrorOptions(tmp_path / "mirrors")


async def test_a_lease_that_cannot_be_read_does_not_fail_who_is_done(
    tmp_path: Path, shared_folder: MirrorOptions
) -> None:
    storage = LocalFs(tmp_path / "backup")
    entries = await save_some(storage, 1)
    await load_view(storage, shared_folder, concurrency=1)
    (index,) = (tmp_path / "mirrors").glob("v1/*/index")
    with (index.parent / "leases" / "lease-of-a-newer-version").open("wb") as lease:
        lease.write(b"?")
        lease.flush()
        fcntl.flock(lease, fcntl.LOCK_EX)
        view = await load_view(storage, shared_folder, concurrency=1)
    assert view.transactions == tuple(entries)


async def test_a_folder_that_is_removed_meanwhile_is_made_and_filled_again(
    tmp_path: Path, shared_folder: MirrorOptions
) -> None:
    class Removing(Observed):
        """Whose first listing finds the folder of mirrors removed."""

        async def list_metadata(self) -> dict[FileHandle, str]:
            if not self.told():
                shutil.rmtree(tmp_path / "mirrors")
            return await super().list_metadata()

    storage = Removing(tmp_path / "backup")
    entries = await save_some(storage, 3)
    events: list[Event] = []
    view = await load_view(storage, shared_folder, concurrency=2, report=events.append)
    assert view.transactions == tuple(entries)
    counted = [event for event in events if isinstance(event, PhaseStarted | Notice)]
    started = PhaseStarted("metadata", "files", 3)
    reason = "files were removed or damaged by somebody else while they were read"
    assert counted == [started, Notice(f"metadata cache: {reason}; read again"), started]
