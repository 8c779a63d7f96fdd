"""Edits a backup's files, the way a bad disk, a bad program or a liar would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from restore.wire.records import cut_records, frame


class Damaged:
    """A copy of a backup, to be damaged.

    Args:
        root: the copy's folder.
        version: of the snapshot that is restored.
    """

    def __init__(self, root: Path, version: int) -> None:
        self.root = root
        self.state_manifest = next(root.glob(f"state_epoch_*_ver_{version}.*/state.manifest"))
        self.state = json.loads(self.state_manifest.read_text())
        self.chunks: list[dict[str, Any]] = self.state["chunks"]

    def path(self, handle: str) -> Path:
        """Where a handle's file lies."""
        return self.root / handle

    def save_state(self) -> None:
        """Writes the state manifest back."""
        self.state_manifest.write_text(json.dumps(self.state))

    def edit(self, handle: str, change: Callable[[bytes], bytes]) -> str:
        """Changes a file's bytes; returns its handle."""
        data = self.path(handle).read_bytes()
        changed = change(data)
        assert changed != data
        self.path(handle).write_bytes(changed)
        return handle

    def edit_records(self, handle: str, change: Callable[[list[bytes]], list[bytes]]) -> str:
        """Changes a file's records; returns its handle."""
        return self.edit(handle, lambda data: b"".join(frame(record) for record in change(cut_records(data))))

    def transaction_chunks(self) -> list[dict[str, Any]]:
        """The chunks of all transaction backups, in order of their versions."""
        chunks: list[dict[str, Any]] = []
        for manifest in self.root.glob("transaction_*/transaction.manifest"):
            chunks += json.loads(manifest.read_text())["chunks"]
        return sorted(chunks, key=lambda chunk: int(chunk["first_version"]))

    def epoch_chunks(self) -> list[dict[str, Any]]:
        """The chunks of all epoch-ending backups, in order of their epochs."""
        chunks: list[dict[str, Any]] = []
        for manifest in self.root.glob("epoch_ending_*/epoch_ending.manifest"):
            chunks += json.loads(manifest.read_text())["chunks"]
        return sorted(chunks, key=lambda chunk: int(chunk["first_epoch"]))


def flip(data: bytes, at: int) -> bytes:
    """`data` with one bit of the byte `at` flipped."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
