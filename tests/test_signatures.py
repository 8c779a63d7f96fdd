"""Signatures that are checked early, on chains of many epochs with few validators."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

import pytest

from restore import signatures
from restore.errors import TrustError
from restore.flow.threads import Workers
from restore.ledger.hashes import APTOS
from restore.ledger.ledger_info import EpochState, SignedLedgerInfo
from restore.ledger.signatures import Claim, verify_signatures
from restore.ledger.waypoint import Waypoint
from restore.proof.remembered import Remembered
from restore.proof.trust import TrustPolicy
from restore.signatures import SignatureChecks
from tests.flow.processes import children_of_this_process, no_child_left
from tests.flow.steps import settle_until
from tests.proof.test_trust import FORGED, REAL

POLICY = TrustPolicy((Waypoint(0, bytes(32)),))
BATCH = 4
EPOCHS = 10


def _claims() -> list[Claim]:
    endings = [REAL.ending(epoch) for epoch in range(EPOCHS + 1)]
    claims = []
    for before, ending in pairwise(endings):
        assert before.info.next_epoch_state is not None
        claims.append(Claim(ending, before.info.next_epoch_state))
    return claims


CLAIMS = _claims()
ALL = {claim.signed.info.epoch: claim.validators for claim in CLAIMS}


def broken(epoch: int) -> list[Claim]:
    """The claims, of which one does not hold."""
    signed, wrong = REAL.ending(epoch), FORGED.ending(epoch).signature
    assert signed.signature is not None
    assert wrong is not None
    raw = signed.raw.removesuffix(signed.signature) + wrong
    claims = list(CLAIMS)
    claims[epoch - 1] = claims[epoch - 1]._replace(signed=SignedLedgerInfo.parse(raw))
    return claims


def batch_of(epoch: int) -> set[int]:
    """The epochs that are checked together with this one: in equal parts, as far as that goes."""
    (found,) = (part for part in ({1, 2, 3}, {4, 5, 6}, {7, 8, 9, 10}) if epoch in part)
    return found


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "BATCH", BATCH)


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    async with Workers(2) as workers:
        yield workers


@pytest.fixture(params=[0, 10**9], ids=["processes", "threads"])
def in_threads(request: pytest.FixtureRequest) -> int:
    """How many signatures are checked in threads."""
    number: int = request.param
    return number


class Check(Protocol):
    """What holds of some claims, by epoch."""

    async def __call__(
        self, claims: Sequence[Claim], remembered: Remembered | None = None
    ) -> dict[int, EpochState]: ...


@pytest.fixture
def checked(workers: Workers, in_threads: int) -> Check:
    """Checks once in threads and once in processes."""

    async def check(claims: Sequence[Claim], remembered: Remembered | None = None) -> dict[int, EpochState]:
        async with SignatureChecks(
            workers, APTOS, processes=2, in_threads=in_threads, remembered=remembered
        ) as checks:
            return await checks.check(claims)

    return check


async def test_claims_that_hold_are_named_by_epoch_with_their_validators(
    workers: Workers, in_threads: int
) -> None:
    before = children_of_this_process()
    with no_child_left():
        async with SignatureChecks(workers, APTOS, processes=2, in_threads=in_threads) as checks:
            assert await checks.check(CLAIMS) == ALL
            assert bool(children_of_this_process() - before) == (in_threads == 0)
            assert await checks.check([]) == {}


@pytest.mark.parametrize("epoch", [1, 3, 4, 7, 10])
async def test_of_a_batch_that_does_not_hold_nothing_is_said(checked: Check, epoch: int) -> None:
    found = await checked(broken(epoch))
    assert found.keys() == ALL.keys() - batch_of(epoch)


async def test_what_is_wrong_before_any_signature_is_an_answer_and_no_error(checked: Check) -> None:
    signed, validators = CLAIMS[0]
    for claim in (
        Claim(replace(signed, bitmask=b"\xff\xff"), validators),
        Claim(replace(signed, bitmask=b"\x80"), validators),
        Claim(replace(signed, signature=None), validators),
        Claim(replace(signed, signature=b"\xff" * 96), validators),
        Claim(signed, CLAIMS[1].validators),
        Claim(signed, replace(validators, validators=())),
    ):
        assert await checked([claim]) == {}
        assert await checked([*CLAIMS[1:3], claim]) == {}


async def test_what_an_earlier_run_found_to_hold_is_not_checked_again(checked: Check) -> None:
    first = Remembered(POLICY, APTOS)
    assert await checked(CLAIMS, first) == ALL
    assert len(first.confirmed) == EPOCHS
    second = Remembered(POLICY, APTOS, first.confirmed)
    assert await checked(CLAIMS, second) == ALL
    assert (second.recalled, second.has_news) == (EPOCHS, False)


async def test_what_is_remembered_is_believed_and_nothing_beside_it(checked: Check) -> None:
    claims = broken(5)
    forged = Remembered(POLICY, APTOS)
    remembered = Remembered(POLICY, APTOS, [forged.digest(claims[4])])
    with pytest.raises(TrustError, match="does not hold"):
        verify_signatures(claims[4].signed, claims[4].validators, APTOS)
    found = await checked(claims, remembered)  # whoever keeps the digests vouches for them
    assert 5 in found
    another = broken(6)[5]
    assert 6 not in await checked([*claims[:5], another], remembered)


async def test_what_does_not_hold_is_not_remembered(checked: Check) -> None:
    remembered = Remembered(POLICY, APTOS)
    await checked(broken(3), remembered)
    assert len(remembered.confirmed) == EPOCHS - 3
    assert remembered.digest(CLAIMS[0]) not in remembered.confirmed


async def test_processes_are_started_only_for_many(workers: Workers) -> None:
    before = children_of_this_process()
    async with SignatureChecks(workers, APTOS, processes=2, in_threads=9) as checks:
        assert len(await checks.check(CLAIMS[:9])) == 9
        assert children_of_this_process() == before
        assert len(await checks.check(CLAIMS[9:])) == 1
        assert len(children_of_this_process() - before) == 1


async def test_where_no_process_answers_threads_check(
    checked: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert await checked(CLAIMS) == ALL
    assert (await checked(broken(1))).keys() == ALL.keys() - batch_of(1)


async def test_processes_that_are_killed_at_work_change_nothing(workers: Workers) -> None:
    before = children_of_this_process()
    with no_child_left():
        async with SignatureChecks(workers, APTOS, processes=2, in_threads=0) as checks:
            checking = asyncio.create_task(checks.check(CLAIMS))
            await settle_until(lambda: len(children_of_this_process() - before) == 2)
            for child in children_of_this_process() - before:
                os.kill(child, signal.SIGKILL)
            assert await checking == ALL
            assert await checks.check(CLAIMS[:2]) == {1: ALL[1], 2: ALL[2]}


async def test_who_is_cancelled_leaves_no_process_behind(workers: Workers) -> None:
    async def check() -> None:
        async with SignatureChecks(workers, APTOS, processes=2, in_threads=0) as checks:
            await checks.check(CLAIMS)

    before = children_of_this_process()
    with no_child_left():
        checking = asyncio.create_task(check())
        await settle_until(lambda: len(children_of_this_process() - before) == 2)
        checking.cancel()
        await asyncio.wait((checking,))
        assert checking.cancelled()
