"""The transactions that no user sends: what begins a block, what ends it, and what validators add.

Source: spec/bcs-layouts.txt.
"""

from __future__ import annotations

from collections.abc import Sequence

from restore.sample.encode import NONE, option, sequence, text, u64
from restore.sample.events import Block
from restore.sample.seed import Source
from restore.wire.bcs import encode_bytes


def block_metadata(source: Source, block: Block, *, newer: bool) -> bytes:
    """The first transaction of a block: BlockMetadata, or one of the versions of BlockMetadataExt."""
    metadata = block.metadata()
    variant = source.below(4) if newer else 3
    if variant == 3:
        return b"\x02" + metadata
    if variant == 0:
        return b"\x05\x00" + metadata
    position = u64(block.epoch) + u64(block.round)
    randomness = option(position + encode_bytes(source.take(48)) if source.one_in(2) else None)
    if variant == 1:
        return b"\x05\x01" + metadata + randomness
    return b"\x05\x02" + metadata + randomness + option(position + encode_bytes(source.take(96)))


def block_end(source: Source, block: Block, *, newer: bool, hot_keys: Sequence[bytes]) -> bytes:
    """The last transaction of a block: StateCheckpoint, or one of the versions of BlockEpilogue.

    Args:
        source: of choices.
        block: that ends.
        newer: whether it is an epilogue.
        hot_keys: StateKeys that the newest version of the epilogue names.
    """
    if not newer:
        return b"\x03" + block.id
    variant = source.below(3)
    end_info = (
        b"\x00" + NONE + bytes((source.below(2),)) + u64(source.below(10**6)) + u64(source.below(10**6))
    )
    epilogue = b"\x06" + bytes((variant,)) + block.id + end_info
    if variant > 0:
        amounts = {u64(index): u64(source.below(10**9)) for index in range(source.below(400))}
        fees = sorted(amounts.items())
        epilogue += b"\x00" + sequence(index + amount for index, amount in fees)
    if variant > 1:
        epilogue += sequence(hot_keys)
    return epilogue


def randomness_result(source: Source, block: Block) -> bytes:
    """The validators' transaction that starts the next epoch: the outcome of their key generation."""
    return (
        b"\x04\x00"
        + u64(block.epoch)
        + source.take(32)
        + encode_bytes(source.take(source.between(500, 4000)))
    )


def provider_keys_update(source: Source, number: int) -> bytes:
    """A validators' transaction in the middle of an epoch: the keys of an identity provider changed."""
    issuer = encode_bytes(b"https://accounts.example.com")
    keys = sequence(
        text("0x1::jwks::RSA_JWK") + encode_bytes(source.take(300)) for _ in range(source.between(1, 3))
    )
    signature = encode_bytes(source.take(1)) + option(encode_bytes(source.take(96)))
    return b"\x04\x01" + issuer + u64(number) + keys + signature
