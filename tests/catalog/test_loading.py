"""Metadata and manifests as they are read from a storage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from restore.catalog import loading
from restore.catalog.entries import (
    Entry,
    EpochEndingEntry,
    IdentityEntry,
    StateSnapshotEntry,
    TransactionEntry,
    encode_entry,
)
from restore.catalog.loading import (
    load_epoch_ending_manifest,
    load_state_snapshot_manifest,
    load_transaction_manifest,
)
from restore.catalog.mirror import SMALL_FILES_AT_ONCE, load_view
from restore.errors import (
    EmptyStorageError,
    FormatError,
    ManifestError,
    MissingFileError,
    RestoreError,
    UnsafePathError,
)
from restore.storage.base import UNMETERED, FileHandle, FileReader, Payer, Storage
from restore.storage.local import LocalFs
from tests.conftest import open_descriptors
from tests.contracts.cancelling import cancel_at_every_wait


class Observed(LocalFs):
    """Counts open files; each is kept open for some turns of the event loop, so that they meet."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.open = 0
        self.most_open = 0
        self.opened: list[FileHandle] = []

    @asynccontextmanager
    async def open_for_read(
        self, handle: FileHandle, *, payer: Payer = UNMETERED
    ) -> AsyncIterator[FileReader]:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.opened.append(handle)
        try:
            async with super().open_for_read(handle, payer=payer) as reader:
                for _ in range(20):
                    await asyncio.sleep(0)
                yield reader
        finally:
            self.open -= 1


def versions(first: int, last: int) -> TransactionEntry:
    return TransactionEntry(first, last, f"transaction_{first}-.0000/transaction.manifest")


async def save(storage: Storage, name: str, *entries: Entry) -> FileHandle:
    return await storage.save_metadata_lines(name, [encode_entry(entry) for entry in entries])


@pytest.mark.parametrize("concurrency", [1, 20, 50])
async def test_all_metadata_is_read_by_so_many_at_once(tmp_path: Path, concurrency: int) -> None:
    storage = Observed(tmp_path)
    entries = [versions(10 * number, 10 * number + 9) for number in range(30)]
    for entry in entries:
        await save(storage, f"transaction_{entry.first_version}.meta", entry)
    view = await load_view(storage, concurrency=concurrency)
    assert view.transactions == tuple(entries)
    assert storage.opened == sorted(storage.opened)
    assert len(storage.opened) == 30
    assert storage.most_open == min(max(concurrency, SMALL_FILES_AT_ONCE), 30)


async def test_compacted_files_beside_single_ones_change_nothing(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path)
    entries = [versions(0, 0), versions(1, 9), versions(10, 19)]
    snapshot, ending = StateSnapshotEntry(0, 0, "s/m"), EpochEndingEntry(0, 0, 0, 0, "e/m")
    await save(storage, "identity.meta", IdentityEntry("0f" * 32))
    everything: list[Entry] = [*entries, snapshot, ending]
    for number, entry in enumerate(everything):
        await save(storage, f"single_{number}.meta", entry)
    before = await load_view(storage, concurrency=2)
    await save(storage, "transaction_compacted_0-9.meta", *entries[:2])
    await save(storage, "state_snapshot_compacted_epoch_0_0.meta", snapshot)
    after = await load_view(storage, concurrency=2)
    for view in (before, after):
        assert view.transactions == tuple(entries)
        assert (view.state_snapshots, view.epoch_endings) == ((snapshot,), (ending,))


@pytest.mark.parametrize("folders", ["", "root", "root/metadata"])
async def test_a_storage_without_metadata_is_empty(tmp_path: Path, folders: str) -> None:
    (tmp_path / folders).mkdir(parents=True, exist_ok=True)
    with pytest.raises(EmptyStorageError) as refusal:
        await load_view(LocalFs(tmp_path / "root"), concurrency=2)
    assert refusal.value.exit_code == 10
    assert refusal.value.file is not None
    assert str(tmp_path / "root") in refusal.value.file


