from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from restore.crypto.bls import DOMAIN_TAG, Aggregate, verify_aggregate, verify_together
from restore.errors import FormatError

MESSAGE = b"what everyone signed"
SECRETS = [3, 5, 7]
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""Of the groups."""

INFINITY_G1 = b"\xc0" + bytes(47)
MODULUS_G1 = bytes.fromhex(  # x is the modulus of the field, which is 0 in another form
    "9a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab"
)
INFINITY_G2 = b"\xc0" + bytes(95)


def keys(secrets: Sequence[int] = SECRETS) -> list[bytes]:
    return [(G1Point() * Scalar(secret)).to_compressed_bytes() for secret in secrets]


def signature(secrets: Sequence[int] = SECRETS, message: bytes = MESSAGE, tag: bytes = DOMAIN_TAG) -> bytes:
    point = G2Point.hash_to_curve(message, tag)
    return (point * Scalar(sum(secrets))).to_compressed_bytes()


def short(data: bytes) -> str:
    return f"{len(data)}-{data.hex()[:8]}"


def outside_the_subgroup(kind: type[G1Point] | type[G2Point], size: int) -> bytes:
    """The first x for which there is a point on the curve that is in no group."""
    for x in range(100):
        data = bytes([0x80, *x.to_bytes(size - 1, "big")])
        try:
            point = kind.from_compressed_bytes_unchecked(data)
        except ValueError:
            continue
        if not point.is_in_subgroup():
            return data
    raise AssertionError("no such point")


def test_the_signatures_of_all_keys_add_up() -> None:
    assert verify_aggregate(Aggregate(keys(), MESSAGE, signature()))
    assert verify_aggregate(Aggregate(keys([9]), MESSAGE, signature([9])))


def test_the_order_of_keys_means_nothing() -> None:
    assert verify_aggregate(Aggregate(keys()[::-1], MESSAGE, signature()))


@pytest.mark.parametrize(
    ("public_keys", "message", "aggregate"),
    [
        (keys(), b"another message", signature()),
        (keys([3, 5]), MESSAGE, signature()),
        (keys([3, 5, 7, 7]), MESSAGE, signature()),
        (keys(), MESSAGE, signature([3, 5])),
        (keys(), MESSAGE, signature(tag=DOMAIN_TAG.replace(b"POP", b"NUL"))),
    ],
)
def test_another_message_or_other_signers_do_not_hold(
    public_keys: list[bytes], message: bytes, aggregate: bytes
) -> None:
    assert not verify_aggregate(Aggregate(public_keys, message, aggregate))


def test_infinity_vouches_for_nothing() -> None:
    opposites = [*keys([3]), (-(G1Point() * Scalar(3))).to_compressed_bytes()]
    assert not verify_aggregate(Aggregate([], MESSAGE, INFINITY_G2))
    assert not verify_aggregate(Aggregate([], MESSAGE, signature()))
    assert not verify_aggregate(Aggregate([INFINITY_G1], MESSAGE, INFINITY_G2))
    assert not verify_aggregate(Aggregate([*keys(), INFINITY_G1], MESSAGE, signature()))
    assert not verify_aggregate(Aggregate(opposites, MESSAGE, INFINITY_G2))
    assert not verify_aggregate(Aggregate(keys(), MESSAGE, INFINITY_G2))


@pytest.mark.parametrize(
    "key",
    [b"", keys()[0][:-1], keys()[0] + b"\0", bytes(48), b"\xff" * 48, outside_the_subgroup(G1Point, 48)],
)
def test_a_key_that_is_no_point_of_its_group_is_refused(key: bytes) -> None:
    with pytest.raises(FormatError, match="public key") as caught:
        verify_aggregate(Aggregate([*keys(), key], MESSAGE, signature()))
    assert caught.value.found == key.hex()


@pytest.mark.parametrize(
    "aggregate",
    [
        b"",
        signature()[:-1],
        bytes(96),
        b"\xff" * 96,
        INFINITY_G2[:-1] + b"\1",
        outside_the_subgroup(G2Point, 96),
    ],
)
def test_a_signature_that_is_no_point_of_its_group_is_refused(aggregate: bytes) -> None:
    with pytest.raises(FormatError, match="signature") as caught:
        verify_aggregate(Aggregate(keys(), MESSAGE, aggregate))
    assert caught.value.found == aggregate.hex()


def claim(number: int, *, secrets: Sequence[int] = SECRETS) -> Aggregate:
    """A claim that holds; each number has a message of its own."""
    message = b"message %d" % number
    return Aggregate(keys(secrets), message, signature(secrets, message))


def shifted(claimed: Aggregate, by: int) -> Aggregate:
    """The claim with a signature that is off by a multiple of the generator."""
    point = G2Point.from_compressed_bytes(claimed.signature) + G2Point() * Scalar(by % ORDER)
    return claimed._replace(signature=point.to_compressed_bytes())


BROKEN: dict[str, Callable[[Aggregate], Aggregate]] = {
    "a signature of another message": lambda one: one._replace(signature=claim(99).signature),
    "a message that nobody signed": lambda one: one._replace(message=b"another message"),
    "a signer too few": lambda one: one._replace(public_keys=one.public_keys[1:]),
    "no signer": lambda one: one._replace(public_keys=[]),
    "a signer at infinity": lambda one: one._replace(public_keys=[*one.public_keys, INFINITY_G1]),
    "a signature at infinity": lambda one: one._replace(signature=INFINITY_G2),
    "a key that is no point": lambda one: one._replace(public_keys=[*one.public_keys, bytes(48)]),
    "a signature outside of the group": lambda one: one._replace(signature=outside_the_subgroup(G2Point, 96)),
}


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_claims_that_hold_hold_together(count: int) -> None:
    assert verify_together([claim(number, secrets=[number + 1, 7]) for number in range(count)])


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_one_claim_that_does_not_hold_is_enough(broken: str, place: int) -> None:
    claims = [claim(number) for number in range(4)]
    claims[place] = BROKEN[broken](claims[place])
    assert not verify_together(claims)


def test_claims_that_are_wrong_by_opposite_amounts_do_not_make_up_for_each_other() -> None:
    one, two, three = (claim(number) for number in range(3))
    signatures = [point.signature for point in (shifted(one, 1), shifted(two, -1), three)]
    total = sum(map(G2Point.from_compressed_bytes, signatures), start=G2Point.identity())
    honest = [point.signature for point in (one, two, three)]
    assert total == sum(map(G2Point.from_compressed_bytes, honest), start=G2Point.identity())
    assert not verify_together([shifted(one, 1), shifted(two, -1), three])
    assert not verify_together([one._replace(signature=two.signature), two._replace(signature=one.signature)])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from([None, *BROKEN]), max_size=4))
def test_claims_hold_together_if_each_does_by_itself(kinds: list[str | None]) -> None:
    claims = [
        claim(number) if kind is None else BROKEN[kind](claim(number)) for number, kind in enumerate(kinds)
    ]
    assert verify_together(claims) == all(map(holds, claims))


def holds(one: Aggregate) -> bool:
    try:
        return verify_aggregate(one)
    except FormatError:
        return False
