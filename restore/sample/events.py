"""Events of the sample chain: V1 with handles and sequence numbers, V2 without.

Source: spec/ledger-hashing.md section 6.2; NewBlockEvent: spec/aptosdb-schema.md section 2.1.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from restore.sample.encode import FRAMEWORK, sequence, struct_tag, u32, u64
from restore.wire.bcs import encode_bytes

NEW_EPOCH_CREATION, NEW_BLOCK_CREATION = 2, 3
"""Creation numbers of the framework's own event handles."""

_NEW_EPOCH = struct_tag("reconfiguration", "NewEpochEvent")
_NEW_BLOCK = struct_tag("block", "NewBlockEvent")
_NEW_EPOCH_V2 = struct_tag("reconfiguration", "NewEpoch")
_NEW_BLOCK_V2 = struct_tag("block", "NewBlock")


@dataclass(frozen=True, slots=True)
class Block:
    """What consensus decided about one block.

    Attributes:
        epoch: it belongs to.
        round: in the epoch; rounds whose proposer failed have no block.
        height: blocks before it, genesis included.
        id: its hash.
        proposer: address of a validator.
        votes: bitmask of the votes for the block before.
        failed: indices of the proposers of the rounds between.
        timestamp_usecs: microseconds since 1970.
    """

    epoch: int
    round: int
    height: int
    id: bytes
    proposer: bytes
    votes: bytes
    failed: tuple[int, ...]
    timestamp_usecs: int

    def metadata(self) -> bytes:
        """BCS BlockMetadata, without the variant of a transaction."""
        return b"".join(
            (
                self.id,
                u64(self.epoch),
                u64(self.round),
                self.proposer,
                encode_bytes(self.votes),
                sequence(map(u32, self.failed)),
                u64(self.timestamp_usecs),
            )
        )


class EventHandles:
    """The sequence numbers of all V1 event handles."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, bytes]] = Counter()

    def v1(self, creation: int, owner: bytes, tag: bytes, data: bytes) -> bytes:
        """The next event of one handle."""
        handle = (creation, owner)
        number = self._counts[handle]
        self._counts[handle] += 1
        return b"\x00" + u64(creation) + owner + u64(number) + tag + encode_bytes(data)

    def new_block(self, block: Block, *, newer: bool) -> list[bytes]:
        """The events of a block's beginning."""
        data = b"".join(
            (
                block.id,
                u64(block.epoch),
                u64(block.round),
                u64(block.height),
                encode_bytes(block.votes),
                block.proposer,
                sequence(map(u64, block.failed)),
                u64(block.timestamp_usecs),
            )
        )
        events = [self.v1(NEW_BLOCK_CREATION, FRAMEWORK, _NEW_BLOCK, data)]
        return [*events, v2(_NEW_BLOCK_V2, data)] if newer else events

    def new_epoch(self, epoch: int, *, newer: bool) -> list[bytes]:
        """The events of an epoch's beginning."""
        events = [self.v1(NEW_EPOCH_CREATION, FRAMEWORK, _NEW_EPOCH, u64(epoch))]
        return [*events, v2(_NEW_EPOCH_V2, u64(epoch))] if newer else events


def v2(tag: bytes, data: bytes) -> bytes:
    """A V2 event."""
    return b"\x01" + tag + encode_bytes(data)
