"""A small state chunk, as parts work on it."""

from __future__ import annotations

from functools import cache

from benchmarks.snapshots.items import Items
from restore.ledger.hashes import APTOS
from restore.ledger.state import hash_keys
from restore.wire.records import FramedRecords, frame

COUNT = 10_000


@cache
def state_chunk() -> FramedRecords:
    """Records of state items, by ascending key hash."""
    items = Items(1)
    hashes = hash_keys(APTOS, [items.key(index) for index in range(COUNT)])
    placed = sorted(zip(hashes, range(COUNT), strict=True))
    made = [items.item(index, key_hash) for key_hash, index in placed]
    return FramedRecords(b"".join(frame(item.key + item.value) for item in made), COUNT)
