"""A small chunk of each kind, as parts work on it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.snapshots.items import Items
from restore.ledger.hashes import APTOS
from restore.ledger.state import hash_keys
from restore.sample.chain import build_chain
from restore.sample.spec import SampleSpec
from restore.wire.records import FramedRecords, frame

COUNT = 10_000

TRANSACTIONS = 2_000


@cache
def state_chunk() -> FramedRecords:
    """Records of state items, by ascending key hash."""
    items = Items(1)
    hashes = hash_keys(APTOS, [items.key(index) for index in range(COUNT)])
    placed = sorted(zip(hashes, range(COUNT), strict=True))
    made = [items.item(index, key_hash) for key_hash, index in placed]
    return FramedRecords(b"".join(frame(item.key + item.value) for item in made), COUNT)


@cache
def transaction_chunk() -> FramedRecords:
    """Records of format V1, the first one of version 1."""
    spec = SampleSpec(transactions=TRANSACTIONS + 1, transactions_per_backup=TRANSACTIONS + 1)
    with TemporaryDirectory() as folder:
        records = list(build_chain(spec, APTOS, Path(folder)).records)[1:]
    return FramedRecords(b"".join(map(frame, records)), TRANSACTIONS)
