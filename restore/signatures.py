"""Checks signatures of ledger infos early: out of order, in batches, on all CPUs, and none a second time.

What is found here is no trust yet. It says that these validators signed, not who they are: see `epochs.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType
from typing import Self

from restore.checker import HOLD, request_of
from restore.crypto.bls import verify_together
from restore.flow.pool import ProcessPool
from restore.flow.stream import OrderedStream
from restore.flow.threads import Workers
from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import EpochState
from restore.ledger.signatures import Claim, aggregates_of
from restore.proof.remembered import Remembered

BATCH = 64
"""At most so many claims are checked together: a pairing then costs less than a third of what it does alone,
and more would hardly save more. Takes about 100 ms."""

CHECKED_IN_THREADS = 200
"""So many are checked in this process, in a quarter of a second; only for more are processes started, which
takes each a tenth of a second and 20 MiB."""


class SignatureChecks:
    """Checks claims: the first in threads, many in processes.

    Args:
        workers: the threads.
        domain: of the network.
        processes: how many may be started.
        in_threads: so many claims are checked before any process is started.
        remembered: claims that need no check; takes those that held. None where nothing is kept.

    Cancellation: leaving the block ends the processes.
    Bounds: as many batches at once as there may be processes, and one more, with about 20 KiB for each claim.
    """

    def __init__(
        self,
        workers: Workers,
        domain: Domain,
        *,
        processes: int,
        in_threads: int = CHECKED_IN_THREADS,
        remembered: Remembered | None = None,
    ) -> None:
        self._workers = workers
        self._domain = domain
        self._in_threads = in_threads
        self._remembered = remembered
        self._pool = ProcessPool("restore.checker", processes=processes)
        self._batches = processes + 1  # one is made while the others are checked
        self._room = asyncio.Semaphore(self._batches)
        self._checked = 0

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._pool.__aexit__(kind, error, traceback)

    async def check(self, claims: Sequence[Claim]) -> dict[int, EpochState]:
        """Checks claims of different epochs.

        A batch holds as a whole, or nothing is said of it: who needs to know more checks each by itself.

        Returns:
            The validators of those that hold, by epoch.

        Cancellation: waits for threads that are at work.
        """
        batches = _shares(claims, -(-len(claims) // BATCH))
        checked: dict[int, EpochState] = {}
        async with OrderedStream(batches, self._check_batch, concurrency=self._batches) as results:
            async for held in results:
                checked |= {claim.signed.info.epoch: claim.validators for claim in held}
        return checked

    async def _check_batch(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        async with self._room:
            digests, unknown = await self._workers.run(self._sort_out, claims)
            if unknown and not await self._hold(unknown):
                return ()
        if self._remembered is not None:
            self._remembered.confirm(digests)
        return claims

    def _sort_out(self, claims: Sequence[Claim]) -> tuple[list[bytes], Sequence[Claim]]:
        """The digests of the claims, and those that no earlier run checked."""
        remembered = self._remembered
        if remembered is None:
            return [], claims
        digests = list(map(remembered.digest, claims))
        pairs = zip(claims, digests, strict=True)
        return digests, [claim for claim, digest in pairs if not remembered.knows(digest)]

    async def _hold(self, claims: Sequence[Claim]) -> bool:
        """Whether all of these hold."""
        self._checked += len(claims)
        aggregates = await self._workers.run(aggregates_of, claims, self._domain)
        if aggregates is None:
            return False
        if self._checked > self._in_threads:
            answer = await self._pool.ask(await self._workers.run(request_of, aggregates))
            if answer is not None:
                return answer == HOLD
        return await self._workers.run(verify_together, aggregates)


def _shares(claims: Sequence[Claim], count: int) -> list[Sequence[Claim]]:
    """The claims in `count` equal parts: a small rest would cost more for each claim."""
    borders = [len(claims) * number // count for number in range(count + 1)] if count else []
    return [claims[first:end] for first, end in pairwise(borders)]
