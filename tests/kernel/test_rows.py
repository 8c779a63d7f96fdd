"""Rows of columns against those of the Python forms: the same bytes, as pairs and in table files."""

from __future__ import annotations

import errno
import random
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore.ledger.hashes import APTOS
from restore.ledger.state import Usage
from restore.proof.builder import build_chunk_tree
from restore.proof.edge import TreeLeaf
from restore.proof.items import SPAN, ItemColumns
from restore.proof.jellyfish import MAX_NIBBLES, Child, encode_internal
from restore.target.rows import node_rows, snapshot_value_rows
from restore.target.schema import KeyValue
from tests.kernel.chunks import columns_of, framed_items, made_items
from tests.kernel.trees import Node, packed
from tests.proof.naive import LEAVES, leaf_of, sha3

native = pytest.importorskip("restore.kernel._native", reason="the C extension is not built")

VERSIONS = [0, 1, 127, 128, 300, 16_383, 16_384, 2**32, 2**55, 2**56 - 1, 2**56, 2**63 - 1, 2**64 - 1]
"""Around each number of bytes that a varint takes."""

properties = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def value_pairs(items: ItemColumns, version: int, first: int, end: int) -> list[KeyValue]:
    return list(native.encode_rows(items.data, items.spans, items.leaves, b"", version, 0, first, end))


def node_pairs(items: ItemColumns, nodes: bytes, starts: Sequence[int], version: int) -> list[list[KeyValue]]:
    """The rows of all depths that have any, the uppermost first."""
    groups = []
    for depth in range(1, MAX_NIBBLES + 1):
        first, end = starts[depth], starts[depth - 1]
        if first < end:
            groups.append(
                native.encode_rows(items.data, items.spans, items.leaves, nodes, version, depth, first, end)
            )
    return groups


def expected_nodes(leaves: Sequence[TreeLeaf], version: int) -> list[list[KeyValue]]:
    return node_rows(version, build_chunk_tree(APTOS, version, leaves).rows)


def some_leaves(count: int) -> list[TreeLeaf]:
    return [leaf_of(key) for key in sorted(sha3(bytes((index,))) for index in range(count))]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("count", [1, 2, 513])
def test_values_have_the_same_rows(count: int, version: int) -> None:
    items = made_items(count)
    records = framed_items(items)
    found = native.state_columns(records.data, count, APTOS.state_key, APTOS.state_value)
    spans, leaves, size = found
    columns = ItemColumns(records.data, spans, leaves, Usage(count, size))
    expected = snapshot_value_rows(
        version, ((columns.key_hash(index), item.value) for index, item in enumerate(items))
    )
    assert value_pairs(columns, version, 0, count) == expected
    middle = count // 2
    assert value_pairs(columns, version, middle, count) == expected[middle:]
    assert value_pairs(columns, version, middle, middle) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_nodes_have_the_same_rows_at_every_version(version: int) -> None:
    leaves = some_leaves(250)
    items = columns_of(leaves)
    nodes, starts, _ = native.tree_columns(items.leaves, APTOS.sparse_leaf, APTOS.sparse_internal)
    assert node_pairs(items, nodes, starts, version) == expected_nodes(leaves, version)


@properties
@given(LEAVES.filter(lambda leaves: len(leaves) >= 2), st.sampled_from(VERSIONS))
def test_nodes_of_trees_of_every_shape_have_the_same_rows(leaves: list[TreeLeaf], version: int) -> None:
    items = columns_of(leaves)
    nodes, starts, _ = native.tree_columns(items.leaves, APTOS.sparse_leaf, APTOS.sparse_internal)
    assert node_pairs(items, nodes, starts, version) == expected_nodes(leaves, version)


@pytest.mark.parametrize("below", [1, 127, 128, 16_383, 16_384, 2**31, 2**32 - 1])
@pytest.mark.parametrize("depth", [1, 2, 63])
def test_the_leaves_below_a_child_are_counted_in_all_sizes(depth: int, below: int) -> None:
    head = b"\xab" * 32
    keys = [bytes.fromhex(head.hex()[:depth] + nibble + "0" * (63 - depth)) for nibble in "37cf"]
    items = columns_of([leaf_of(key) for key in keys])
    children = [Node(sha3(bytes([leaf])), leaf, below, 0, leaf % 2) for leaf in range(4)]
    nodes = [*children, Node(sha3(b"parent"), 0, 4, 0, 4)]
    ((_, value),) = native.encode_rows(items.data, items.spans, items.leaves, packed(nodes), 9, depth, 4, 5)
    assert value == encode_internal(
        {
            nibble: Child(9, child.hash, child.leaves, not child.child_count)
            for nibble, child in zip((3, 7, 12, 15), children, strict=True)
        }
    )


