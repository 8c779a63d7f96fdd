"""The state of the sample, cold and hot."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore.ledger.hashes import APTOS, SPARSE_PLACEHOLDER
from restore.ledger.state import Usage, hash_keys, hash_values, item_usage
from restore.proof.frontier import Frontier
from restore.sample.items import ItemMaker, encode_value
from restore.sample.spool import SPILL_BYTES
from restore.sample.state import ColdState, Entry, LiveState, RecordSizes

ITEMS = [ItemMaker(1).item(index) for index in range(300)]


@pytest.mark.parametrize("spill_bytes", [0, SPILL_BYTES])
def test_cold_items_come_back_sorted_from_memory_and_from_disk(tmp_path: Path, spill_bytes: int) -> None:
    cold = ColdState(APTOS, tmp_path, spill_bytes=spill_bytes)
    cold.add(ITEMS[:150])
    cold.add(ITEMS[150:])
    LiveState(APTOS, cold, [])
    assert any(tmp_path.iterdir()) is (spill_bytes == 0)
    records = [entry.record for number in range(256) for entry in cold.read(number)]
    expected = sorted(zip(hash_keys(APTOS, [key for key, _ in ITEMS]), ITEMS, strict=True))
    assert records == [key + value for _, (key, value) in expected]
    assert cold.usage == item_usage(ITEMS)


def test_a_live_state_is_at_every_checkpoint_what_was_written(tmp_path: Path) -> None:
    cold = ColdState(APTOS, tmp_path)
    cold.add(ITEMS[:200])
    live = LiveState(APTOS, cold, [key for key, _ in ITEMS[200:]])
    there = dict(ITEMS[:200])
    assert live.freeze().root == root_of(there)
    for round_ in range(4):
        for index, (key, _) in enumerate(ITEMS[200:]):
            item = live.items[key]
            if (index + round_) % 3 == 0 and item.value is not None:
                live.delete(item)
                del there[key]
            elif (index * round_) % 4 < 2:
                live.write(item, bytes((round_, index)), None)
                there[key] = encode_value(bytes((round_, index)), None)
        assert live.checkpoint() == root_of(there)
        assert live.usage == item_usage((type(ITEMS[0])(key, value) for key, value in there.items()))
        frozen = live.freeze()
        assert sorted(entry.record for bucket in frozen.buckets() for entry in bucket) == sorted(
            key + value for key, value in there.items()
        )


def test_a_frozen_state_does_not_change_any_more(tmp_path: Path) -> None:
    live = LiveState(APTOS, ColdState(APTOS, tmp_path), [key for key, _ in ITEMS[:3]])
    item = live.items[ITEMS[0].key]
    before = live.freeze()
    live.write(item, b"data", None)
    live.checkpoint()
    assert before.root == SPARSE_PLACEHOLDER
    assert before.usage == Usage()
    assert not any(before.buckets())


def test_chunks_are_about_as_many_as_wanted() -> None:
    sizes = RecordSizes()
    for index in range(1000):
        sizes.add(Entry(b"", b"", bytes(100 + index % 200)))
    for chunks in (1, 2, 7, 30):
        used = sizes.chunk_bytes(chunks)
        made, size = 1, 0
        for index in range(1000):
            framed = 104 + index % 200
            if size + framed > used:
                made, size = made + 1, 0
            size += framed
        assert made == chunks


def root_of(state: dict[bytes, bytes]) -> bytes:
    hashes = zip(hash_keys(APTOS, list(state)), hash_values(APTOS, list(state.values())), strict=True)
    frontier = Frontier(APTOS)
    frontier.add(sorted(hashes))
    return frontier.root()
