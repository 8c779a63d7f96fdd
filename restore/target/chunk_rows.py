"""The rows of one snapshot chunk, cut into what one table file may hold; in columns the kernel encodes them.

Source: spec/aptosdb-schema.md 2.3 and 2.5.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from restore.proof.builder import NodeRow
from restore.proof.columns import NodeColumns, Nodes
from restore.proof.items import SPAN, ItemColumns, StateItems
from restore.target.rows import node_rows, snapshot_value_rows
from restore.target.schema import SHARDS, STATE_VALUES, TREE_NODES, KeyValue, Table, shard_of
from restore.target.staged import RowGroup
from restore.target.steps import ROW_BYTES, STEP_BYTES, slices

NODE_BYTES = 256
"""Bytes of a node's row, roughly: a leaf with a key of some 60 bytes has 150, 16 children take 600."""


@dataclass(frozen=True, slots=True)
class ColumnRows:
    """Rows that the kernel encodes: of the values of items, or of the nodes of one depth.

    Attributes:
        items: what they are made from.
        nodes: the nodes; empty for values.
        version: of the snapshot.
        depth: of the nodes; 0 for values.
        first: the first item or node.
        end: after the last one.
    """

    items: ItemColumns
    nodes: bytes
    version: int
    depth: int
    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first

    def pairs(self) -> list[KeyValue]:
        """The rows themselves."""
        from restore.kernel import _native

        items = self.items
        return _native.encode_rows(
            items.data, items.spans, items.leaves, self.nodes, self.version, self.depth, self.first, self.end
        )

    def write(self, file: Path) -> None:
        """Writes them to a new table file.

        Raises:
            OSError: it cannot be written; there is none then.
        """
        from restore.kernel import _native

        items = self.items
        _native.write_rows(
            str(file),
            items.data,
            items.spans,
            items.leaves,
            self.nodes,
            self.version,
            self.depth,
            self.first,
            self.end,
        )


def value_groups(version: int, items: StateItems) -> Iterator[tuple[Table, list[RowGroup]]]:
    """The rows of the values of a chunk, shard by shard, in key order."""
    for shard, first, end in _by_shard(range(len(items)), items.key_hash):
        table = STATE_VALUES[shard]
        if isinstance(items, ItemColumns):
            for start, stop in _value_slices(items, first, end):
                yield table, [ColumnRows(items, b"", version, 0, start, stop)]
        else:
            values = [
                (leaf.key_hash, item.value)
                for leaf, item in zip(items.leaves[first:end], items.items[first:end], strict=True)
            ]
            for part in slices(values, lambda value: len(value[1]) + ROW_BYTES):
                yield table, [snapshot_value_rows(version, part)]


def node_groups(version: int, nodes: Nodes) -> Iterator[tuple[Table, list[RowGroup]]]:
    """The rows of nodes below the root, shard by shard; in each the depths apart."""
    if isinstance(nodes, NodeColumns):
        yield from _node_column_groups(version, nodes)
        return
    shards: list[list[NodeRow]] = [[] for _ in range(SHARDS)]
    for node in nodes:
        shards[int(node.path[0], 16)].append(node)
    for table, rows in zip(TREE_NODES, shards, strict=True):
        for part in slices(rows, lambda node: len(node.node) + ROW_BYTES):
            yield table, [*node_rows(version, part)]


def _node_column_groups(version: int, nodes: NodeColumns) -> Iterator[tuple[Table, list[RowGroup]]]:
    most = STEP_BYTES // NODE_BYTES
    shards: list[list[ColumnRows]] = [[] for _ in range(SHARDS)]
    for depth, begin, stop in nodes.by_depth():
        for shard, first, end in _by_shard(range(begin, stop), nodes.key_hash):
            for start in range(first, end, most):
                part = ColumnRows(nodes.items, nodes.nodes, version, depth, start, min(start + most, end))
                shards[shard].append(part)
    for table, groups in zip(TREE_NODES, shards, strict=True):
        for step in slices(groups, lambda rows: NODE_BYTES * len(rows)):
            yield table, list(step)


def _by_shard(indices: range, key_hash: Callable[[int], bytes]) -> Iterator[tuple[int, int, int]]:
    """Cuts what is in key order by the shard of its key hashes: shard, first, end."""
    first = indices.start
    while first < indices.stop:
        shard = shard_of(key_hash(first))
        end = bisect_left(
            range(indices.stop), shard + 1, lo=first, key=lambda index: shard_of(key_hash(index))
        )
        yield shard, first, end
        first = end


def _value_slices(items: ItemColumns, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Cuts items so that each part has at most STEP_BYTES in the file, or is one item."""
    while first < end:
        limit = SPAN.unpack_from(items.spans, SPAN.size * first)[0] + STEP_BYTES
        stop = bisect_left(
            range(end), limit, lo=first, key=lambda index: SPAN.unpack_from(items.spans, SPAN.size * index)[2]
        )
        stop = max(stop, first + 1)
        yield first, stop
        first = stop
