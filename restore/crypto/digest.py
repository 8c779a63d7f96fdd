"""SHA3-256 of many short inputs: the one interface that all hashing goes through.

Hashing short inputs is nearly the whole CPU bill of a restore, so callers hand over batches: the seed is
common, the messages differ. The kernel takes them where there is one, however few they are; else `hashlib`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import cache

from restore.kernel.choice import uses_native

HASH_BYTES = 32


def sha3_256(data: bytes) -> bytes:
    """SHA3-256 (FIPS 202) of `data`: 32 bytes."""
    return hashlib.sha3_256(data).digest()


def sha3_256_many(seed: bytes, messages: Iterable[bytes]) -> list[bytes]:
    """SHA3-256 of `seed || message` for each message, in order: 32 bytes each."""
    return _batch_hash()(seed, messages)


@cache
def _batch_hash() -> Callable[[bytes, Iterable[bytes]], list[bytes]]:
    """What hashes the batches of this process."""
    if not uses_native():
        return _one_by_one
    from restore.kernel._native import sha3_256_many as kernel

    return kernel


def _one_by_one(seed: bytes, messages: Iterable[bytes]) -> list[bytes]:
    sha3 = hashlib.sha3_256
    return [sha3(seed + message).digest() for message in messages]
