"""The items: keys of the usual kinds, and values as long as those of a real network.

The length of a value's data is distributed log-normally around a median of 150 bytes, with a sigma of 0.8,
and held within 32 bytes and 2 KiB: 1 in 36 is at the lower bound, 1 in 120 has more than 1 KiB, the mean is
206. Records are about 2:1 compressible, as addresses and numbers between type names and zeros are: data is
4 bytes that nobody guesses, then 12 that a dictionary of a page holds, and so on.
"""

from __future__ import annotations

from statistics import NormalDist

from restore.ledger.state import StateItem
from restore.sample.items import ItemMaker, encode_value
from restore.sample.seed import Source

MEDIAN_BYTES = 150
SIGMA = 0.8
MIN_BYTES = 32
MAX_BYTES = 2048

SIZES = tuple(
    min(MAX_BYTES, max(MIN_BYTES, round(MEDIAN_BYTES * 2.718281828 ** (SIGMA * deviation))))
    for deviation in (NormalDist().inv_cdf((draw + 0.5) / 4096) for draw in range(4096))
)
"""The quantiles of the distribution: one for each draw of twelve bits."""

POOL_BYTES = 16 << 20
"""Data is cut out of so much: cuts that overlap are then farther from each other than gzip looks back."""

NOISE_BYTES, WORD_BYTES = 4, 12

DICTIONARY_BYTES = 4096


class Items:
    """Makes the items of one seed.

    Bounds: 16 MiB.
    """

    def __init__(self, seed: int) -> None:
        self._maker = ItemMaker(seed)
        self._pool = _pool(Source(seed, "snapshot pool"))

    def key(self, index: int) -> bytes:
        """BCS StateKey of the item of `index`."""
        key, _, _ = self._maker.parts(index)
        return key

    def item(self, index: int, key_hash: bytes) -> StateItem:
        """The item of `index`; its value follows from the end of the hash of its key."""
        key, _, metadata = self._maker.parts(index)
        size = SIZES[(key_hash[31] << 8 | key_hash[30]) & 0xFFF]
        offset = int.from_bytes(key_hash[24:28]) % (len(self._pool) - MAX_BYTES)
        return StateItem(key, encode_value(self._pool[offset : offset + size], metadata))


def _pool(source: Source) -> bytes:
    dictionary = source.take(DICTIONARY_BYTES)
    noise = source.take(POOL_BYTES // (NOISE_BYTES + WORD_BYTES) * NOISE_BYTES)
    pieces: list[bytes] = []
    for start in range(0, len(noise), NOISE_BYTES):
        place = (noise[start] | noise[start + 1] << 8) % (DICTIONARY_BYTES - WORD_BYTES)
        pieces += noise[start : start + NOISE_BYTES], dictionary[place : place + WORD_BYTES]
    return b"".join(pieces)
