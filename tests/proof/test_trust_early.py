"""Signatures that somebody checked before their turn: what the history takes of that, and what not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from restore.errors import TrustError
from restore.ledger.ledger_info import EpochState, SignedLedgerInfo
from restore.ledger.waypoint import Waypoint
from restore.sample.encode import u64
from tests.proof.test_trust import FORGED, REAL, history, refusal


def unsigned(epoch: int) -> SignedLedgerInfo:
    """The end of an epoch of the real chain, with a signature that does not hold."""
    return replace(REAL.ending(epoch), signature=FORGED.ending(epoch).signature)


def test_signatures_that_were_checked_under_the_announced_validators_are_not_checked_again() -> None:
    known = history(REAL.waypoint(0), epochs=2)
    announced = known.announced
    assert announced is not None
    assert announced.raw == REAL.epoch_state(2)
    assert "does not hold" in refusal(known, unsigned(2)).message
    known.extend(unsigned(2), checked_under=announced)
    assert known.epochs == 3


def test_validators_that_were_not_announced_vouch_for_nothing_whoever_checked_it() -> None:
    others = EpochState.parse(FORGED.epoch_state(2))
    stronger = EpochState.parse(REAL.epoch_state(2)[:-8] + u64(2))
    for state in (others, stronger):
        known = history(REAL.waypoint(0), epochs=2)
        for ending in (FORGED.info(2, 20), unsigned(2)):
            with pytest.raises(TrustError, match="does not hold"):
                known.extend(ending, checked_under=state)
        known.extend(REAL.ending(2), checked_under=state)  # it is checked here
        assert known.epochs == 3


def test_signatures_that_were_checked_excuse_nothing_else() -> None:
    announced = history(REAL.waypoint(0), epochs=2).announced
    for known, ending, message in (
        (history(REAL.waypoint(0), epochs=2), REAL.info(3, 30), "of another epoch"),
        (history(REAL.waypoint(0), epochs=2), REAL.info(2, 20, ends=False), "does not end its epoch"),
        (history(REAL.waypoint(0), epochs=2), REAL.info(2, 10), "does not end after"),
        (history(REAL.waypoint(0), Waypoint(20, bytes(32)), epochs=2), REAL.ending(2), "is not the one"),
    ):
        with pytest.raises(TrustError, match=message):
            known.extend(ending, checked_under=announced)


def test_nobody_is_announced_before_the_first_epoch_ends() -> None:
    assert history(REAL.waypoint(0)).announced is None
