"""SHA3-256 of many short messages, as keys, values, leaves and nodes are: each kernel beside hashlib."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from benchmarks.parts.work import Part, Work

native = pytest.importorskip("restore.kernel._native", reason="the C extension is not built")

COUNT = 10_000

SEED = bytes(32)

SIZES = (64, 150, 1024)

RATIOS = {"avx512": 6.0, "avx2": 3.0, "scalar": 1.0}
"""What was promised of each, over hashlib on one core."""


@pytest.fixture(params=native.sha3_levels())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each kernel that this CPU can run, in use."""
    chosen: str = request.param
    native.sha3_use(chosen)
    yield chosen
    native.sha3_use(native.sha3_levels()[0])


def _messages(size: int) -> list[bytes]:
    return [number.to_bytes(4, "big") * (size // 4) + bytes(size % 4) for number in range(COUNT)]


def _work(level: str, size: int) -> Work:
    return Work("kernel", f"SHA3-256 by {level}: {COUNT:,} x {size} bytes and a seed", "M/s", COUNT / 1e6)


@pytest.mark.parametrize("size", SIZES)
def test_ours(part: Part, level: str, size: int) -> None:
    messages = _messages(size)
    part(_work(level, size), lambda: native.sha3_256_many(SEED, messages))


@pytest.mark.parametrize("size", SIZES)
def test_hashlib(part: Part, level: str, size: int) -> None:
    messages = _messages(size)
    sha3 = hashlib.sha3_256
    part(
        _work(level, size),
        lambda: [sha3(SEED + message).digest() for message in messages],
        way="hashlib",
        must_ratio=RATIOS.get(level),
    )
