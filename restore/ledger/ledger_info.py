"""Ledger infos: what the validators sign, and the validators of the next epoch.

Source: spec/ledger-hashing.md sections 8.1 and 8.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from restore.crypto.bls import PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from restore.errors import FormatError
from restore.wire.bcs import Reader

_VALIDATOR = Struct(f"<32sB{PUBLIC_KEY_BYTES}sQ")
"""Address, length of the key, key, voting power: of one size, since every key is of one size."""


class Validator(NamedTuple):
    """One validator of an epoch."""

    address: bytes
    public_key: bytes
    voting_power: int


@dataclass(frozen=True, slots=True)
class EpochState:
    """The validators of one epoch; `raw` is its BCS, verbatim."""

    epoch: int
    validators: tuple[Validator, ...]
    raw: bytes

    @property
    def total_power(self) -> int:
        """The voting power of all validators."""
        return sum(validator.voting_power for validator in self.validators)

    @property
    def quorum_power(self) -> int:
        """The least voting power that vouches for a ledger info, above two thirds; 0 without validators."""
        return self.total_power * 2 // 3 + 1 if self.validators else 0

    @classmethod
    def parse(cls, data: bytes) -> EpochState:
        """The epoch state that `data` is, and nothing else.

        Raises:
            FormatError: malformed, or bytes follow.
        """
        reader = Reader(data)
        state = cls.read(reader)
        reader.finish()
        return state

    @classmethod
    def read(cls, reader: Reader) -> EpochState:
        """The next value of `reader`.

        Raises:
            FormatError: malformed.
        """
        start = reader.offset
        epoch = reader.u64()
        count = reader.count()
        validators = []
        for address, key_bytes, key, power in _VALIDATOR.iter_unpack(reader.fixed(_VALIDATOR.size * count)):
            if key_bytes != PUBLIC_KEY_BYTES:
                raise FormatError(
                    "public key has a wrong length", offset=start, expected=PUBLIC_KEY_BYTES, found=key_bytes
                )
            validators.append(Validator(address, key, power))
        return cls(epoch, tuple(validators), reader.since(start))


@dataclass(frozen=True, slots=True)
class LedgerInfo:
    """The state of the ledger after one version.

    Attributes:
        epoch: the epoch of the version.
        round: consensus round in the epoch.
        id: of the block.
        executed_state_id: root of the transaction accumulator over all versions up to this one.
        version: the last version covered.
        timestamp_usecs: microseconds since 1970.
        next_epoch_state: the validators of the next epoch, if this ends its epoch.
        consensus_data_hash: signed, not used here.
        raw: BCS, verbatim.
    """

    epoch: int
    round: int
    id: bytes
    executed_state_id: bytes
    version: int
    timestamp_usecs: int
    next_epoch_state: EpochState | None
    consensus_data_hash: bytes
    raw: bytes

    @classmethod
    def read(cls, reader: Reader) -> LedgerInfo:
        """The next value of `reader`.

        Raises:
            FormatError: malformed, or the next epoch is not the one after this one.
        """
        start = reader.offset
        epoch, block_round = reader.u64(), reader.u64()
        block_id, executed_state_id = reader.fixed(32), reader.fixed(32)
        version, timestamp_usecs = reader.u64(), reader.u64()
        next_epoch_state = EpochState.read(reader) if reader.option() else None
        if next_epoch_state is not None and next_epoch_state.epoch != epoch + 1:
            raise FormatError(
                "ledger info names the wrong next epoch",
                offset=start,
                expected=epoch + 1,
                found=next_epoch_state.epoch,
            )
        consensus_data_hash = reader.fixed(32)
        return cls(
            epoch=epoch,
            round=block_round,
            id=block_id,
            executed_state_id=executed_state_id,
            version=version,
            timestamp_usecs=timestamp_usecs,
            next_epoch_state=next_epoch_state,
            consensus_data_hash=consensus_data_hash,
            raw=reader.since(start),
        )


@dataclass(frozen=True, slots=True)
class SignedLedgerInfo:
    """A ledger info with the signatures of validators.

    Attributes:
        info: what is signed.
        bitmask: which validators signed, the first one at the highest bit of the first byte.
        signature: the sum of their signatures; None if nobody signed (genesis).
        raw: BCS LedgerInfoWithSignatures, verbatim.
    """

    info: LedgerInfo
    bitmask: bytes
    signature: bytes | None
    raw: bytes

    @classmethod
    def parse(cls, data: bytes) -> SignedLedgerInfo:
        """The signed ledger info that `data` is, and nothing else.

        Raises:
            FormatError: malformed, or bytes follow.
        """
        reader = Reader(data)
        signed = cls.read(reader)
        reader.finish()
        return signed

    @classmethod
    def read(cls, reader: Reader) -> SignedLedgerInfo:
        """The next value of `reader`.

        Raises:
            FormatError: malformed.
        """
        start = reader.offset
        variant = reader.uleb()
        if variant != 0:
            raise FormatError("unknown variant of LedgerInfoWithSignatures", offset=start, found=variant)
        info = LedgerInfo.read(reader)
        bitmask = reader.bytes_()
        signature = reader.bytes_() if reader.option() else None
        if signature is not None and len(signature) != SIGNATURE_BYTES:
            raise FormatError(
                "signature has a wrong length",
                offset=reader.offset - len(signature),
                expected=SIGNATURE_BYTES,
                found=len(signature),
            )
        return cls(info, bitmask, signature, reader.since(start))
