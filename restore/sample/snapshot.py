"""Reads a frozen state as a snapshot: its records in key order, and the proof of any chunk's last one.

Source: spec/ledger-hashing.md section 5.4.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from restore.ledger.hashes import Domain
from restore.sample.encode import sequence
from restore.sample.state import Entry, FrozenState
from restore.sample.tree import right_siblings


@dataclass(frozen=True, slots=True)
class _Bucket:
    keys: list[int]
    leaves: list[bytes]


class SnapshotReader:
    """One pass over the items of one version.

    Bounds: two buckets, each 1/256 of the items.
    """

    def __init__(self, domain: Domain, state: FrozenState) -> None:
        self._domain = domain
        self._state = state
        # A chunk is known to end only when the record after it is there, perhaps of the next bucket.
        self._buckets: deque[_Bucket] = deque(maxlen=2)

    def entries(self) -> Iterator[Entry]:
        """All items, in key order."""
        for entries in self._state.buckets():
            if entries:
                keys = [int.from_bytes(entry.key_hash, "big") for entry in entries]
                self._buckets.append(_Bucket(keys, [entry.leaf_hash for entry in entries]))
                yield from entries

    def proof(self, key_hash: bytes) -> bytes:
        """BCS SparseMerkleRangeProof of a chunk; its last key is the newest one read, or the one before."""
        key = int.from_bytes(key_hash, "big")
        bucket = next(bucket for bucket in self._buckets if bucket.keys[-1] >= key)
        return sequence(
            right_siblings(
                self._domain.sparse_internal,
                self._state.top,
                bucket.keys,
                bucket.leaves,
                position=bisect_left(bucket.keys, key),
            )
        )
