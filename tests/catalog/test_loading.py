"""Manifests as they are read from a storage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from restore.catalog import loading
from restore.catalog.loading import (
    load_epoch_ending_manifest,
    load_state_snapshot_manifest,
    load_transaction_manifest,
)
from restore.catalog.mirror import load_view
from restore.errors import FormatError, MissingFileError, RestoreError, UnsafePathError
from restore.storage.base import FileHandle, Storage
from restore.storage.local import LocalFs

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
