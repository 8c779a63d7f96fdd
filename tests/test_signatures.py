"""Signatures that are checked early, on chains of many epochs with few validators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from restore import signatures
from restore.errors import TrustError
from restore.flow.threads import Workers
from restore.ledger.hashes import APTOS
from restore.ledger.ledger_info import EpochState
from restore.ledger.signatures import Claim, verify_signatures
from restore.ledger.waypoint import Waypoint
from restore.proof.remembered import Remembered
from restore.proof.trust import TrustPolicy
from restore.signatures import SignatureChecks
from tests.flow.processes import children_of_this_process, no_child_left
from tests.proof.test_trust import FORGED, REAL

POLICY = TrustPolicy((Waypoint(0, bytes(32)),))
BATCH = 4
EPOCHS = 2 * BATCH + 2


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
    claims = list(CLAIMS)
    wrong = FORGED.ending(epoch).signature
    claims[epoch - 1] = claims[epoch - 1]._replace(signed=replace(REAL.ending(epoch), signature=wrong))
    return claims


def batch_of(epoch: int) -> range:
    """The epochs that are checked together with this one."""
    first = (epoch - 1) // BATCH * BATCH + 1
    return range(first, min(first + BATCH, EPOCHS + 1))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "BATCH", BATCH)


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    async with Workers(2) as workers:
        yield workers


@pytest.fixture(params=["threads", "processes"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where signatures are checked."""
    where: str = request.param
    monkeypatch.setattr(signatures, "CHECKED_IN_THREADS", 10**9 if where == "threads" else 0)
    return where


async def checked(
    workers: Workers, claims: Sequence[Claim], remembered: Remembered | None = None
) -> dict[int, EpochState]:
    async with SignatureChecks(workers, APTOS, processes=2, remembered=remembered) as checks:
        return await checks.check(claims)


async def test_claims_that_hold_are_named_by_epoch_with_their_validators(
    workers: Workers, place: str
) -> None:
    before = children_of_this_process()
    with no_child_left():
        async with SignatureChecks(workers, APTOS, processes=2) as checks:
            assert await checks.check(CLAIMS) == ALL
            assert bool(children_of_this_process() - before) == (place == "processes")
            assert await checks.check([]) == {}


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("epoch", [1, BATCH, BATCH + 1, EPOCHS])
async def test_of_a_batch_that_does_not_hold_nothing_is_said(workers: Workers, epoch: int) -> None:
    found = await checked(workers, broken(epoch))
    assert found.keys() == ALL.keys() - set(batch_of(epoch))


@pytest.mark.usefixtures("place")
async def test_what_is_wrong_before_any_signature_is_an_answer_and_no_error(workers: Workers) -> None:
    signed, validators = CLAIMS[0]
    for claim in (
        Claim(replace(signed, bitmask=b"\xff\xff"), validators),
        Claim(replace(signed, bitmask=b"\x80"), validators),
        Claim(replace(signed, signature=None), validators),
        Claim(replace(signed, signature=b"\xff" * 96), validators),
        Claim(signed, CLAIMS[1].validators),
        Claim(signed, replace(validators, validators=())),
    ):
        assert await checked(workers, [claim]) == {}
        assert await checked(workers, [*CLAIMS[1:3], claim]) == {}


@pytest.mark.usefixtures("place")
async def test_what_an_earlier_run_found_to_hold_is_not_checked_again(workers: Workers) -> None:
    first = Remembered(POLICY, APTOS)
    assert await checked(workers, CLAIMS, first) == ALL
    assert len(first.confirmed) == EPOCHS
    second = Remembered(POLICY, APTOS, first.confirmed)
    assert await checked(workers, CLAIMS, second) == ALL
    assert (second.recalled, second.has_news) == (EPOCHS, False)


async def test_what_is_remembered_is_believed_and_nothing_beside_it(workers: Workers) -> None:
    claims = broken(5)
    forged = Remembered(POLICY, APTOS)
    remembered = Remembered(POLICY, APTOS, [forged.digest(claims[4])])
    with pytest.raises(TrustError, match="does not hold"):
        verify_signatures(claims[4].signed, claims[4].validators, APTOS)
    found = await checked(workers, claims, remembered)  # whoever keeps the digests vouches for them
    assert 5 in found
    another = broken(6)[5]
    assert 6 not in await checked(workers, [*claims[:5], another], remembered)


@pytest.mark.usefixtures("place")
async def test_what_does_not_hold_is_not_remembered(workers: Workers) -> None:
    remembered = Remembered(POLICY, APTOS)
    await checked(workers, broken(3), remembered)
    assert len(remembered.confirmed) == EPOCHS - BATCH
    assert remembered.digest(CLAIMS[0]) not in remembered.confirmed


async def test_processes_are_started_only_for_many(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "CHECKED_IN_THREADS", 9)
    before = children_of_this_process()
    async with SignatureChecks(workers, APTOS, processes=2) as checks:
        assert len(await checks.check(CLAIMS[:9])) == 9
        assert children_of_this_process() == before
        assert len(await checks.check(CLAIMS[9:])) == 1
        assert len(children_of_this_process() - before) == 1


async def test_where_no_process_answers_threads_check(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "CHECKED_IN_THREADS", 0)
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert await checked(workers, CLAIMS) == ALL
    assert (await checked(workers, broken(1))).keys() == ALL.keys() - set(batch_of(1))
