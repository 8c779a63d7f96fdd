"""Validators with real BLS keys, and ledger infos with their aggregate signatures.

Source: spec/ledger-hashing.md section 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from restore.crypto.bls import DOMAIN_TAG
from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import EpochState, SignedLedgerInfo, Validator
from restore.sample.encode import NONE, option, sequence, u64
from restore.sample.seed import Source
from restore.wire.bcs import encode_bytes

ZERO_HASH = bytes(32)


class Signer:
    """One validator's identity."""

    def __init__(self, source: Source) -> None:
        self.address = source.take(32)
        self.secret = Scalar.from_le_bytes_mod_order(source.take(32))

    @cached_property
    def public_key(self) -> bytes:
        """48 bytes."""
        return bytes((G1Point() * self.secret).to_compressed_bytes())


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """The end of one block, as consensus names it.

    Attributes:
        epoch: of the block.
        round: in the epoch.
        id: of the block.
        version: the last one of the block.
        timestamp_usecs: of the block.
    """

    epoch: int
    round: int
    id: bytes
    version: int
    timestamp_usecs: int


GENESIS = BlockEnd(epoch=0, round=0, id=ZERO_HASH, version=0, timestamp_usecs=0)


class Validators:
    """The validators of every epoch: each time the first one leaves, another joins, and powers shift."""

    def __init__(self, seed: int, count: int, domain: Domain) -> None:
        self._seed = seed
        self._count = count
        self._domain = domain
        self._signers: dict[int, Signer] = {}

    def signers(self, epoch: int) -> list[Signer]:
        """The validators of `epoch`, in the order of the bitmask."""
        return [self._signer(epoch + place) for place in range(self._count)]

    def state(self, epoch: int) -> EpochState:
        """Who may sign in `epoch`, and with what power."""
        powers = Source(self._seed, f"voting powers {epoch}")
        validators = tuple(
            Validator(signer.address, signer.public_key, powers.between(1000, 1200))
            for signer in self.signers(epoch)
        )
        raw = u64(epoch) + sequence(
            address + encode_bytes(key) + u64(power) for address, key, power in validators
        )
        return EpochState(epoch, validators, raw)

    def sign(self, block: BlockEnd, accumulator_root: bytes, *, ends_epoch: bool) -> SignedLedgerInfo:
        """The ledger info of a block, signed by a quorum; genesis is signed by nobody."""
        epoch = block.epoch
        choice = Source(self._seed, f"signers {epoch} {block.version}")
        is_older = choice.one_in(2)
        info = (
            u64(epoch)
            + u64(block.round)
            + block.id
            + accumulator_root
            + u64(block.version)
            + u64(block.timestamp_usecs)
            + option(self.state(epoch + 1).raw if ends_epoch else None)
            + (choice.take(32) if is_older and epoch else ZERO_HASH)
        )
        if epoch == 0:
            return SignedLedgerInfo.parse(NONE + info + encode_bytes(b"") + NONE)
        state = self.state(epoch)
        # In a random order until the quorum is reached, so that bitmasks differ and every power counts.
        signed = bytearray((self._count + 7) // 8)
        power, secret = 0, Scalar(0)
        point = G2Point.hash_to_curve(self._domain.ledger_info + info, DOMAIN_TAG)
        for index in choice.shuffled(range(self._count)):
            if power >= state.quorum_power:
                break
            power += state.validators[index].voting_power
            signed[index >> 3] |= 0x80 >> (index & 7)
            secret += self._signer(epoch + index).secret
        signature = bytes((point * secret).to_compressed_bytes())  # the sum of all their signatures
        return SignedLedgerInfo.parse(
            NONE + info + encode_bytes(bytes(signed)) + option(encode_bytes(signature))
        )

    def _signer(self, number: int) -> Signer:
        if number not in self._signers:
            self._signers[number] = Signer(Source(self._seed, f"validator {number}"))
        return self._signers[number]
