"""SHA3-256 of many short messages on one core: each level of the kernel beside hashlib.

    python -m benchmarks.kernel

A message is hashed behind a seed of 32 bytes, as all of a backup is: 64 bytes are one permutation, 150 are
two and 1 KiB is eight. The permutation itself is six times as fast with AVX-512 as in hashlib, so that with
long messages no more can be won. What is measured is the call from Python, whose result is a list of digests:
about 40 ns a message, which a restore does not pay, since there the same code is called from C.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable

from benchmarks.figures import SCHEMA, Results, Row, machine
from benchmarks.showing import table
from restore.kernel.choice import kernel_name

MESSAGES = 10_000
SIZES = {"64 B": 64, "150 B": 150, "1 KiB": 1024}
ROUNDS = 15

PROMISED = {("64 B", "avx512"): 6.0, ("64 B", "avx2"): 3.0, ("150 B", "avx2"): 3.0} | {
    (size, "scalar"): 1.0 for size in SIZES
}
"""How many times as fast as hashlib a level must be."""


def rows(rounds: int = ROUNDS) -> tuple[Row, ...]:
    """CPU time a message, for each level that this CPU has and each size."""
    from restore.kernel import _native

    measured = []
    try:
        for name, size in SIZES.items():
            messages = [random.Random(index).randbytes(size) for index in range(MESSAGES)]
            measured += _rows_of(name, messages, rounds)
    finally:
        if (kernel := kernel_name()) in _native.sha3_levels():
            _native.sha3_use(kernel)
    return tuple(measured)


def _rows_of(size: str, messages: list[bytes], rounds: int) -> list[Row]:
    from restore.kernel import _native

    levels = _native.sha3_levels()
    seed = bytes(range(32))
    ours: dict[str, list[float]] = {level: [] for level in levels}
    rivals = []
    for _ in range(rounds):
        rivals.append(_nanoseconds(lambda: [hashlib.sha3_256(seed + each).digest() for each in messages]))
        for level in levels:
            _native.sha3_use(level)
            ours[level].append(_nanoseconds(lambda: _native.sha3_256_many(seed, messages)))
    return [
        Row(
            part="SHA3-256, one core",
            work=f"{MESSAGES:,} messages of {size}, {level}",
            unit="CPU ns a message",
            ours=tuple(ours[level]),
            rival="hashlib",
            rivals=tuple(rivals),
            less_is_better=True,
            must_ratio=PROMISED.get((size, level)),
        )
        for level in levels
    ]


def _nanoseconds(work: Callable[[], list[bytes]]) -> float:
    """Of the CPU: what others do on this machine is left out."""
    began = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - began) / MESSAGES


def main() -> None:
    """Measures and prints one table."""
    print(table(Results(schema=SCHEMA, machine=machine(), mode="full", rows=rows())))


if __name__ == "__main__":
    main()
