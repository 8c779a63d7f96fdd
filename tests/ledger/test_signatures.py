from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from restore.crypto.bls import DOMAIN_TAG, verify_together
from restore.errors import FormatError, TrustError
from restore.ledger.hashes import APTOS, Domain
from restore.ledger.ledger_info import EpochState, LedgerInfo, SignedLedgerInfo, Validator
from restore.ledger.signatures import Claim, aggregates_of, verify_signatures
from restore.wire.bcs import Reader
from tests.ledger.real import shared_vectors, signed, signing_epoch
from tests.ledger.test_ledger_info import ledger_info

DIEM = Domain("DIEM::")
MAINNET = [
    "epoch-7248-ending",
    "epoch-7495-ending",
    "inclusion-version-964644771",
    "inclusion-version-998167816",
]
SECRETS = range(2, 13)


def validators(count: int = 4, power: int = 1) -> EpochState:
    keys = [(G1Point() * Scalar(secret)).to_compressed_bytes() for secret in SECRETS[:count]]
    return EpochState(5, tuple(Validator(bytes(32), key, power) for key in keys), b"")


def sign(signers: list[int], count: int = 4, *, text: str = "APTOS::") -> SignedLedgerInfo:
    info = LedgerInfo.read(Reader(ledger_info(None)))
    mask = bytearray((count + 7) // 8)
    for signer in signers:
        mask[signer // 8] |= 0x80 >> signer % 8
    point = G2Point.hash_to_curve(Domain(text).ledger_info + info.raw, DOMAIN_TAG)
    signature = (point * Scalar(sum(SECRETS[signer] for signer in signers))).to_compressed_bytes()
    return SignedLedgerInfo(info, bytes(mask), signature, b"")


def refused(signed_info: SignedLedgerInfo, state: EpochState, domain: Domain = APTOS) -> TrustError:
    with pytest.raises(TrustError) as caught:
        verify_signatures(signed_info, state, domain)
    assert caught.value.version == signed_info.info.version
    return caught.value


@pytest.mark.parametrize("name", MAINNET)
def test_mainnet_validators_vouch_for_their_ledger_info(name: str, shared: Path) -> None:
    row = shared_vectors(shared, f"real-ledger-infos/aptos-mainnet-{name}.json")
    info, state = signed(row), signing_epoch(row)
    verify_signatures(info, state, APTOS)
    assert refused(info, state, DIEM).message == "signature of the ledger info does not hold"


def test_the_validators_announced_in_one_epoch_vouch_in_the_next(shared: Path) -> None:
    ending = signed(shared_vectors(shared, "real-ledger-infos/aptos-mainnet-epoch-7495-ending.json"))
    later = signed(shared_vectors(shared, "real-ledger-infos/aptos-mainnet-inclusion-version-998167816.json"))
    assert ending.info.next_epoch_state is not None
    verify_signatures(later, ending.info.next_epoch_state, APTOS)


def chain(rows: list[Any], domain: Domain) -> int:
    """Verifies each ledger info by the validators of the one before; how many."""
    state: EpochState | None = None
    verified = 0
    for row in rows:
        info = signed(row)
        if state is not None:
            verify_signatures(info, state, domain)
            verified += 1
        state = info.info.next_epoch_state
    return verified


def test_the_whole_chain_of_open_libra_is_signed(shared: Path) -> None:
    rows = [
        row
        for row in shared_vectors(shared, "real-ledger-infos/openlibra-v7-epochs-0-193.jsonl.gz")
        if "bcs" in row
    ]
    assert chain(rows, DIEM) == 193


def test_the_whole_chain_of_a_movement_network_is_signed(shared: Path) -> None:
    rows = shared_vectors(shared, "real-ledger-infos/movement-single-validator-epochs-11-102.json.gz")["rows"]
    assert chain(rows, APTOS) == 91


@pytest.mark.parametrize("signers", [[0, 1, 2], [1, 2, 3], [0, 1, 2, 3]])
def test_a_quorum_vouches(signers: list[int]) -> None:
    verify_signatures(sign(signers), validators(), APTOS)


def test_validators_beyond_the_first_byte_vouch_too() -> None:
    verify_signatures(sign([0, 1, 2, 3, 4, 6, 8, 10], 11), validators(11), APTOS)


def test_another_epoch_is_refused_first() -> None:
    error = refused(sign([]), replace(validators(), epoch=6))
    assert (error.expected, error.found) == ("6", "5")


@pytest.mark.parametrize(
    ("count", "mask", "expected"), [(4, b"", 1), (4, b"\xe0\x00", 1), (8, b"\xff\x00", 1), (9, b"\xff", 2)]
)
def test_a_bitmask_has_one_bit_for_each_validator(count: int, mask: bytes, expected: int) -> None:
    error = refused(replace(sign([0, 1, 2]), bitmask=mask), validators(count))
    assert (error.expected, error.found) == (f"{expected} bytes", f"{len(mask)} bytes")


def test_a_bit_without_a_validator_is_refused() -> None:
    error = refused(replace(sign([0, 1, 2]), bitmask=b"\xe8"), validators())
    assert (error.expected, error.found) == ("below 4", "4")


@pytest.mark.parametrize(("count", "signers", "quorum"), [(4, [0, 3], 3), (3, [0, 1], 3), (4, [], 3)])
def test_less_than_a_quorum_is_refused(count: int, signers: list[int], quorum: int) -> None:
    error = refused(sign(signers, count), validators(count))
    assert (error.expected, error.found) == (str(quorum), str(len(signers)))


def test_power_counts_and_not_heads() -> None:
    state = validators()
    heavy = replace(state, validators=(state.validators[0]._replace(voting_power=7), *state.validators[1:]))
    verify_signatures(sign([0]), heavy, APTOS)
    assert refused(sign([1, 2, 3]), heavy).found == "3"


def test_a_missing_signature_is_refused() -> None:
    assert "no signature" in refused(replace(sign([0, 1, 2]), signature=None), validators()).message


def test_no_validators_vouch_for_nothing() -> None:
    nobody = EpochState(5, (), b"")
    assert "no signature" in refused(replace(sign([], 0), signature=None), nobody).message
    assert "does not hold" in refused(sign([], 0), nobody).message


@pytest.mark.parametrize("change", ["signers", "message", "domain"])
def test_a_signature_of_something_else_is_refused(change: str) -> None:
    info = sign([0, 1, 2], text="DIEM::") if change == "domain" else sign([0, 1, 2])
    if change == "signers":
        info = replace(info, bitmask=b"\xd0")
    if change == "message":
        other = bytearray(info.info.raw)
        other[8] ^= 1  # the round, which no waypoint covers
        info = replace(info, info=replace(info.info, raw=bytes(other)))
    assert "does not hold" in refused(info, validators()).message


def test_bytes_that_are_no_point_are_a_format_error() -> None:
    with pytest.raises(FormatError, match="signature"):
        verify_signatures(replace(sign([0, 1, 2]), signature=b"\xff" * 96), validators(), APTOS)
    state = validators()
    broken = replace(
        state, validators=(state.validators[0]._replace(public_key=bytes(48)), *state.validators[1:])
    )
    with pytest.raises(FormatError, match="public key"):
        verify_signatures(sign([0, 1, 2]), broken, APTOS)


def test_claims_come_down_to_their_aggregate_signatures() -> None:
    claims = [Claim(sign(signers), validators()) for signers in ([0, 1, 2], [1, 2, 3], [0, 1, 2, 3])]
    aggregates = aggregates_of(claims, APTOS)
    assert aggregates is not None
    assert [len(aggregate.public_keys) for aggregate in aggregates] == [3, 3, 4]
    assert verify_together(aggregates)
    assert not verify_together(aggregates_of(claims, DIEM) or [])
    assert aggregates_of([], APTOS) == []


@pytest.mark.parametrize(
    "claim",
    [
        Claim(sign([0, 1]), validators()),
        Claim(replace(sign([0, 1, 2]), signature=None), validators()),
        Claim(replace(sign([0, 1, 2]), bitmask=b""), validators()),
        Claim(sign([0, 1, 2]), replace(validators(), epoch=6)),
    ],
)
def test_a_claim_that_is_wrong_before_its_signature_has_none(claim: Claim) -> None:
    good = Claim(sign([0, 1, 2]), validators())
    refused(*claim)
    assert aggregates_of([good, claim], APTOS) is None
