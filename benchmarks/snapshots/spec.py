"""How large a snapshot is, and how its items are parted into buckets, runs and chunks."""

from __future__ import annotations

from dataclasses import dataclass

from restore.errors import UsageError

MIN_ITEMS = 10_000
"""Every bucket then has items, beyond any doubt: 39 on average in the fewest buckets."""

MIN_BUCKET_BITS = 8

BUCKET_ITEMS = 128
"""Items of a bucket, about: chunks are whole buckets, so their sizes are met within 40 KB."""

RUN_ITEMS = 1 << 18
"""Key hashes sorted at once: some 50 MB of memory, and 10 MB on disk."""

MEAN_RECORD_BYTES = 313
"""Bytes of one record with its length, on average; keys have 90 of them."""


@dataclass(frozen=True, slots=True)
class SnapshotSpec:
    """How large the snapshot is. The same spec makes the same records.

    Attributes:
        items: of the state.
        chunk_bytes: unpacked bytes of a chunk, about.
        seed: of everything in it.
    """

    items: int
    chunk_bytes: int = 16 << 20
    seed: int = 1

    @property
    def bucket_bits(self) -> int:
        """All items whose key hashes share so many bits are one bucket."""
        return max(MIN_BUCKET_BITS, (self.items // BUCKET_ITEMS).bit_length() - 1)

    def runs(self) -> list[range]:
        """The indices of each run."""
        return [range(start, min(start + RUN_ITEMS, self.items)) for start in range(0, self.items, RUN_ITEMS)]

    def chunks(self) -> list[range]:
        """The buckets of each chunk."""
        buckets = 1 << self.bucket_bits
        size = max(1, round(self.chunk_bytes * buckets / (self.items * MEAN_RECORD_BYTES)))
        return [range(start, min(start + size, buckets)) for start in range(0, buckets, size)]

    def check(self) -> None:
        """Refuses a spec that no snapshot can follow.

        Raises:
            UsageError: naming the value.
        """
        if self.items < MIN_ITEMS:
            raise UsageError("snapshot of so few items is impossible", expected=MIN_ITEMS, found=self.items)
        if self.chunk_bytes < 1:
            raise UsageError("a chunk needs room for a byte", found=self.chunk_bytes)
