"""One chunk: its packed file, and what the tree of the whole needs to know of it.

A chunk is whole buckets, so each of its buckets is a subtree that no other chunk reaches into.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from deflate import gzip_compress

from benchmarks.snapshots.items import Items
from benchmarks.snapshots.runs import Part, merge
from restore.crypto.digest import sha3_256_many
from restore.ledger.hashes import APTOS
from restore.ledger.state import hash_values
from restore.sample.tree import KEY_BITS, Node, fold
from restore.wire.records import frame

GZIP_LEVEL = 6
"""That of `gzip` unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is known of a chunk that is written.

    Attributes:
        count: of its items.
        size: unpacked bytes.
        first_key: hash of its first key.
        last_key: hash of its last key.
        last_pair: its last leaf and, if its bucket has more than one, the one before: keys and leaf hashes.
        nodes: its buckets' contributions to the tree.
    """

    count: int
    size: int
    first_key: bytes
    last_key: bytes
    last_pair: tuple[list[int], list[bytes]]
    nodes: list[Node]


def write_chunk(
    items: Items, parts: Sequence[Part], buckets: range, file: Path, *, bucket_bits: int
) -> Chunk:
    """Makes the items of neighbouring buckets and packs them into a new file.

    Args:
        items: makes them.
        parts: of the runs, with the entries of these buckets.
        buckets: of the chunk.
        file: for the records.
        bucket_bits: bits that the key hashes of a bucket share.

    Bounds: some 1000 bytes for each item.
    """
    entries = merge(parts)
    made = [items.item(index, key_hash) for key_hash, index in entries]
    values = hash_values(APTOS, [item.value for item in made])
    leaves = sha3_256_many(
        APTOS.sparse_leaf, [key_hash + value for (key_hash, _), value in zip(entries, values, strict=True)]
    )
    keys = [int.from_bytes(key_hash, "big") for key_hash, _ in entries]
    place = KEY_BITS - bucket_bits
    borders = [bisect_left(keys, bucket << place) for bucket in (*buckets, buckets.stop)]
    nodes = [
        fold(APTOS.sparse_internal, keys[start:stop], leaves[start:stop], depth=bucket_bits)
        for start, stop in pairwise(borders)
    ]
    data = b"".join(frame(item.key + item.value) for item in made)
    file.write_bytes(gzip_compress(data, GZIP_LEVEL))
    last = max(borders[-2], len(keys) - 2)
    return Chunk(len(entries), len(data), entries[0][0], entries[-1][0], (keys[last:], leaves[last:]), nodes)
