"""Write sets, made while the state changes: all six operations.

Source: spec/ledger-hashing.md section 6.3.
"""

from __future__ import annotations

from restore.sample.encode import sequence
from restore.sample.items import ItemMaker
from restore.sample.seed import Source
from restore.sample.state import HotItem, LiveState
from restore.wire.bcs import encode_bytes

CREATION, MODIFICATION, DELETION = 0, 1, 2
WITH_METADATA = 3
"""Added to an operation that carries metadata."""

DELETED_ONE_IN = 6
"""Of the items that a user touches: rare enough that most live long, and often that many come again."""


class Changes:
    """What one transaction changes."""

    def __init__(self, state: LiveState, maker: ItemMaker, source: Source) -> None:
        self._state = state
        self._maker = maker
        self._source = source
        self._operations: dict[bytes, bytes] = {}

    def put(self, key: bytes, data: bytes) -> None:
        """Creates or modifies an item of the framework, which has no metadata."""
        self._write(self._state.items[key], data, None)

    def touch(self, item: HotItem) -> None:
        """Does something to an item of a user: creates it if it is not there, else modifies or deletes it."""
        source = self._source
        if item.value is not None and source.one_in(DELETED_ONE_IN):
            self._delete(item)
            return
        metadata = item.metadata
        is_new = item.value is None
        # Metadata once given stays, perhaps changed; values from before there was any get it now and then.
        if source.one_in(2 if is_new else 8):
            metadata = self._maker.new_metadata(source)
        self._write(item, self._maker.new_data(source), metadata)

    def encode(self) -> bytes:
        """BCS WriteSet."""
        operations = sorted(self._operations.items())
        return b"\x00" + sequence(key + operation for key, operation in operations)

    def _write(self, item: HotItem, data: bytes, metadata: bytes | None) -> None:
        kind = CREATION if item.value is None else MODIFICATION
        self._state.write(item, data, metadata)
        self._operations[item.key] = _operation(kind, encode_bytes(data), metadata)

    def _delete(self, item: HotItem) -> None:
        self._operations[item.key] = _operation(DELETION, b"", item.metadata)
        self._state.delete(item)


def _operation(kind: int, data: bytes, metadata: bytes | None) -> bytes:
    if metadata is None:
        return bytes((kind,)) + data
    return bytes((kind + WITH_METADATA,)) + data + metadata
