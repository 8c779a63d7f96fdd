"""TransactionInfo: what a transaction did, by hashes; its own hash is a leaf of the transaction accumulator.

Source: spec/ledger-hashing.md section 6.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from restore.wire.bcs import HASH_BYTES, Reader
from restore.wire.layouts import skipper

_STATUS_OFFSET = 1 + 8
"""The status follows the variant and the gas."""

_HASHES = Struct("32s32s32s")

_AUXILIARY_OPTION = (1, 2)
"""Which of the optional hashes at the end is that of the auxiliary info, by variant; the first is the state
checkpoint's in both, the others mean nothing to a restore."""

_skip_info = skipper("TransactionInfo")
_skip_status = skipper("ExecutionStatus")


@dataclass(frozen=True, slots=True)
class TransactionInfo:
    """The parts of a TransactionInfo, V0 or V1, that a restore checks.

    Attributes:
        raw: BCS, verbatim, variant included.
        gas_used: gas units.
        transaction_hash: hash of the transaction.
        event_root_hash: root of the accumulator over the transaction's events.
        state_change_hash: hash of the write set.
        state_checkpoint_hash: root of the state tree after the transaction, only at a checkpoint.
        auxiliary_info_hash: hash of the persisted auxiliary info, where there is one to hash.
    """

    raw: bytes
    gas_used: int
    transaction_hash: bytes
    event_root_hash: bytes
    state_change_hash: bytes
    state_checkpoint_hash: bytes | None
    auxiliary_info_hash: bytes | None

    @classmethod
    def parse(cls, data: bytes) -> TransactionInfo:
        """The info that `data` is, and nothing else.

        Raises:
            FormatError: malformed, or bytes follow.
        """
        reader = Reader(data)
        info = cls.read(reader)
        reader.finish()
        return info

    @classmethod
    def read(cls, reader: Reader) -> TransactionInfo:
        """The next value of `reader`.

        Raises:
            FormatError: malformed.
        """
        raw = reader.verbatim(_skip_info)
        size = len(raw)
        offset = _skip_status(raw, _STATUS_OFFSET, size)
        transaction_hash, event_root_hash, state_change_hash = _HASHES.unpack_from(raw, offset)
        offset += _HASHES.size
        options: list[bytes | None] = []
        while offset < size:
            stop = offset + 1 + HASH_BYTES * raw[offset]
            options.append(raw[offset + 1 : stop] or None)
            offset = stop
        return cls(
            raw=raw,
            gas_used=int.from_bytes(raw[1:_STATUS_OFFSET], "little"),
            transaction_hash=transaction_hash,
            event_root_hash=event_root_hash,
            state_change_hash=state_change_hash,
            state_checkpoint_hash=options[0],
            auxiliary_info_hash=options[_AUXILIARY_OPTION[raw[0]]],
        )
