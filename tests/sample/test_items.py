"""Items of all kinds."""

from __future__ import annotations

from collections import Counter

import pytest

from restore.ledger.state import StateItem, key_size, split_state_record, value_size
from restore.sample.items import FIRST_NEW_INDEX, LARGE_DATA_BYTES, ItemMaker
from restore.wire.bcs import read_uleb
from restore.wire.layouts import skipper


@pytest.fixture(scope="module")
def items() -> list[StateItem]:
    maker = ItemMaker(3)
    return [maker.item(index) for index in range(4000)]


def test_every_item_parses_back(items: list[StateItem]) -> None:
    assert [split_state_record(item.key + item.value) for item in items] == items


def test_every_path_in_a_key_parses(items: list[StateItem]) -> None:
    skip = skipper("Path")
    for key, _ in items:
        if key[0] == 0:
            size = key_size(key) - 32
            assert skip(key, len(key) - size, len(key)) == len(key)


def test_all_kinds_of_keys_occur(items: list[StateItem]) -> None:
    kinds = Counter((key[0], key[-(key_size(key) - 32)] if key[0] == 0 else None) for key, _ in items)
    assert set(kinds) == {(0, 0), (0, 1), (0, 2), (1, None), (2, None)}


def test_values_occur_without_metadata_and_with_either_version(items: list[StateItem]) -> None:
    skip = skipper("StateValueMetadata")
    kinds = set()
    for _, value in items:
        metadata = read_uleb(value, 1)[1] + value_size(value)
        if value[0] == 1:
            assert skip(value, metadata, len(value)) == len(value)
        kinds.add(value[metadata:][:1])
    assert kinds == {b"", b"\x00", b"\x01"}


def test_data_is_of_all_sizes(items: list[StateItem]) -> None:
    sizes = [value_size(value) for _, value in items]
    assert min(sizes) == 0
    assert max(sizes) > LARGE_DATA_BYTES
    for low, high in ((1, 8), (24, 127), (128, 1023), (1024, 16383), (16384, 20000)):
        assert any(low <= size <= high for size in sizes)


def test_keys_are_unique(items: list[StateItem]) -> None:
    maker = ItemMaker(3)
    new = [maker.item(FIRST_NEW_INDEX + index) for index in range(1000)]
    assert len({key for key, _ in items + new}) == 5000


def test_an_item_follows_from_seed_and_index(items: list[StateItem]) -> None:
    assert ItemMaker(3).item(77) == items[77]
    assert ItemMaker(4).item(77) != items[77]
