"""What others leave in a folder of mirrors, or take from it, does not fail whoever reads there."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from pathlib import Path

import pytest

from cache.entry import Entry
from cache.folder import MirrorFolder
from restore.catalog.mirror import MirrorOptions, load_view
from restore.report.events import Event, Notice, PhaseStarted
from restore.storage.base import FileHandle
from restore.storage.local import LocalFs
from tests.catalog.metadata import Observed, save, save_some, versions


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


async def test_what_another_process_brought_since_counts_when_it_begins_once_more(
    tmp_path: Path, shared_folder: MirrorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is replaced after it was read here, and then read there, before a lost pack begins all again."""
    storage = LocalFs(tmp_path / "backup")
    await save(storage, "kept.meta", versions(0, 9))
    await load_view(storage, shared_folder, concurrency=1)
    replaced = await save(storage, "replaced.meta", versions(10, 19))
    read_pack, taken = MirrorFolder.read_pack, list[str]()

    async def read_elsewhere() -> None:
        (tmp_path / "backup" / replaced).unlink()
        await save(storage, "replaced.meta", versions(10, 29))
        await load_view(storage, shared_folder, concurrency=1)

    def robbed(self: MirrorFolder, file: str, *, identity: str) -> list[Entry]:
        if not taken:
            taken.append(file)
            asyncio.run(read_elsewhere())
            self.remove_pack(file)
        return read_pack(self, file, identity=identity)

    monkeypatch.setattr(MirrorFolder, "read_pack", robbed)
    for _ in range(2):  # the second time from what the first one kept
        view = await load_view(storage, shared_folder, concurrency=1)
        assert view.transactions == (versions(0, 9), versions(10, 29))
    assert taken
