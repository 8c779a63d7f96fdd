from __future__ import annotations

from dataclasses import replace

import pytest

import restore
from restore.ledger.hashes import APTOS, Domain
from restore.ledger.ledger_info import EpochState, SignedLedgerInfo
from restore.ledger.signatures import Claim
from restore.ledger.waypoint import Waypoint
from restore.proof.remembered import Remembered
from restore.proof.trust import TrustPolicy
from tests.proof.test_trust import REAL

ZERO, LATER = Waypoint(0, bytes(32)), Waypoint(10, bytes(32))
POLICY = TrustPolicy((ZERO,))


def claim(epoch: int = 1) -> Claim:
    return Claim(REAL.ending(epoch), EpochState.parse(REAL.epoch_state(epoch)))


def digest(policy: TrustPolicy = POLICY, domain: Domain = APTOS, claimed: Claim | None = None) -> bytes:
    return Remembered(policy, domain).digest(claimed or claim())


def test_the_same_claim_under_the_same_trust_is_recalled() -> None:
    later = Remembered(TrustPolicy((ZERO,)), Domain("APTOS::"), [digest()])
    assert later.knows(later.digest(claim()))
    assert not later.knows(later.digest(claim(2)))


@pytest.mark.parametrize(
    "policy",
    [
        TrustPolicy((LATER,)),
        TrustPolicy((ZERO, LATER)),
        TrustPolicy((Waypoint(0, bytes(31) + b"\1"),)),
        TrustPolicy(genesis=True),
        TrustPolicy((ZERO,), genesis=True),
    ],
)
def test_who_trusts_something_else_recalls_nothing(policy: TrustPolicy) -> None:
    assert digest(policy) != digest()


def test_the_order_of_waypoints_means_nothing() -> None:
    assert digest(TrustPolicy((ZERO, LATER))) == digest(TrustPolicy((LATER, ZERO)))


def test_another_network_or_program_recalls_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = digest()
    assert digest(domain=Domain("DIEM::")) != found
    monkeypatch.setattr(restore, "__version__", "another")
    assert digest() != found


def test_every_byte_of_the_ledger_info_and_of_the_validators_counts() -> None:
    signed, validators = claim()
    for place in range(len(signed.raw)):
        assert digest(claimed=Claim(replace(signed, raw=_changed(signed.raw, place)), validators)) != digest()
    for place in range(len(validators.raw)):
        changed = replace(validators, raw=_changed(validators.raw, place))
        assert digest(claimed=Claim(signed, changed)) != digest()


def test_what_counts_is_the_bytes_and_not_who_parsed_them() -> None:
    signed, validators = claim()
    again = Claim(SignedLedgerInfo.parse(signed.raw), EpochState.parse(validators.raw))
    assert digest(claimed=again) == digest()


def test_what_is_confirmed_is_news_unless_it_was_remembered() -> None:
    first, second = digest(), digest(claimed=claim(2))
    remembered = Remembered(POLICY, APTOS, [first])
    assert (remembered.has_news, remembered.recalled, remembered.confirmed) == (False, 0, ())
    remembered.confirm([first])
    assert (remembered.has_news, remembered.recalled, remembered.confirmed) == (False, 1, (first,))
    remembered.confirm([second, first])
    assert (remembered.has_news, remembered.recalled) == (True, 1)
    assert remembered.confirmed == (first, second)
    assert not remembered.knows(second)  # only what an earlier run remembered is


def _changed(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
