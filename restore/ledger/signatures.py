"""Whether the validators of an epoch vouch for a ledger info.

Source: spec/ledger-hashing.md sections 8.2 to 8.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from restore.crypto.bls import Aggregate, verify_aggregate
from restore.errors import TrustError
from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import EpochState, SignedLedgerInfo, Validator


class Claim(NamedTuple):
    """That a quorum of these validators signed this ledger info."""

    signed: SignedLedgerInfo
    validators: EpochState


def verify_signatures(signed: SignedLedgerInfo, epoch_state: EpochState, domain: Domain) -> None:
    """Checks that a quorum of `epoch_state` signed the ledger info.

    Raises:
        TrustError: another epoch, a bitmask of the wrong length or with bits beyond the validators, too
            little voting power, no signature, or a wrong one; `version` is the ledger info's.
        FormatError: a public key or the signature is no point of its group.
    """
    if not verify_aggregate(_aggregate(signed, epoch_state, domain)):
        raise TrustError("signature of the ledger info does not hold", version=signed.info.version)


def aggregates_of(claims: Iterable[Claim], domain: Domain) -> list[Aggregate] | None:
    """The aggregate signatures that must hold if `verify_signatures` is to accept all of these.

    None if it would refuse one without looking at its signature; which one, only it can say.
    """
    try:
        return [_aggregate(*claim, domain) for claim in claims]
    except TrustError:
        return None


def _aggregate(signed: SignedLedgerInfo, epoch_state: EpochState, domain: Domain) -> Aggregate:
    """What has to hold in the end, once all but the signature itself was checked."""
    info = signed.info
    if info.epoch != epoch_state.epoch:
        raise TrustError(
            "ledger info is of another epoch than the validators",
            version=info.version,
            expected=epoch_state.epoch,
            found=info.epoch,
        )
    signers = _signers(signed, epoch_state)
    power = sum(validator.voting_power for validator in signers)
    quorum = epoch_state.quorum_power
    if power < quorum:
        raise TrustError(
            "ledger info is signed by less than a quorum", version=info.version, expected=quorum, found=power
        )
    if signed.signature is None:
        raise TrustError("ledger info has no signature", version=info.version)
    keys = [validator.public_key for validator in signers]
    return Aggregate(keys, domain.ledger_info + info.raw, signed.signature)


def _signers(signed: SignedLedgerInfo, epoch_state: EpochState) -> list[Validator]:
    """The validators whose bits are set; bit 0 is the highest of the first byte."""
    bitmask, validators = signed.bitmask, epoch_state.validators
    expected = (len(validators) + 7) // 8
    if len(bitmask) != expected:
        raise TrustError(
            "bitmask of the signers has a wrong length",
            version=signed.info.version,
            expected=f"{expected} bytes",
            found=f"{len(bitmask)} bytes",
        )
    voted = [index for index in range(8 * len(bitmask)) if bitmask[index >> 3] & (0x80 >> (index & 7))]
    if voted and voted[-1] >= len(validators):
        raise TrustError(
            "bitmask of the signers names a validator that does not exist",
            version=signed.info.version,
            expected=f"below {len(validators)}",
            found=voted[-1],
        )
    return [validators[index] for index in voted]
