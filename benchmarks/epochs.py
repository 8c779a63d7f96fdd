"""What one signature of an epoch ending costs, by part, and how many are checked in a second, by way.

    python -m benchmarks.epochs

The limit is what the library takes for them in as many processes as there are CPUs: each signature decoded,
its message hashed and one pairing check, with nothing around it. Batches do better than that, since they
share the second pairing and the final exponentiation.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from benchmarks.histories import HistorySpec, history
from benchmarks.rounds import in_turn
from benchmarks.samples import FOLDER
from restore.crypto.bls import DOMAIN_TAG, Aggregate, verify_aggregate, verify_together
from restore.flow.threads import Workers
from restore.ledger.hashes import APTOS
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.signatures import Claim, aggregates_of
from restore.limits import available_cpus
from restore.signatures import BATCH, SignatureChecks
from restore.wire.records import cut_records

ROUNDS = 3

CALLS = 20
"""Of each part, to take the least of."""


def claims_of(backup: Path) -> list[Claim]:
    """Each epoch ending of a local backup, with the validators of the one before."""
    files = backup.glob("epoch_ending_*/*.chunk")
    infos = [SignedLedgerInfo.parse(record) for file in files for record in cut_records(file.read_bytes())]
    infos.sort(key=lambda signed: signed.info.epoch)
    return [
        Claim(ending, before.info.next_epoch_state)
        for before, ending in pairwise(infos)
        if before.info.next_epoch_state is not None
    ]


def parts(aggregate: Aggregate) -> dict[str, float]:
    """Microseconds of the parts of one check."""
    keys = [G1Point.from_compressed_bytes(key) for key in aggregate.public_keys]
    total = sum(keys, start=G1Point.identity())
    hashed = G2Point.hash_to_curve(aggregate.message, DOMAIN_TAG)
    signature = G2Point.from_compressed_bytes(aggregate.signature)
    scalar = Scalar((1 << 128) - 1)
    batch = [total] * BATCH, [hashed] * BATCH
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "a key is decoded (once)": (lambda: G1Point.from_compressed_bytes(aggregate.public_keys[0]), 1),
        f"{len(keys)} keys are added": (lambda: sum(keys, start=G1Point.identity()), 1),
        "the signature is decoded": (lambda: G2Point.from_compressed_bytes(aggregate.signature), 1),
        "the message is hashed": (lambda: G2Point.hash_to_curve(aggregate.message, DOMAIN_TAG), 1),
        "pairing, by itself": (lambda: GT.pairing_check([total, -G1Point()], [hashed, signature]), 1),
        f"pairing, in a batch of {BATCH}": (
            lambda: GT.pairing_check([*batch[0], -G1Point()], [*batch[1], signature]),
            BATCH,
        ),
        f"scalars, in a batch of {BATCH}": (
            lambda: (
                [one * scalar for one in batch[0]],
                G2Point.multiexp_unchecked([signature] * BATCH, [scalar] * BATCH),
            ),
            BATCH,
        ),
    }
    return {name: _least(call) * 1e6 / count for name, (call, count) in ways.items()}


def rates(claims: Sequence[Claim]) -> Mapping[str, float]:
    """Signatures in a second, by way; all keys are cached before."""
    cpus = available_cpus()
    aggregates = aggregates_of(claims, APTOS) or []
    for aggregate in aggregates[::BATCH]:
        verify_aggregate(aggregate)
    timed = partial(_rate, count=len(claims))
    ways: dict[str, Callable[[], float]] = {
        "one thread, each by itself": lambda: timed(lambda: all(map(verify_aggregate, aggregates))),
        f"one thread, in batches of {BATCH}": lambda: timed(
            lambda: all(map(verify_together, _batches(aggregates)))
        ),
        f"{cpus} threads, in batches": lambda: timed(
            lambda: asyncio.run(_check(claims, cpus, in_threads=len(claims)))
        ),
        f"{cpus} processes, in batches: ours": lambda: timed(
            lambda: asyncio.run(_check(claims, cpus, in_threads=0))
        ),
        f"{cpus} processes, the library alone: the limit": lambda: _limit(aggregates, cpus),
    }
    return {name: median(figures) for name, figures in in_turn(ways, ROUNDS).items()}


def _rate(way: Callable[[], object], *, count: int) -> float:
    began = time.perf_counter()
    way()
    return count / (time.perf_counter() - began)


async def _check(claims: Sequence[Claim], processes: int, *, in_threads: int) -> None:
    """As a command does, the start of the processes included."""
    async with (
        Workers(processes + 1) as workers,
        SignatureChecks(workers, APTOS, processes=processes, in_threads=in_threads) as checks,
    ):
        await checks.check(claims)


def _limit(aggregates: Sequence[Aggregate], processes: int) -> float:
    """What the slowest of the processes takes, once all of them are there."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        shares = [aggregates[start::processes] for start in range(processes)]
        list(pool.map(_library_alone, [share[:1] for share in shares]))
        return len(aggregates) / max(pool.map(_library_alone, shares))


def _library_alone(aggregates: Sequence[Aggregate]) -> float:
    """Seconds that it takes for these."""
    key = G1Point()
    began = time.perf_counter()
    for aggregate in aggregates:
        signature = G2Point.from_compressed_bytes(aggregate.signature)
        hashed = G2Point.hash_to_curve(aggregate.message, DOMAIN_TAG)
        GT.pairing_check([key, key], [hashed, signature])
    return time.perf_counter() - began


def _batches(aggregates: Sequence[Aggregate]) -> list[Sequence[Aggregate]]:
    return [aggregates[first : first + BATCH] for first in range(0, len(aggregates), BATCH)]


def _least(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def main() -> None:
    """Measures, and prints two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    backup, _ = history(HistorySpec(epochs=options.epochs), options.folder)
    claims = claims_of(backup)
    aggregates = aggregates_of(claims[:1], APTOS)
    if aggregates is None:
        raise SystemExit("the history does not hold")
    for name, microseconds in parts(aggregates[0]).items():
        print(f"{microseconds:8.1f} us  {name}")
    for name, rate in rates(claims).items():
        print(f"{rate:8.0f} /s  {name}")


if __name__ == "__main__":
    main()
