"""Byte strings in order, in memory as long as they are few, in a file beyond that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from restore.wire.records import RecordCutter, frame

SPILL_BYTES = 256 << 10
"""256 KiB a spool: with 256 buckets, 64 MiB of memory."""

READ_BYTES = 1 << 20


class Spool:
    """An append-only list of byte strings that moves to the file `path` when it grows.

    No descriptor stays open between calls: hundreds of spools may exist.

    Bounds: `spill_bytes` and the string appended last.
    """

    def __init__(self, path: Path, *, spill_bytes: int = SPILL_BYTES) -> None:
        self._path = path
        self._spill_bytes = spill_bytes
        self._pending: list[bytes] = []
        self._held = 0
        self._spilled = False

    def append(self, data: bytes) -> None:
        """Adds one byte string at the end."""
        self._pending.append(data)
        self._held += len(data)
        if self._held > self._spill_bytes:
            with self._path.open("ab") as file:
                file.writelines(map(frame, self._pending))
            self._pending = []
            self._held = 0
            self._spilled = True

    def clear(self) -> None:
        """Drops everything."""
        self._pending = []
        self._held = 0
        if self._spilled:
            self._path.unlink()
            self._spilled = False

    def __iter__(self) -> Iterator[bytes]:
        if self._spilled:
            cutter = RecordCutter()
            with self._path.open("rb") as file:
                while piece := file.read(READ_BYTES):
                    yield from cutter.feed(piece)
            cutter.finish()
        yield from self._pending
