"""SHA3-256 of many short inputs: the one interface that all hashing goes through.

Hashing short inputs is nearly the whole CPU bill of a restore, so callers hand over batches: the seed is
common, the messages differ. `hashlib` does the work here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

HASH_BYTES = 32


def sha3_256(data: bytes) -> bytes:
    """SHA3-256 (FIPS 202) of `data`: 32 bytes."""
    return hashlib.sha3_256(data).digest()


def sha3_256_many(seed: bytes, messages: Iterable[bytes]) -> list[bytes]:
    """SHA3-256 of `seed || message` for each message, in order: 32 bytes each."""
    sha3 = hashlib.sha3_256
    return [sha3(seed + message).digest() for message in messages]
