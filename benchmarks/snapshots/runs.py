"""Key hashes in sorted runs: each item is made once to be sorted, and once more in its place.

An entry is a key hash and the index it comes from; the items themselves would be eight times as many bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from benchmarks.snapshots.items import Items
from restore.ledger.hashes import APTOS
from restore.ledger.state import hash_keys
from restore.wire.bcs import HASH_BYTES

ENTRY_BYTES = HASH_BYTES + 8


class Part(NamedTuple):
    """Neighbouring entries of a file: those from number `start` up to `stop`."""

    file: Path
    start: int
    stop: int


class Run(NamedTuple):
    """Sorted entries in a file; those of bucket b are numbers `starts[b]` to `starts[b + 1]`."""

    file: Path
    starts: list[int]

    def part(self, buckets: range) -> Part:
        """The entries of neighbouring buckets."""
        return Part(self.file, self.starts[buckets.start], self.starts[buckets.stop])


def write_run(items: Items, indices: Sequence[int], file: Path, *, bucket_bits: int) -> Run:
    """Sorts the key hashes of `indices` into a new file."""
    hashes = hash_keys(APTOS, [items.key(index) for index in indices])
    entries = sorted(
        key_hash + index.to_bytes(8, "big") for key_hash, index in zip(hashes, indices, strict=True)
    )
    file.write_bytes(b"".join(entries))
    place = 8 * HASH_BYTES - bucket_bits
    borders = ((bucket << place).to_bytes(HASH_BYTES, "big") for bucket in range(1 << bucket_bits))
    return Run(file, [*(bisect_left(entries, border) for border in borders), len(entries)])


def merge(parts: Iterable[Part]) -> list[tuple[bytes, int]]:
    """The key hashes and indices of all parts, by ascending key hash."""
    entries = sorted(chain.from_iterable(map(_read, parts)))
    return [(entry[:HASH_BYTES], int.from_bytes(entry[HASH_BYTES:], "big")) for entry in entries]


def _read(part: Part) -> list[bytes]:
    with part.file.open("rb") as file:
        file.seek(part.start * ENTRY_BYTES)
        data = file.read((part.stop - part.start) * ENTRY_BYTES)
    return [data[at : at + ENTRY_BYTES] for at in range(0, len(data), ENTRY_BYTES)]
