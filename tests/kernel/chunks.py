"""State chunks for the kernel, and what its Python forms make of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TypeAlias

from restore.errors import FormatError
from restore.ledger.hashes import APTOS
from restore.ledger.state import StateItem, Usage, hash_keys, item_usage, split_state_record
from restore.proof.edge import TreeLeaf
from restore.proof.items import SPAN, ItemColumns, ParsedItems
from restore.sample.items import ItemMaker
from restore.wire.records import LENGTH_BYTES, FramedRecords, cut_records, frame

Columns: TypeAlias = tuple[bytes, bytes, int]
"""Spans, leaves and bytes of the usage, as the kernel gives them."""


@cache
def made_items(count: int) -> tuple[StateItem, ...]:
    """Items of all kinds and sizes, in the order of their key hashes."""
    maker = ItemMaker(count)
    items = [maker.item(index) for index in range(count)]
    hashes = hash_keys(APTOS, [item.key for item in items])
    return tuple(item for _, item in sorted(zip(hashes, items, strict=True)))


def framed(records: Iterable[bytes]) -> FramedRecords:
    """The records as a file."""
    frames = [frame(record) for record in records]
    return FramedRecords(b"".join(frames), len(frames))


def framed_items(items: Iterable[StateItem]) -> FramedRecords:
    """The items as a file."""
    return framed(item.key + item.value for item in items)


def expected_columns(data: bytes, count: int) -> Columns | None:
    """What the Python forms make of a file of `count` records; None where they refuse it."""
    try:
        records = cut_records(data)
        items = [split_state_record(record) for record in records]
    except FormatError:
        return None
    if len(items) != count:
        return None
    spans, start = [], LENGTH_BYTES
    for key, value in items:
        spans.append(SPAN.pack(start, start + len(key), start + len(key) + len(value)))
        start += len(key) + len(value) + LENGTH_BYTES
    leaves = b"".join(leaf.key_hash + leaf.value_hash for leaf in ParsedItems(APTOS, items).leaves)
    return b"".join(spans), leaves, item_usage(items).bytes


def columns_of(leaves: Sequence[TreeLeaf], values: Sequence[bytes] | None = None) -> ItemColumns:
    """Columns of items with chosen hashes: nothing is hashed, and nothing ties a value to its hash."""
    values = values or [b"\x00\x00"] * len(leaves)
    data, spans = b"", []
    for leaf, value in zip(leaves, values, strict=True):
        start = len(data) + LENGTH_BYTES
        data += frame(leaf.state_key + value)
        spans.append(SPAN.pack(start, start + len(leaf.state_key), len(data)))
    hashes = b"".join(leaf.key_hash + leaf.value_hash for leaf in leaves)
    return ItemColumns(data, b"".join(spans), hashes, Usage(len(leaves), 0))
