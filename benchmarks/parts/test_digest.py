"""SHA3-256 through the one interface that all hashing goes through."""

from __future__ import annotations

import hashlib

import pytest

from benchmarks.parts.work import Part, Work
from restore.crypto.digest import sha3_256_many

COUNT = 10_000

WORK = Work("kernel", f"sha3_256_many of {COUNT:,} x 150 bytes and a seed", "M/s", COUNT / 1e6)

SEED = bytes(32)


@pytest.fixture
def messages() -> list[bytes]:
    return [number.to_bytes(3, "big") * 50 for number in range(COUNT)]


@pytest.mark.kernel
def test_ours(part: Part, messages: list[bytes]) -> None:
    part(WORK, lambda: sha3_256_many(SEED, messages))


def test_hashlib(part: Part, messages: list[bytes]) -> None:
    sha3 = hashlib.sha3_256
    part(WORK, lambda: [sha3(SEED + message).digest() for message in messages], way="hashlib")