def test_sixteen_children_and_the_longest_numbers_fit() -> None:
    items = columns_of([leaf_of(bytes([0xA0 + nibble]) + bytes(31)) for nibble in range(16)])
    children = [Node(b"\xff" * 32, nibble, 2**32 - 1, 0, 1) for nibble in range(16)]
    nodes = packed([*children, Node(bytes(32), 0, 1, 0, 16)])
    ((_, value),) = native.encode_rows(items.data, items.spans, items.leaves, nodes, 2**64 - 1, 1, 16, 17)
    assert value == encode_internal(
        {nibble: Child(2**64 - 1, b"\xff" * 32, 2**32 - 1, is_leaf=False) for nibble in range(16)}
    )


@pytest.mark.parametrize("count", [2, 3, 200])
def test_a_table_file_of_values_is_that_of_their_pairs(tmp_path: Path, count: int) -> None:
    items = columns_of(some_leaves(count))
    for first, end in ((0, count), (count // 2, count)):
        arguments = (items.data, items.spans, items.leaves, b"", 9, 0, first, end)
        size = native.write_rows(str(tmp_path / f"rows-{first}"), *arguments)
        native.write_table(tmp_path / f"pairs-{first}", native.encode_rows(*arguments))
        assert (tmp_path / f"rows-{first}").read_bytes() == (tmp_path / f"pairs-{first}").read_bytes()
        assert (tmp_path / f"rows-{first}").stat().st_size == size


def test_a_table_file_of_nodes_is_that_of_their_pairs(tmp_path: Path) -> None:
    items = columns_of(some_leaves(250))
    nodes, starts, _ = native.tree_columns(items.leaves, APTOS.sparse_leaf, APTOS.sparse_internal)
    for depth in range(1, MAX_NIBBLES + 1):
        if starts[depth] < starts[depth - 1]:
            arguments = (
                items.data,
                items.spans,
                items.leaves,
                nodes,
                9,
                depth,
                starts[depth],
                starts[depth - 1],
            )
            native.write_rows(str(tmp_path / f"rows-{depth}"), *arguments)
            native.write_table(tmp_path / f"pairs-{depth}", native.encode_rows(*arguments))
            assert (tmp_path / f"rows-{depth}").read_bytes() == (tmp_path / f"pairs-{depth}").read_bytes()


def write(file: Path, items: ItemColumns) -> None:
    native.write_rows(str(file), items.data, items.spans, items.leaves, b"", 9, 0, 0, len(items))


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_bytes(b"here before")
    with pytest.raises(FileExistsError) as caught:
        write(file, columns_of(some_leaves(3)))
    assert caught.value.filename == str(file)
    assert file.read_bytes() == b"here before"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write(tmp_path / "none" / "rows", columns_of(some_leaves(3)))
    assert caught.value.filename == str(tmp_path / "none" / "rows")


def test_rows_out_of_order_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ascend"):
        write(tmp_path / "rows", columns_of(some_leaves(3)[::-1]))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    leaves = some_leaves(20)
    items = columns_of(leaves, [b"\x00\x7f" + random.Random(0).randbytes(127)] * len(leaves))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write(tmp_path / "rows", items)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_no_rows_make_no_file(tmp_path: Path) -> None:
    items = columns_of(some_leaves(3))
    assert native.encode_rows(items.data, items.spans, items.leaves, b"", 9, 0, 3, 3) == []
    with pytest.raises(ValueError, match="no rows"):
        native.write_rows(str(tmp_path / "rows"), items.data, items.spans, items.leaves, b"", 9, 0, 3, 3)
    assert list(tmp_path.iterdir()) == []


FIELDS = ("data", "spans", "leaves", "nodes", "version", "depth", "first", "end")
"""The arguments of both functions, a path before them apart."""


@pytest.fixture
def request_of_rows() -> dict[str, Any]:
    """Sound arguments: the parent of two leaves, at depth 1."""
    items = columns_of(some_leaves(4))
    nodes = [Node(bytes(32), 1, 1, 0, 0), Node(bytes(32), 2, 1, 0, 0), Node(bytes(32), 1, 2, 0, 2)]
    columns = {"data": items.data, "spans": items.spans, "leaves": items.leaves, "nodes": packed(nodes)}
    return {**columns, "version": 9, "depth": 1, "first": 2, "end": 3}


def ask(path: Path, arguments: dict[str, Any], error: type[Exception] | tuple[type[Exception], ...]) -> None:
    """Asks for rows both ways; both must refuse."""
    given = [arguments[name] for name in FIELDS]
    with pytest.raises(error):
        native.encode_rows(*given)
    with pytest.raises(error):
        native.write_rows(str(path / "rows"), *given)
    assert list(path.iterdir()) == []


def nodes_of(*nodes: tuple[int, int, int]) -> bytes:
    """Nodes with these first leaves, first children and numbers of children."""
    return packed([Node(bytes(32), leaf, 1, children, count) for leaf, children, count in nodes])


UNSOUND: dict[str, dict[str, Any]] = {
    "first after end": {"first": 3, "end": 2},
    "first below 0": {"first": -1},
    "both below 0": {"first": -2, "end": -1},
    "end after the last node": {"end": 4},
    "end far away": {"end": 2**62},
    "depth 65": {"depth": 65},
    "depth 2^32 - 1": {"depth": 2**32 - 1},
    "an internal node at depth 64": {"depth": 64},
    "end after the last item": {"depth": 0, "first": 0, "end": 5},
    "no nodes": {"nodes": b""},
    "half a node": {"nodes": nodes_of((1, 0, 0), (2, 0, 0), (1, 0, 2)) + bytes(1)},
    "half a span": {"depth": 0, "first": 0, "end": 1, "spans": SPAN.pack(4, 5, 6) * 4 + bytes(1)},
    "half a leaf": {"depth": 0, "first": 0, "end": 1, "leaves": bytes(64 * 4 + 1)},
    "fewer spans than leaves": {"spans": SPAN.pack(4, 5, 6) * 3},
    "more spans than leaves": {"spans": SPAN.pack(4, 5, 6) * 5},
    "a leaf out of range": {"nodes": nodes_of((4, 0, 0)), "first": 0, "end": 1},
    "a leaf far out of range": {"nodes": nodes_of((2**32 - 1, 0, 0)), "first": 0, "end": 1},
    "a parent's leaf out of range": {"nodes": nodes_of((0, 0, 0), (4, 0, 1)), "first": 1, "end": 2},
    "a child's leaf out of range": {"nodes": nodes_of((4, 0, 0), (0, 0, 1)), "first": 1, "end": 2},
    "children out of range": {"nodes": nodes_of((0, 0, 0), (0, 2, 1)), "first": 1, "end": 2},
    "children half out of range": {"nodes": nodes_of((0, 0, 0), (0, 1, 2)), "first": 1, "end": 2},
    "children far out of range": {"nodes": nodes_of((0, 0, 0), (0, 2**32 - 1, 1)), "first": 1, "end": 2},
    "17 children": {"nodes": nodes_of(*[(0, 0, 0)] * 17, (0, 0, 17)), "first": 17, "end": 18},
    "2^32 - 1 children": {"nodes": nodes_of((0, 0, 0), (0, 0, 2**32 - 1)), "first": 1, "end": 2},
}
"""Rows that columns do not have, by what is wrong with them."""


@pytest.mark.parametrize("name", UNSOUND)
def test_rows_that_the_columns_do_not_have_are_errors(
    tmp_path: Path, request_of_rows: dict[str, Any], name: str
) -> None:
    ask(tmp_path, request_of_rows | UNSOUND[name], ValueError)


@pytest.mark.parametrize(
    "span",
    [
        (0, 0, 2**64 - 1),
        (2**64 - 1, 2**64 - 1, 2**64 - 1),
        (5, 4, 6),
        (4, 6, 5),
        (0, 0, 1000),
        (1000, 1000, 1000),
    ],
    ids=str,
)
@pytest.mark.parametrize("depth", [0, 1], ids=["value", "node"])
def test_spans_outside_the_data_are_errors(
    tmp_path: Path, request_of_rows: dict[str, Any], span: tuple[int, int, int], depth: int
) -> None:
    sound = request_of_rows["spans"]
    changed = {"spans": sound[: SPAN.size] + SPAN.pack(*span) + sound[2 * SPAN.size :]}
    asked = {"depth": 0, "first": 0, "end": 4} if depth == 0 else {"first": 0, "end": 1}
    ask(tmp_path, request_of_rows | changed | asked, ValueError)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("wrong", [None, "text", 1.5, [b""]], ids=repr)
def test_arguments_of_other_types_are_errors(
    tmp_path: Path, request_of_rows: dict[str, Any], name: str, wrong: object
) -> None:
    ask(tmp_path, request_of_rows | {name: wrong}, TypeError)


@pytest.mark.parametrize("name", ["spans", "leaves", "nodes"])
def test_columns_that_could_change_meanwhile_are_errors(
    tmp_path: Path, request_of_rows: dict[str, Any], name: str
) -> None:
    ask(tmp_path, request_of_rows | {name: bytearray(request_of_rows[name])}, TypeError)


def test_the_data_is_let_go_of_whatever_comes(tmp_path: Path, request_of_rows: dict[str, Any]) -> None:
    data = bytearray(request_of_rows["data"])
    given = [(request_of_rows | {"data": data})[name] for name in FIELDS]
    native.encode_rows(*given)
    native.write_rows(str(tmp_path / "rows"), *given)
    data.append(0)  # a buffer that is still held could not grow
    with pytest.raises(FileExistsError):
        native.write_rows(str(tmp_path / "rows"), *given)
    with pytest.raises(ValueError, match="do not have"):
        native.encode_rows(*given[:-1], 9)
    with pytest.raises(ValueError, match="do not have"):
        native.write_rows(str(tmp_path / "other"), *given[:-1], 9)
    with pytest.raises(ValueError, match="null"):
        native.write_rows("null \0", *given)
    data.append(0)
