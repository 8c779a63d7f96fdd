"""Authenticators of user transactions, of every kind.

Keys and signatures are random bytes of the right length. Source: spec/bcs-layouts.txt.
"""

from __future__ import annotations

from restore.sample.encode import FRAMEWORK, NONE, option, sequence, text, u64
from restore.sample.seed import Source
from restore.wire.bcs import encode_bytes


def authenticator(source: Source) -> bytes:
    """BCS TransactionAuthenticator."""
    kind = source.below(10)
    if kind < 5:
        return b"\x00" + _ed25519(source)
    if kind == 5:
        return b"\x01" + _multi_ed25519(source)
    if kind == 6:
        return b"\x02" + _account(source) + _secondary(source)
    if kind == 7:
        return b"\x03" + _account(source) + _secondary(source) + source.take(32) + _account(source)
    return b"\x04" + _account(source)


def _secondary(source: Source) -> bytes:
    """Secondary signers' addresses and their authenticators."""
    count = source.below(3)
    return sequence(source.take(32) for _ in range(count)) + sequence(_account(source) for _ in range(count))


def _account(source: Source) -> bytes:
    """BCS AccountAuthenticator."""
    kind = source.below(6)
    if kind == 0:
        return b"\x00" + _ed25519(source)
    if kind == 1:
        return b"\x01" + _multi_ed25519(source)
    if kind == 2:
        scheme = source.below(5)
        return b"\x02" + _public_key(source, scheme) + _signature(source, scheme)
    if kind == 3:
        schemes = [source.below(5) for _ in range(source.between(1, 3))]
        keys = sequence(_public_key(source, scheme) for scheme in schemes)
        signatures = sequence(_signature(source, scheme) for scheme in schemes)
        return b"\x03" + keys + bytes((len(schemes),)) + signatures + encode_bytes(b"\xe0\x00\x00\x00")
    if kind == 4:
        return b"\x04"
    function = FRAMEWORK + text("account_abstraction") + text("authenticate")
    if source.one_in(2):
        return b"\x05" + function + b"\x00" + encode_bytes(source.take(32)) + encode_bytes(source.take(64))
    return b"\x05" + function + b"\x01" + b"".join(encode_bytes(source.take(size)) for size in (32, 64, 20))


def _ed25519(source: Source) -> bytes:
    return encode_bytes(source.take(32)) + encode_bytes(source.take(64))


def _multi_ed25519(source: Source) -> bytes:
    count = source.between(2, 4)
    keys = source.take(32 * count) + bytes((count,))
    return encode_bytes(keys) + encode_bytes(source.take(64 * count) + b"\xf0\x00\x00\x00")


def _public_key(source: Source, scheme: int) -> bytes:
    """BCS AnyPublicKey: Ed25519, Secp256k1, Secp256r1, keyless, federated keyless."""
    index = bytes((scheme,))
    if scheme == 0:
        return index + encode_bytes(source.take(32))
    if scheme < 3:
        return index + encode_bytes(source.take(65))
    keyless = text("https://accounts.example.com") + encode_bytes(source.take(32))
    return index + keyless if scheme == 3 else index + source.take(32) + keyless


def _signature(source: Source, scheme: int) -> bytes:
    """BCS AnySignature for a key of `scheme`."""
    if scheme < 2:
        return bytes((scheme,)) + encode_bytes(source.take(64))
    if scheme == 2:
        client_data = b'{"type":"webauthn.get"}'
        return (
            b"\x02\x00"
            + encode_bytes(source.take(64))
            + encode_bytes(source.take(37))
            + encode_bytes(client_data)
        )
    ephemeral_key = b"\x00" + encode_bytes(source.take(32))
    ephemeral_signature = b"\x00" + encode_bytes(source.take(64))
    header = text('{"alg":"RS256","kid":"sample"}')
    return b"\x03" + _certificate(source) + header + u64(1_900_000_000) + ephemeral_key + ephemeral_signature


def _certificate(source: Source) -> bytes:
    """BCS EphemeralCertificate."""
    if source.one_in(3):
        token = encode_bytes(source.take(256)) + text('{"aud":"sample"}') + text("sub")
        return b"\x01" + token + encode_bytes(source.take(31)) + source.take(31) + NONE
    proof = b"\x00" + source.take(32) + source.take(64) + source.take(32)
    training_wheels = option(b"\x00" + encode_bytes(source.take(64)))
    return b"\x00" + proof + u64(10_000_000) + NONE + option(text("override")) + training_wheels
