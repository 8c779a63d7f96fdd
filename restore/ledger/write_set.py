"""Write sets: what a transaction changes in the state.

Source: spec/ledger-hashing.md section 6.3.
"""

from __future__ import annotations

from typing import NamedTuple

from restore.errors import FormatError
from restore.wire.bcs import Reader
from restore.wire.layouts import skipper

_DELETIONS = (2, 5)
_WITH_METADATA = 3
"""Variants of WriteOp: creation, modification, deletion, and the same three with metadata."""

_skip_key = skipper("StateKey")
_skip_operation = skipper("WriteOp")


class WriteOp(NamedTuple):
    """One change: BCS StateKey, and the BCS StateValue that it gets (None: the item is deleted)."""

    key: bytes
    value: bytes | None


def parse_write_set(raw: bytes) -> list[WriteOp]:
    """The changes of a BCS WriteSet, in its order.

    Raises:
        FormatError: malformed, keys not strictly increasing, or bytes follow.
    """
    reader = Reader(raw)
    variant = reader.uleb()
    if variant != 0:
        raise FormatError("unknown variant of WriteSet", offset=0, found=variant)
    changes = []
    previous = b""  # below every key: no key is empty
    for _ in range(reader.count()):
        start = reader.offset
        key = reader.verbatim(_skip_key)
        if key <= previous:
            raise FormatError("write set keys do not increase", offset=start)
        previous = key
        changes.append(WriteOp(key, _value(reader.verbatim(_skip_operation))))
    reader.finish()
    return changes


def _value(operation: bytes) -> bytes | None:
    """What `operation` writes: a StateValue is laid out as the rest of it, under an index of its own."""
    kind = operation[0]
    if kind in _DELETIONS:
        return None
    return (b"\x01" if kind >= _WITH_METADATA else b"\x00") + operation[1:]
