"""BLS12-381 aggregate signatures: public keys in G1 (48 bytes), signatures in G2 (96 bytes).

Source: spec/ledger-hashing.md section 8.3. Decoding checks that a point lies in its subgroup.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from restore.errors import FormatError

PUBLIC_KEY_BYTES = 48
SIGNATURE_BYTES = 96

DOMAIN_TAG = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
"""Proof-of-possession ciphersuite."""

MAX_CACHED_KEYS = 4096
"""Decoding a key costs about 0.1 ms, and a set of 150 validators changes little from epoch to epoch. The keys
of a whole mainnet history fit, in about 2 MiB."""

SCALAR_BITS = 128
"""Of the random scalars of `verify_together`: what the whole scheme is worth."""

_INFINITY = G1Point.identity()
_NEGATED_GENERATOR = -G1Point()

_Point = TypeVar("_Point", G1Point, G2Point)


class Aggregate(NamedTuple):
    """The claim that `signature` is the sum of the signatures of all `public_keys` over the one `message`."""

    public_keys: Sequence[bytes]
    message: bytes
    signature: bytes


def verify_aggregate(aggregate: Aggregate) -> bool:
    """Whether the claim holds.

    False also without keys, and where a key, the sum of the keys or the signature is the point at infinity:
    that equation anyone could fulfil.

    Raises:
        FormatError: a key or the signature is no point of its group.
    """
    points = _points(aggregate)
    if points is None:
        return False
    total, hashed, signature = points
    return GT.pairing_check([total, _NEGATED_GENERATOR], [hashed, signature])


def verify_together(aggregates: Sequence[Aggregate]) -> bool:
    """Whether all claims hold, at a good half of the price: k + 1 pairings in one product, in place of 2k.

    Where a key or a signature is no point of its group, they do not.

    Claim i holds if e(P_i, H_i) = e(g, S_i), for the sum P_i of its keys, the hash H_i of its message and its
    signature S_i. Both sides to the power of a random r_i, and all claims multiplied:

        e(r_1 P_1, H_1) ... e(r_k P_k, H_k) = e(g, r_1 S_1 + ... + r_k S_k)

    If all hold, so does this. If claim i does not, its two sides differ by x_i, not 0, in the exponent of an
    element of prime order: every point was checked to lie in its subgroup. Whatever the other claims are,
    at most one residue of r_i makes r_1 x_1 + ... + r_k x_k vanish. So this accepts a false claim with a
    probability of 2**-128 at most, since each r_i is drawn from 2**128 residues, after the claims are known.

    Source: Bellare, Garay, Rabin, "Fast Batch Verification for Modular Exponentiation and Digital
    Signatures" (Eurocrypt 1998), the small exponents test.
    """
    totals, hashes, signatures, scalars = [], [], [], []
    for aggregate in aggregates:
        try:
            points = _points(aggregate)
        except FormatError:
            return False
        if points is None:
            return False
        total, hashed, signature = points
        scalar = Scalar(secrets.randbits(SCALAR_BITS))
        totals.append(total * scalar)
        hashes.append(hashed)
        signatures.append(signature)
        scalars.append(scalar)
    combined = G2Point.multiexp_unchecked(signatures, scalars)  # unchecked are their lengths, which are equal
    return GT.pairing_check([*totals, _NEGATED_GENERATOR], [*hashes, combined])


def _points(aggregate: Aggregate) -> tuple[G1Point, G2Point, G2Point] | None:
    """The sum of the keys, the hash of the message and the signature; None where infinity is involved."""
    signature = _decoded(G2Point, aggregate.signature, "BLS signature is no point of its group")
    keys = [_public_key(key) for key in aggregate.public_keys]
    total = sum(keys, start=_INFINITY)
    if _INFINITY in keys or total == _INFINITY or signature == G2Point.identity():
        return None
    return total, G2Point.hash_to_curve(aggregate.message, DOMAIN_TAG), signature


@lru_cache(maxsize=MAX_CACHED_KEYS)
def _public_key(data: bytes) -> G1Point:
    return _decoded(G1Point, data, "BLS public key is no point of its group")


def _decoded(kind: type[_Point], data: bytes, message: str) -> _Point:
    try:
        point = kind.from_compressed_bytes(data)
    except ValueError:
        raise FormatError(message, found=data) from None
    # The library takes any bytes with the bit of infinity for infinity; a point has one encoding only.
    if point.to_compressed_bytes() != data:
        raise FormatError(message, found=data)
    return point
