"""The frontier, which every chunk of a snapshot is proven by: leaf by leaf, in Python."""

from __future__ import annotations

import hashlib

from benchmarks.parts.work import Part, Work
from restore.ledger.hashes import APTOS
from restore.proof.frontier import Frontier

COUNT = 5_000

WORK = Work("tree", f"frontier of {COUNT:,} leaves", "leaves/s", COUNT)

HASHES_A_LEAF = 3
"""Its own, and about two of nodes above it, with and without siblings."""


def _hash(number: int) -> bytes:
    return hashlib.sha3_256(number.to_bytes(4, "big")).digest()


def test_ours(part: Part) -> None:
    leaves = sorted((_hash(number), _hash(-1 - number & 0xFFFFFFFF)) for number in range(COUNT))
    part(WORK, lambda: Frontier(APTOS).add(leaves))


def test_hashing_alone(part: Part) -> None:
    messages = [_hash(number) * 3 for number in range(COUNT * HASHES_A_LEAF)]
    sha3 = hashlib.sha3_256
    part(WORK, lambda: [sha3(message).digest() for message in messages], way="its hashes alone, by hashlib")
