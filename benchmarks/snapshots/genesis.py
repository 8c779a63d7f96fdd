"""The only transaction of the chain, and what vouches for its state.

Nothing that a restore reads ties the state at version 0 to genesis's write set, so that set is empty.
Source: spec/ledger-hashing.md section 6.
"""

from __future__ import annotations

from restore.crypto.digest import sha3_256
from restore.ledger.hashes import APTOS
from restore.proof.ranges import AccumulatorRangeProof
from restore.sample.encode import sequence
from restore.sample.events import Block, EventHandles
from restore.sample.infos import NO_AUXILIARY_INFO, SUCCESS, transaction_info
from restore.sample.ledger import EMPTY_WRITE_SET
from restore.sample.validators import GENESIS, ZERO_HASH, Validators

VALIDATORS = 4
"""Who would sign the next epoch."""

_BLOCK = Block(
    epoch=0, round=0, height=0, id=ZERO_HASH, proposer=ZERO_HASH, votes=b"", failed=(), timestamp_usecs=0
)


class Genesis:
    """Genesis of a chain with this state.

    Attributes:
        record: as in a transaction backup of format V0.
        signed: the ledger info that ends epoch 0.
        state_proof: the content of `state.proof`.
    """

    def __init__(self, state_root: bytes) -> None:
        handles = EventHandles()
        events = handles.new_block(_BLOCK, newer=False) + handles.new_epoch(1, newer=False)
        transaction = b"\x01\x00" + EMPTY_WRITE_SET + sequence(events)
        info = transaction_info(
            APTOS,
            hashed_transaction=transaction,
            events=events,
            write_set=EMPTY_WRITE_SET,
            auxiliary=NO_AUXILIARY_INFO,
            status=SUCCESS,
            gas=0,
            state_root=state_root,
            hot_state_root=None,
        )
        accumulator_root = sha3_256(APTOS.transaction_info + info)  # of one leaf
        self.record = transaction + info + sequence(events) + EMPTY_WRITE_SET
        self.signed = Validators(1, VALIDATORS, APTOS).sign(GENESIS, accumulator_root, ends_epoch=True)
        self.state_proof = sequence([]) + info + self.signed.raw

    async def prove(self, _first: int, _last: int) -> bytes:
        """The proof file of the only chunk of transactions, which is the whole history."""
        return AccumulatorRangeProof((), ()).encode() + self.signed.raw
