"""Checks the state values: at V against the tree, at K and the last checkpoint against their signed roots.

Values of one item lie together, the newest first, and items lie in key order. One walk over the shards
therefore sees the state at several versions at once: at V each live item must be the tree's next leaf, and at
every other version whose root is known the live items, in order, make up that root.

Source: spec/aptosdb-schema.md sections 2.3 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from restore.errors import DamagedTargetError
from restore.ledger.hashes import Domain
from restore.ledger.state import hash_values, key_size, value_size
from restore.proof.frontier import Frontier
from restore.proof.jellyfish import LeafNode
from restore.target.check_rows import STEP_ROWS, Steps, at_row, damaged
from restore.target.check_tree import TreeCheck
from restore.target.replay import stored_value
from restore.target.schema import (
    SHARDS,
    STATE_VALUES,
    shard_of,
    split_state_value_key,
    state_value_key,
)
from restore.target.store import RocksStore

STEP_VALUE_BYTES = 16 << 20
"""Values hashed in one step."""


@dataclass(slots=True)
class StateFindings:
    """What was counted.

    Attributes:
        items: live items, by version.
        value_bytes: bytes of their values, by version.
        last_keys: hash of the last live key, by version; none where nothing is live.
        key_bytes: bytes of the keys live at V, by the tree's leaves.
        later_rows: rows of versions above K, by shard.
    """

    items: dict[int, int]
    value_bytes: dict[int, int]
    last_keys: dict[int, bytes]
    key_bytes: int
    later_rows: list[int]


@dataclass(slots=True)
class _Item:
    """One item: its value at each version of interest, and its leaf at V."""

    key_hash: bytes
    values: list[bytes | None]
    leaf: LeafNode | None = None


class StateCheck:
    """Walks values and tree together.

    Args:
        store: the database.
        domain: the network's hashes.
        tree: the tree at V, its root checked.
        snapshot_version: V.
        history_version: K, or V: the lowest version that a value may have.
        target_version: T: the highest.
        roots: state roots by version, of V and of the other versions to be proven.

    Bounds: STEP_ROWS items, or STEP_VALUE_BYTES of values and one item's.
    """

    def __init__(
        self,
        store: RocksStore,
        domain: Domain,
        tree: TreeCheck,
        *,
        snapshot_version: int,
        history_version: int,
        target_version: int,
        roots: Mapping[int, bytes],
    ) -> None:
        self._store = store
        self._domain = domain
        self._tree = tree
        self._snapshot = snapshot_version
        self._range = (history_version, target_version)
        self._roots = dict(roots)
        # Newest first, as the rows come.
        self._versions = sorted({*roots, snapshot_version, history_version, target_version}, reverse=True)
        self._frontiers = {version: Frontier(domain) for version in roots if version != snapshot_version}
        self._found = StateFindings(
            items=dict.fromkeys(self._versions, 0),
            value_bytes=dict.fromkeys(self._versions, 0),
            last_keys={},
            key_bytes=0,
            later_rows=[0] * SHARDS,
        )

    def run(self) -> Steps[StateFindings]:
        """Checks everything.

        Raises:
            DamagedTargetError, FormatError: naming the row, or the version whose root does not come out.
        """
        for shard in range(SHARDS):
            batch: list[_Item] = []
            size = 0
            for item in self._matched(shard):
                batch.append(item)
                size += sum(len(value) for value in item.values if value is not None)
                if len(batch) == STEP_ROWS or size >= STEP_VALUE_BYTES:
                    self._check(batch)
                    yield len(batch)
                    batch, size = [], 0
            self._check(batch)
            yield len(batch)
        for version, frontier in self._frontiers.items():
            if frontier.root() != self._roots[version]:
                raise DamagedTargetError(
                    "state values do not make up the state root of their version",
                    version=version,
                    expected=self._roots[version],
                    found=frontier.root(),
                )
        return self._found

    def _matched(self, shard: int) -> Iterator[_Item]:
        """The items of one shard; those live at V with their leaves, no leaf left over."""
        at_snapshot = self._versions.index(self._snapshot)
        leaves = self._tree.leaves(shard)
        for item in self._items(shard):
            if item.values[at_snapshot] is not None:
                item.leaf = next(leaves, None)
                if item.leaf is None or item.leaf.key_hash > item.key_hash:
                    key = state_value_key(item.key_hash, self._snapshot)
                    raise damaged(
                        STATE_VALUES[shard],
                        key,
                        "state value has no leaf in the tree",
                        version=self._snapshot,
                    )
                if item.leaf.key_hash < item.key_hash:
                    raise self._without_value(item.leaf)
            yield item
        for leaf in leaves:
            raise self._without_value(leaf)

    def _items(self, shard: int) -> Iterator[_Item]:
        """The items of one shard in key order, from their rows."""
        table = STATE_VALUES[shard]
        lowest, highest = self._range
        item: _Item | None = None
        settled = 0  # how many of its versions are
        for row in self._store.scan(table):
            with at_row(table, row[0]):
                key_hash, version = split_state_value_key(row[0])
                value = stored_value(table, row).value
            if shard_of(key_hash) != shard:
                raise damaged(table, row[0], "state value stands in a shard that is not its own")
            if not lowest <= version <= highest:
                raise damaged(
                    table,
                    row[0],
                    "state value is of a version outside the database",
                    expected=f"{lowest} to {highest}",
                    found=version,
                )
            self._found.later_rows[shard] += version > lowest
            if item is None or item.key_hash != key_hash:
                if item is not None:
                    yield item
                item, settled = _Item(key_hash, [None] * len(self._versions)), 0
            # The first row at or below a version is what the item is there.
            while settled < len(self._versions) and self._versions[settled] >= version:
                item.values[settled] = value
                settled += 1
        if item is not None:
            yield item

    def _check(self, batch: Sequence[_Item]) -> None:
        """Hashes and counts a batch; compares it with the tree."""
        self._count(batch)
        hashes = self._hashes(batch)
        for item, value_hashes in zip(batch, hashes, strict=True):
            if item.leaf is not None and value_hashes[self._snapshot] != item.leaf.value_hash:
                raise damaged(
                    STATE_VALUES[shard_of(item.key_hash)],
                    state_value_key(item.key_hash, self._snapshot),
                    "state value is not the one the tree's leaf commits to",
                    version=self._snapshot,
                    expected=item.leaf.value_hash,
                    found=value_hashes[self._snapshot],
                )
        for version, frontier in self._frontiers.items():
            frontier.add(
                (item.key_hash, value_hashes[version])
                for item, value_hashes in zip(batch, hashes, strict=True)
                if version in value_hashes
            )

    def _hashes(self, batch: Sequence[_Item]) -> list[dict[int, bytes]]:
        """The value hashes of each item, by version of those that need one; a value of several once."""
        messages: list[bytes] = []
        places: list[dict[int, int]] = []
        for item in batch:
            place: dict[int, int] = {}
            before: bytes | None = None
            for version, value in zip(self._versions, item.values, strict=True):
                if value is None or not (version in self._frontiers or version == self._snapshot):
                    continue
                if value is not before:
                    messages.append(value)
                    before = value
                place[version] = len(messages) - 1
            places.append(place)
        hashes = hash_values(self._domain, messages)
        return [{version: hashes[index] for version, index in place.items()} for place in places]

    def _count(self, batch: Sequence[_Item]) -> None:
        found = self._found
        for index, version in enumerate(self._versions):
            live = [(item.key_hash, value) for item in batch if (value := item.values[index]) is not None]
            if live:
                found.items[version] += len(live)
                found.value_bytes[version] += sum(value_size(value) for _, value in live)
                found.last_keys[version] = live[-1][0]
        found.key_bytes += sum(key_size(item.leaf.state_key) for item in batch if item.leaf is not None)

    def _without_value(self, leaf: LeafNode) -> DamagedTargetError:
        return damaged(
            STATE_VALUES[shard_of(leaf.key_hash)],
            state_value_key(leaf.key_hash, self._snapshot),
            "leaf of the tree has no state value",
            version=self._snapshot,
        )
