"""The items of one state chunk, hashed: in columns where the kernel is used, else as objects.

Both forms say the same. The kernel only ever refuses; what it refuses is given to the Python form, which
says why.
"""

from __future__ import annotations

from struct import Struct
from typing import TypeAlias

from restore.errors import RestoreError
from restore.kernel.choice import uses_native
from restore.ledger.hashes import Domain
from restore.ledger.state import (
    StateItem,
    Usage,
    hash_keys,
    hash_values,
    item_usage,
    split_state_record,
)
from restore.proof.edge import TreeLeaf
from restore.wire.bcs import HASH_BYTES
from restore.wire.records import FramedRecords

LEAF_BYTES = 2 * HASH_BYTES
"""Hash of the key and hash of the value."""

SPAN = Struct("QQQ")
"""Where an item's key begins, its value begins, and its value ends, in the file."""


class ParsedItems:
    """The items of one chunk, each an object, in the order of the file.

    Attributes:
        items: the items.
        leaves: their hashes.
    """

    def __init__(self, domain: Domain, items: list[StateItem]) -> None:
        keys = hash_keys(domain, [item.key for item in items])
        values = hash_values(domain, [item.value for item in items])
        self.items = items
        self.leaves = [
            TreeLeaf(key, value, item.key) for key, value, item in zip(keys, values, items, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def usage(self) -> Usage:
        """What they count for."""
        return item_usage(self.items)

    def leaf(self, index: int) -> TreeLeaf:
        """One of them; negative indices count from the end."""
        return self.leaves[index]

    def key_hash(self, index: int) -> bytes:
        """The hash of one key."""
        return self.leaves[index].key_hash


class ItemColumns:
    """The items of one chunk, at least one, as a few columns for the kernel alone to look into.

    Attributes:
        data: the file.
        spans: a `SPAN` for each item.
        leaves: LEAF_BYTES for each item.
    """

    def __init__(
        self, data: bytes | bytearray | memoryview, spans: bytes, leaves: bytes, usage: Usage
    ) -> None:
        self.data = data
        self.spans = spans
        self.leaves = leaves
        self._usage = usage

    def __len__(self) -> int:
        return len(self.leaves) // LEAF_BYTES

    @property
    def usage(self) -> Usage:
        """What they count for."""
        return self._usage

    def leaf(self, index: int) -> TreeLeaf:
        """One of them; negative indices count from the end."""
        index = range(len(self))[index]
        hashes = self.leaves[LEAF_BYTES * index : LEAF_BYTES * (index + 1)]
        key, value, _ = SPAN.unpack_from(self.spans, SPAN.size * index)
        return TreeLeaf(hashes[:HASH_BYTES], hashes[HASH_BYTES:], bytes(self.data[key:value]))

    def key_hash(self, index: int) -> bytes:
        """The hash of one key."""
        return self.leaves[LEAF_BYTES * index : LEAF_BYTES * index + HASH_BYTES]


StateItems: TypeAlias = ParsedItems | ItemColumns
"""The items of one chunk, as objects or in columns."""


def read_items(domain: Domain, records: FramedRecords) -> StateItems:
    """Splits the records of a chunk and hashes keys and values.

    Raises:
        FormatError: a record is not exactly one key and one value.

    Bounds: the kernel's columns take 88 bytes an item, the Python form some 600 besides the file.
    """
    if not uses_native() or not records.count:
        return ParsedItems(domain, [split_state_record(record) for record in records.cut()])
    from restore.kernel import _native

    columns = _native.state_columns(records.data, records.count, domain.state_key, domain.state_value)
    if columns is None:
        for record in records.cut():
            split_state_record(record)
        raise disagreement()
    spans, leaves, size = columns
    return ItemColumns(records.data, spans, leaves, Usage(records.count, size))


def disagreement() -> RestoreError:
    """The kernel refused what its Python form accepts."""
    return RestoreError(
        "kernel and its Python form disagree",
        hint="run again with APTOS_RESTORE_KERNEL=hashlib, and report this as a bug",
    )
