"""TransactionInfos: the statuses a transaction can end with, and the hashes of all it did.

Source: spec/ledger-hashing.md section 6.4.
"""

from __future__ import annotations

from restore.crypto.digest import sha3_256, sha3_256_many
from restore.ledger.hashes import ACCUMULATOR_PLACEHOLDER, Domain
from restore.sample.encode import FRAMEWORK, NONE, module_id, option, text, u16, u32, u64
from restore.sample.seed import Source

SUCCESS = b"\x00"

NO_AUXILIARY_INFO = b"\x00"

RESERVED_HASHES = 7
"""Fields of TransactionInfo V1 that have no meaning yet."""


def failure(source: Source) -> bytes:
    """A status other than success."""
    module = b"\x00" + module_id(FRAMEWORK, "coin")
    reason = text("EINSUFFICIENT_BALANCE") + text("Not enough coins to complete transaction")
    return source.pick(
        (
            b"\x01",
            b"\x02" + module + u64(65542) + option(reason),
            b"\x02\x01" + u64(source.below(100)) + NONE,
            b"\x03" + module + u16(source.below(40)) + u16(source.below(300)),
            b"\x03\x01" + u16(0) + u16(source.below(300)),
            b"\x04" + option(u64(4016)),
            b"\x04" + NONE,
        )
    )


def auxiliary_info(source: Source, index: int) -> bytes:
    """PersistedAuxiliaryInfo of newer software: mostly the transaction's index in its block."""
    kind = source.below(8)
    if kind == 0:
        return NO_AUXILIARY_INFO
    return (b"\x02" if kind == 1 else b"\x01") + u32(index)


def transaction_info(
    domain: Domain,
    *,
    hashed_transaction: bytes,
    events: list[bytes],
    write_set: bytes,
    auxiliary: bytes,
    status: bytes,
    gas: int,
    state_root: bytes | None,
    hot_state_root: bytes | None,
) -> bytes:
    """BCS TransactionInfo: V1 if there is a hot state root, else V0."""
    auxiliary_hash = sha3_256(domain.auxiliary_info + auxiliary) if auxiliary[0] == 1 else None
    head = b"".join(
        (
            u64(gas),
            status,
            sha3_256(domain.transaction + hashed_transaction),
            _event_root(domain, events),
            sha3_256(domain.write_set + write_set),
            option(state_root),
        )
    )
    if hot_state_root is None:
        return b"\x00" + head + option(auxiliary_hash)
    return b"\x01" + head + option(hot_state_root) + option(auxiliary_hash) + NONE + NONE * RESERVED_HASHES


def _event_root(domain: Domain, events: list[bytes]) -> bytes:
    if not events:
        return ACCUMULATOR_PLACEHOLDER
    nodes = sha3_256_many(domain.event, events)
    while len(nodes) > 1:
        nodes += [ACCUMULATOR_PLACEHOLDER] * (len(nodes) % 2)
        nodes = sha3_256_many(domain.event_accumulator, map(bytes.__add__, nodes[::2], nodes[1::2]))
    return nodes[0]
