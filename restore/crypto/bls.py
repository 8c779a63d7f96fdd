"""BLS12-381 aggregate signatures: public keys in G1 (48 bytes), signatures in G2 (96 bytes).

Source: spec/ledger-hashing.md section 8.3. Decoding checks that a point lies in its subgroup.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from py_arkworks_bls12381 import GT, G1Point, G2Point

from restore.errors import FormatError

PUBLIC_KEY_BYTES = 48
SIGNATURE_BYTES = 96

DOMAIN_TAG = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
"""Proof-of-possession ciphersuite."""

MAX_CACHED_KEYS = 4096
"""Decoding a key costs about 0.1 ms, and a set of 150 validators changes little from epoch to epoch. The keys
of a whole mainnet history fit, in about 2 MiB."""

_NEGATED_GENERATOR = -G1Point()

_Point = TypeVar("_Point", G1Point, G2Point)


def verify_aggregate(public_keys: Sequence[bytes], message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the sum of the signatures of all `public_keys` over the one `message`.

    False also without keys, and where a key, the sum of the keys or the signature is the point at infinity:
    that equation anyone could fulfil.

    Raises:
        FormatError: a key or the signature is no point of its group.
    """
    point = _decoded(G2Point, signature, "BLS signature is no point of its group")
    keys = [_public_key(key) for key in public_keys]
    infinity = G1Point.identity()
    total = sum(keys, start=infinity)
    if infinity in keys or total == infinity or point == G2Point.identity():
        return False
    return GT.pairing_check([total, _NEGATED_GENERATOR], [G2Point.hash_to_curve(message, DOMAIN_TAG), point])


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
