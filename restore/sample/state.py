"""The state of the sample chain, as it changes from transaction to transaction.

Cold items never change: they live in buckets by the first byte of their key hash, made in one pass and
sorted in a second. Hot items live in memory. Both exist from version 0 on, but only the hot ones of the
framework are listed in genesis's write set: nothing that a restore reads ties the state at version 0 to
that write set, and with millions of items genesis would be one record of gigabytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from restore.crypto.digest import sha3_256_many
from restore.ledger.hashes import Domain
from restore.ledger.state import StateItem, Usage, hash_keys, hash_values, item_usage, key_size
from restore.sample.items import ItemMaker, encode_value
from restore.sample.spool import SPILL_BYTES, Spool
from restore.sample.tree import BUCKETS, Node, StateTree
from restore.wire.records import LENGTH_BYTES

BATCH_ITEMS = 4096
"""Items made, hashed and stored at once."""


class Entry(NamedTuple):
    """One item in its place.

    Attributes:
        key_hash: where.
        leaf_hash: of its leaf in the state tree.
        record: BCS StateKey and StateValue, as in a snapshot.
    """

    key_hash: bytes
    leaf_hash: bytes
    record: bytes


class RecordSizes:
    """How large records are, as far as cutting them into chunks needs it.

    Attributes:
        total: bytes of all records, each with its length.
        squares: sum of the squares of the same.
    """

    __slots__ = ("squares", "total")

    def __init__(self, total: int = 0, squares: int = 0) -> None:
        self.total = total
        self.squares = squares

    def add(self, entry: Entry) -> None:
        """Counts one item's record."""
        size = len(entry.record) + LENGTH_BYTES
        self.total += size
        self.squares += size * size

    def chunk_bytes(self, chunks: int) -> int:
        """The largest size of a chunk that makes about so many of them, the last one half full."""
        # A chunk ends before the record that no longer fits: on average half of one of those that are met
        # there, which are the more likely the larger they are.
        used = 2 * self.total // (2 * chunks - 1)
        unused = self.squares // (2 * self.total)
        return used + min(unused, used // 2)  # records larger than a chunk are met, but leave nothing unused


_ENTRIES = msgspec.msgpack.Decoder(list[Entry])
_ENCODER = msgspec.msgpack.Encoder()


class ColdState:
    """The items that never change, sorted bucket by bucket, on disk if they are many.

    Args:
        domain: the network's hashes.
        folder: for the buckets.
        spill_bytes: of a bucket that are kept in memory.

    Bounds: one bucket (1/256 of the items) and `spill_bytes` for each.
    """

    def __init__(self, domain: Domain, folder: Path, *, spill_bytes: int = SPILL_BYTES) -> None:
        self._domain = domain
        self._buckets = [
            Spool(folder / f"bucket-{number:02x}", spill_bytes=spill_bytes) for number in range(BUCKETS)
        ]
        self.usage = Usage()
        self.sizes = RecordSizes()

    def add(self, items: list[StateItem]) -> None:
        """Adds items, in any order, before the first `sort`."""
        self.usage += item_usage(items)
        parted: defaultdict[int, list[Entry]] = defaultdict(list)
        for entry in _entries(self._domain, items):
            parted[entry.key_hash[0]].append(entry)
            self.sizes.add(entry)
        for number, entries in parted.items():
            self._buckets[number].append(_ENCODER.encode(entries))

    def sort(self, number: int) -> list[Entry]:
        """Sorts one bucket, keeps it so, and returns it."""
        entries = sorted(self.read(number))
        self._buckets[number].clear()
        for start in range(0, len(entries), BATCH_ITEMS):
            self._buckets[number].append(_ENCODER.encode(entries[start : start + BATCH_ITEMS]))
        return entries

    def read(self, number: int) -> list[Entry]:
        """One bucket."""
        return [entry for batch in self._buckets[number] for entry in _ENTRIES.decode(batch)]


class HotItem:
    """An item that may come, change and go.

    Attributes:
        key: BCS StateKey.
        key_hash: its hash.
        value: BCS StateValue; None while the item is not there.
        metadata: BCS StateValueMetadata of the value, if it has any.
        size: bytes that the item counts for in the usage, while it is there.
        entry: the item as of the last checkpoint; None if it was not there.
    """

    __slots__ = ("entry", "key", "key_hash", "key_size", "metadata", "size", "value")

    def __init__(self, key: bytes, key_hash: bytes) -> None:
        self.key = key
        self.key_hash = key_hash
        self.key_size = key_size(key)
        self.value: bytes | None = None
        self.metadata: bytes | None = None
        self.size = 0
        self.entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class FrozenState:
    """The whole state at one version.

    Attributes:
        root: of the state tree.
        usage: items and bytes.
        hot: the hot items that are there, by bucket, in key order.
        top: the upper part of the state tree.
        cold: the items that never change.
        sizes: of all records.
    """

    root: bytes
    usage: Usage
    hot: dict[int, list[Entry]]
    top: tuple[Node, ...]
    cold: ColdState
    sizes: RecordSizes

    def buckets(self) -> Iterator[list[Entry]]:
        """All items in key order, one list per first byte of the key hash."""
        for number in range(BUCKETS):
            entries = self.cold.read(number)
            if number in self.hot:
                entries = sorted(entries + self.hot[number])
            yield entries


class LiveState:
    """The state that transactions change.

    Args:
        domain: the network's hashes.
        cold: items that never change.
        keys: BCS StateKeys of all items that ever will.
    """

    def __init__(self, domain: Domain, cold: ColdState, keys: list[bytes]) -> None:
        self._domain = domain
        self._cold = cold
        self.usage = cold.usage
        hot = [HotItem(key, key_hash) for key, key_hash in zip(keys, hash_keys(domain, keys), strict=True)]
        self.items = {item.key: item for item in hot}
        self._by_hash = sorted(hot, key=lambda item: item.key_hash)
        self._changed: set[HotItem] = set()
        self._tree = StateTree(domain.sparse_internal)
        hot_hashes: defaultdict[int, list[bytes]] = defaultdict(list)
        for item in self._by_hash:
            hot_hashes[item.key_hash[0]].append(item.key_hash)
        for number in range(BUCKETS):
            entries = cold.sort(number)
            numbers = [int.from_bytes(entry.key_hash, "big") for entry in entries]
            leaves = [entry.leaf_hash for entry in entries]
            self._tree.plant(number, numbers, leaves, hot_keys=hot_hashes[number])
        self._tree.settle()

    def write(self, item: HotItem, data: bytes, metadata: bytes | None) -> None:
        """Creates or modifies an item."""
        self._leave(item)
        item.metadata = metadata
        item.value = encode_value(data, metadata)
        item.size = item.key_size + len(data)
        self.usage += Usage(1, item.size)

    def delete(self, item: HotItem) -> None:
        """Takes an item away."""
        self._leave(item)
        item.value = item.metadata = None
        item.size = 0

    def checkpoint(self) -> bytes:
        """The root of the state tree now."""
        changed = list(self._changed)
        self._changed.clear()
        there = [StateItem(item.key, item.value) for item in changed if item.value is not None]
        entries = {entry.key_hash: entry for entry in _entries(self._domain, there)}
        for item in changed:
            item.entry = entries.get(item.key_hash)
        self._tree.update((item.key_hash, item.entry and item.entry.leaf_hash) for item in changed)
        return self._tree.root

    def freeze(self) -> FrozenState:
        """The state at the last checkpoint."""
        hot: defaultdict[int, list[Entry]] = defaultdict(list)
        sizes = RecordSizes(self._cold.sizes.total, self._cold.sizes.squares)
        for item in self._by_hash:
            if item.entry is not None:
                hot[item.key_hash[0]].append(item.entry)
                sizes.add(item.entry)
        return FrozenState(self._tree.root, self.usage, dict(hot), self._tree.top(), self._cold, sizes)

    def _leave(self, item: HotItem) -> None:
        self._changed.add(item)
        if item.value is not None:
            self.usage -= Usage(1, item.size)


def make_cold_state(domain: Domain, maker: ItemMaker, indices: Iterable[int], folder: Path) -> ColdState:
    """The items of `indices`, which never change."""
    cold = ColdState(domain, folder)
    batch = []
    for index in indices:
        batch.append(maker.item(index))
        if len(batch) == BATCH_ITEMS:
            cold.add(batch)
            batch = []
    if batch:
        cold.add(batch)
    return cold


def _entries(domain: Domain, items: list[StateItem]) -> list[Entry]:
    keys = hash_keys(domain, [item.key for item in items])
    values = hash_values(domain, [item.value for item in items])
    leaves = sha3_256_many(domain.sparse_leaf, map(bytes.__add__, keys, values))
    return [
        Entry(key_hash, leaf, item.key + item.value)
        for key_hash, leaf, item in zip(keys, leaves, items, strict=True)
    ]
