"""The items of a chunk in both forms: the same items, and the same words for what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore.errors import FormatError, RestoreError
from restore.kernel.choice import PURE
from restore.ledger.hashes import APTOS
from restore.ledger.state import StateItem, Usage, hash_keys, hash_values, item_usage
from restore.proof.edge import TreeLeaf
from restore.proof.items import ItemColumns, ParsedItems, StateItems, read_items
from restore.wire.records import FramedRecords
from tests.kernel.chunks import framed, framed_items, made_items
from tests.kernels import NATIVE, needs_native, using
from tests.restoring.damage import flip
from tests.wire.values import encoded

properties = settings(
    max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def expected_leaves(items: tuple[StateItem, ...]) -> list[TreeLeaf]:
    keys = [item.key for item in items]
    values = [item.value for item in items]
    return [
        TreeLeaf(key_hash, value_hash, key)
        for key_hash, value_hash, key in zip(
            hash_keys(APTOS, keys), hash_values(APTOS, values), keys, strict=True
        )
    ]


def read_both(records: FramedRecords) -> tuple[StateItems, StateItems]:
    """The columns, and the objects."""
    with using(NATIVE):
        columns = read_items(APTOS, records)
    with using(PURE):
        objects = read_items(APTOS, records)
    assert isinstance(columns, ItemColumns)
    assert isinstance(objects, ParsedItems)
    return columns, objects


@pytest.mark.parametrize("count", [1, 2, 600])
def test_items_are_read_hashed_and_counted(kernel: str, count: int) -> None:
    items = made_items(count)
    found = read_items(APTOS, framed_items(items))
    assert isinstance(found, ItemColumns if kernel == NATIVE else ParsedItems)
    assert len(found) == count
    assert found.usage == item_usage(items)
    leaves = expected_leaves(items)
    assert [found.leaf(index) for index in range(count)] == leaves
    assert [found.leaf(index - count) for index in range(count)] == leaves
    assert [found.key_hash(index) for index in range(count)] == [leaf.key_hash for leaf in leaves]


@pytest.mark.parametrize("index", [3, -4])
def test_there_are_no_items_but_these(kernel: str, index: int) -> None:
    with pytest.raises(IndexError):
        read_items(APTOS, framed_items(made_items(3))).leaf(index)


def test_no_records_are_no_items(kernel: str) -> None:
    found = read_items(APTOS, FramedRecords(b"", 0))
    assert len(found) == 0
    assert found.usage == Usage()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_file_may_lie_in_any_buffer(
    kernel: str, kind: Callable[[bytes], bytes | bytearray | memoryview]
) -> None:
    items = made_items(5)
    found = read_items(APTOS, FramedRecords(kind(bytes(framed_items(items).data)), 5))
    assert [found.leaf(index) for index in range(5)] == expected_leaves(items)


def test_leaves_outlast_the_file(kernel: str) -> None:
    data = bytearray(framed_items(made_items(5)).data)
    leaf = read_items(APTOS, FramedRecords(data, 5)).leaf(-1)
    data[:] = bytes(len(data))
    assert leaf == expected_leaves(made_items(5))[-1]


@needs_native
@properties
@given(st.lists(encoded("StateRecord"), min_size=1, max_size=8))
def test_both_forms_read_the_same(records: list[bytes]) -> None:
    columns, objects = read_both(framed(records))
    assert len(columns) == len(objects) == len(records)
    assert columns.usage == objects.usage
    for index in range(len(records)):
        assert columns.leaf(index) == objects.leaf(index)
        assert columns.key_hash(index) == objects.key_hash(index)


def refusal(records: FramedRecords) -> tuple[str, int | None, str | None, str | None, str]:
    with pytest.raises(FormatError) as caught:
        read_items(APTOS, records)
    error = caught.value
    assert str(error)
    return error.message, error.offset, error.expected, error.found, error.hint


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "unknown kind of key": lambda record: b"\x03" + record[1:],
    "cut in the key": lambda record: record[:20],
    "cut in the value": lambda record: record[:-1],
    "a byte more": lambda record: record + b"\x00",
    "twice": lambda record: record * 2,
    "a length in a longer form": lambda record: record[:33] + b"\x84\x00" + record[34:],
    "a length beyond the end": lambda record: record[:33] + b"\xff\xff\xff\xff\x07" + record[34:],
    "a length beyond 32 bits": lambda record: record[:33] + b"\xff\xff\xff\xff\x1f" + record[34:],
}


@needs_native
@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("index", [0, 300, 599])
def test_what_is_wrong_is_told_in_the_same_words(name: str, index: int) -> None:
    records = [item.key + item.value for item in made_items(600)]
    records[index] = DAMAGE[name](b"\x00" + bytes(32) + b"\x04path" + b"\x00\x05value")
    damaged = framed(records)
    with using(PURE):
        told = refusal(damaged)
    with using(NATIVE):
        assert refusal(damaged) == told


@needs_native
def test_any_flipped_byte_is_told_in_the_same_words_or_read_the_same() -> None:
    items = made_items(3)
    for index, item in enumerate(items):
        for place in range(min(200, len(item.key + item.value))):
            records = [one.key + one.value for one in items]
            records[index] = flip(records[index], place)
            damaged = framed(records)
            try:
                with using(PURE):
                    expected = read_items(APTOS, damaged).usage
            except FormatError:
                with using(PURE):
                    told = refusal(damaged)
                with using(NATIVE):
                    assert refusal(damaged) == told
            else:
                with using(NATIVE):
                    assert read_items(APTOS, damaged).usage == expected


@needs_native
def test_a_kernel_that_refuses_what_is_sound_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from restore.kernel import _native

    monkeypatch.setattr(_native, "state_columns", lambda *_: None)
    with using(NATIVE), pytest.raises(RestoreError, match="disagree") as caught:
        read_items(APTOS, framed_items(made_items(3)))
    assert caught.value.exit_code == 1
    assert "APTOS_RESTORE_KERNEL=hashlib" in caught.value.hint
