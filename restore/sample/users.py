"""User transactions: every kind of payload and of authenticator that a network has.

Signatures are random bytes: nobody checks them when a backup is restored. Source: spec/bcs-layouts.txt.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from restore.sample.authenticators import authenticator
from restore.sample.encode import (
    ADDRESS_TAG,
    FRAMEWORK,
    U8_TAG,
    U64_TAG,
    module_id,
    option,
    sequence,
    struct_tag,
    text,
    u16,
    u32,
    u64,
    u128,
    vector_tag,
)
from restore.sample.seed import Source
from restore.wire.bcs import encode_bytes

NO_SEQUENCE_NUMBER = 2**64 - 1
"""What an orderless transaction, which has a nonce instead, carries."""

SENDERS = 40
"""Accounts that send transactions: few, so that sequence numbers grow."""

CHAIN_ID = 4

_COIN = struct_tag("aptos_coin", "AptosCoin")


class UserTransaction(NamedTuple):
    """One user transaction.

    Attributes:
        sender: its address.
        transaction: BCS Transaction.
        hashed: the bytes that its hash covers.
    """

    sender: bytes
    transaction: bytes
    hashed: bytes


class _Payload(NamedTuple):
    """A TransactionPayload as kept and as hashed, and whether a nonce replaces the sequence number."""

    kept: bytes
    hashed: bytes
    has_nonce: bool


class UserTransactions:
    """Makes user transactions one after the other."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._senders = [source.take(32) for _ in range(SENDERS)]
        self._sequence_numbers: Counter[bytes] = Counter()

    def next(self, timestamp_usecs: int, *, newer: bool) -> UserTransaction:
        """The next one; `newer` adds what newer software brought: orderless and encrypted ones."""
        source = self._source
        sender = source.pick(self._senders)
        payload = self._payload(newer=newer)
        if payload.has_nonce:
            number = NO_SEQUENCE_NUMBER
        else:
            number = self._sequence_numbers[sender]
            self._sequence_numbers[sender] += 1
        head = b"\x00" + sender + u64(number)
        expiration = timestamp_usecs // 1_000_000 + source.between(10, 600)
        tail = b"".join(
            (
                u64(source.between(1000, 2_000_000)),
                u64(source.pick((100, 100, 100, 150, 10_000))),
                u64(expiration),
                bytes((CHAIN_ID,)),
                authenticator(source),
            )
        )
        return UserTransaction(sender, head + payload.kept + tail, head + payload.hashed + tail)

    def _payload(self, *, newer: bool) -> _Payload:
        source = self._source
        kind = source.below(14 if newer else 9)
        if kind < 6:
            return _plain(b"\x02" + _entry_function(source))
        if kind == 6:
            return _plain(b"\x00" + _script(source))
        if kind == 7:
            inner = None if source.one_in(3) else b"\x00" + _entry_function(source)
            return _plain(b"\x03" + source.take(32) + option(inner))
        if kind == 8:
            return _plain(b"\x03" + source.take(32) + option(b"\x01" + _script(source)))
        if kind < 12:
            has_nonce = kind != 9
            inner = _executable(source) + _extra_config(source, has_nonce=has_nonce)
            return _plain(b"\x04\x00" + inner, has_nonce=has_nonce)
        return _encrypted(source)


def _plain(payload: bytes, *, has_nonce: bool = False) -> _Payload:
    return _Payload(payload, payload, has_nonce)


def _encrypted(source: Source) -> _Payload:
    """An encrypted payload in one of its states; the hash is over the first state always."""
    has_nonce = source.one_in(2)
    ciphertext = b"".join(
        (
            encode_bytes(source.take(96)),
            encode_bytes(source.take(96)),
            encode_bytes(source.take(48)),
            source.take(16),
            source.take(12),
            encode_bytes(source.take(source.between(50, 300))),
            encode_bytes(source.take(32)),
            source.take(64),
        )
    )
    claimed = module_id(FRAMEWORK, "aptos_account") + option(text("transfer") if source.one_in(2) else None)
    sent = b"".join(
        (
            ciphertext,
            _extra_config(source, has_nonce=has_nonce),
            source.take(32),
            u64(source.between(1, 1000)),
            option(claimed if source.one_in(2) else None),
        )
    )
    state = source.below(3)
    outcome = b""
    if state == 1:
        outcome = option(encode_bytes(source.take(48)) if source.one_in(2) else None) + bytes(
            (source.below(10),)
        )
    elif state == 2:
        outcome = encode_bytes(source.take(48)) + _executable(source) + source.take(16)
    return _Payload(b"\x05" + bytes((state,)) + sent + outcome, b"\x05\x00" + sent, has_nonce)


def _executable(source: Source) -> bytes:
    return b"\x00" + _script(source) if source.one_in(4) else b"\x01" + _entry_function(source)


def _extra_config(source: Source, *, has_nonce: bool) -> bytes:
    multisig = option(source.take(32) if source.one_in(5) else None)
    nonce = option(u64(source.below(2**64)) if has_nonce else None)
    if source.one_in(2):
        return b"\x00" + multisig + nonce
    multipliers = b"\x00" + u64(source.between(1, 8)) + u64(source.between(1, 8))
    limits = source.pick((None, b"\x00" + multipliers, b"\x01" + source.take(32) + multipliers))
    return b"\x01" + multisig + nonce + option(limits)


def _entry_function(source: Source) -> bytes:
    amount = u64(source.between(1, 10**10))
    kind = source.below(3)
    if kind == 0:
        function = module_id(FRAMEWORK, "aptos_account") + text("transfer")
        return function + sequence([]) + _arguments(source.take(32), amount)
    if kind == 1:
        return (
            module_id(FRAMEWORK, "coin")
            + text("transfer")
            + sequence([_COIN])
            + _arguments(source.take(32), amount)
        )
    order = struct_tag("market", "Order", vector_tag(U8_TAG), ADDRESS_TAG, owner=source.take(32))
    memo = encode_bytes(source.take(source.between(0, 400)))
    function = module_id(source.take(32), "market") + text("place_order")
    return function + sequence([_COIN, order, U64_TAG]) + _arguments(amount, memo, b"\x01")


def _arguments(*values: bytes) -> bytes:
    return sequence(map(encode_bytes, values))


def _script(source: Source) -> bytes:
    """Code, type arguments and one argument of every kind in use."""
    arguments = (
        b"\x00" + source.take(1),
        b"\x01" + u64(source.below(2**63)),
        b"\x02" + u128(source.below(2**63)),
        b"\x03" + source.take(32),
        b"\x04" + encode_bytes(source.take(20)),
        b"\x05\x01",
        b"\x06" + u16(source.below(2**16)),
        b"\x07" + u32(source.below(2**32)),
        b"\x08" + source.take(32),
        b"\x09" + encode_bytes(source.take(10)),
    )
    code = b"\xa1\x1c\xeb\x0b" + source.take(source.between(50, 900))
    return (
        encode_bytes(code) + sequence([_COIN]) + sequence(source.pick_some(arguments, source.between(0, 4)))
    )