async def test_a_bad_line_names_its_file_and_number(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path)
    good = encode_entry(versions(0, 9))
    for number in range(8):
        await storage.save_metadata_lines(f"good_{number}.meta", [good] * 3)
    await storage.save_metadata_lines("bad.meta", [good, good[:-1]])
    descriptors = open_descriptors()
    with pytest.raises(FormatError, match="line 2") as refusal:
        await load_view(storage, concurrency=3)
    assert (refusal.value.file, refusal.value.offset) == ("metadata/bad.meta", len(good) + 1)
    assert open_descriptors() == descriptors


async def test_a_reversed_range_names_its_file(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path)
    await save(storage, "bad.meta", versions(9, 0))
    with pytest.raises(ManifestError) as refusal:
        await load_view(storage, concurrency=3)
    assert refusal.value.file == "metadata/bad.meta"


async def test_a_listed_file_that_cannot_be_read_fails_the_whole(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path)
    await save(storage, "good.meta", versions(0, 9))
    (tmp_path / "metadata" / "zone.meta").symlink_to("gone.meta")
    with pytest.raises(MissingFileError) as missing:
        await load_view(storage, concurrency=3)
    assert (missing.value.exit_code, missing.value.file) == (20, "metadata/zone.meta")


async def test_a_metadata_file_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalFs(tmp_path)
    await save(storage, "some.meta", versions(0, 9))
    size = (tmp_path / "metadata" / "some.meta").stat().st_size
    monkeypatch.setattr(loading, "MAX_METADATA_BYTES", size)
    await load_view(storage, concurrency=1)
    monkeypatch.setattr(loading, "MAX_METADATA_BYTES", size - 1)
    with pytest.raises(FormatError, match="too long") as refusal:
        await load_view(storage, concurrency=1)
    assert refusal.value.file == "metadata/some.meta"


async def test_loading_cancelled_at_any_wait_leaves_nothing_open(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path)
    for number in range(3):
        await save(storage, f"some_{number}.meta", versions(number, number))
    await load_view(storage, concurrency=2)
    descriptors = open_descriptors()

    async def check() -> None:
        assert open_descriptors() == descriptors

    assert await cancel_at_every_wait(lambda: load_view(storage, concurrency=2), check) >= 2


Load = Callable[[Storage, FileHandle], Awaitable[object]]

LOADERS: list[tuple[Load, str]] = [
    (load_epoch_ending_manifest, "epoch_ending_0-.7891/epoch_ending.manifest"),
    (load_state_snapshot_manifest, "state_epoch_0_ver_0.128f/state.manifest"),
    (load_transaction_manifest, "transaction_0-.1d67/transaction.manifest"),
]

each_loader = pytest.mark.parametrize(("load", "handle"), LOADERS)


@each_loader
async def test_a_real_backup_names_manifests_that_load(shared: Path, load: Load, handle: str) -> None:
    storage = LocalFs(shared / "data" / "mainnet-genesis-backup")
    view = await load_view(storage, concurrency=4)
    manifests = {entry.manifest for entry in view.epoch_endings}
    manifests |= {entry.manifest for entry in view.state_snapshots}
    manifests |= {entry.manifest for entry in view.transactions}
    assert handle in manifests
    assert type(await load(storage, handle)).__name__.endswith("Manifest")


@each_loader
async def test_a_manifest_that_cannot_be_had_is_named(tmp_path: Path, load: Load, handle: str) -> None:
    storage = LocalFs(tmp_path)
    refused: list[tuple[str, type[RestoreError]]] = [
        ("gone/some.manifest", MissingFileError),
        ("../some.manifest", UnsafePathError),
        ("abc/torn.manifest", FormatError),
    ]
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc" / "torn.manifest").write_bytes(b'{"first_epoch":0')
    for wanted, kind in refused:
        with pytest.raises(kind) as refusal:
            await load(storage, wanted)
        assert (type(refusal.value), refusal.value.file) == (kind, wanted)


@each_loader
async def test_a_manifest_has_a_bound(
    tmp_path: Path, load: Load, handle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "long.manifest").write_bytes(b" " * 101)
    monkeypatch.setattr(loading, "MAX_MANIFEST_BYTES", 100)
    with pytest.raises(FormatError, match="too long") as refusal:
        await load(LocalFs(tmp_path), "long.manifest")
    assert refusal.value.file == "long.manifest"
