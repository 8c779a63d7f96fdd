"""Packs that a sync finds: damaged ones, those that no index knows, and those that are too small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import cache.index
import cache.sync
from cache.entry import Entry, make_entry
from cache.index import MAX_SMALL_PACKS
from cache.source import Discarded, Fetching
from tests.cache.sources import ScriptedSource
from tests.cache.syncing import DAMAGES, Syncing, cut, empty, extend, flip

FILES = {name: name.encode() * 3 for name in "abcdef"}


@pytest.fixture
def source() -> ScriptedSource:
    """Some files."""
    return ScriptedSource(FILES)


@pytest.fixture
def mirror(tmp_path: Path, source: ScriptedSource) -> Syncing:
    """An empty mirror of them."""
    return Syncing(tmp_path, source)


# Packs that are not what they should be, or that no index knows.


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("has_index", [True, False])
async def test_a_damaged_pack_is_told_of_and_its_files_are_fetched_again(
    mirror: Syncing, source: ScriptedSource, damage: Callable[[Path], None], has_index: bool
) -> None:
    await mirror.sync()
    (damaged,) = mirror.packs
    source.files["new"] = b"in another pack"
    await mirror.sync()
    source.take_fetches()
    damage(damaged)
    if not has_index:
        mirror.index_path.unlink()
    assert await mirror.sync() == source.files
    assert source.take_fetches() == sorted(FILES)
    is_gone = damage is Path.unlink
    assert mirror.discarded() == ([] if is_gone and not has_index else [damaged.name])
    assert mirror.index.retired.keys() == (set() if is_gone else {damaged.name})
    assert await mirror.sync() == source.files
    assert mirror.events == [Fetching(7, 0)]


async def test_what_is_wrong_is_told(mirror: Syncing) -> None:
    await mirror.sync()
    (pack,) = mirror.packs
    for damage, reason in ((flip, "not what its name says"), (cut, "another size"), (empty, "another size")):
        damage(pack)
        await mirror.sync()
        (event,) = mirror.told(Discarded)
        assert event.file == pack.name
        assert reason in event.reason
        (pack,) = (path for path in mirror.packs if path.name not in mirror.index.retired)
    extend(mirror.index_path)
    await mirror.sync()
    assert mirror.told(Discarded)[0] == Discarded("index", "index is damaged")


async def test_packs_that_changed_places_are_found(mirror: Syncing, source: ScriptedSource) -> None:
    await mirror.sync()
    (one,) = mirror.packs
    other = mirror.leave_pack(*FILES)
    source.take_fetches()
    one_content, other_content = one.read_bytes(), other.read_bytes()
    assert len(one_content) == len(other_content)
    one.write_bytes(other_content)
    other.write_bytes(one_content)
    assert await mirror.sync() == FILES
    assert mirror.discarded() == sorted([one.name, other.name])
    assert source.take_fetches() == sorted(FILES)


async def test_packs_of_a_killed_sync_are_taken_over(mirror: Syncing, source: ScriptedSource) -> None:
    mirror.leave_pack("a", "b")
    mirror.leave_pack("c")
    assert await mirror.sync() == FILES
    assert source.take_fetches() == ["d", "e", "f"]
    source.files["new"] = b"1"
    mirror.leave_pack("new")
    assert await mirror.sync() == source.files
    assert source.take_fetches() == []


async def test_what_changed_is_taken_over_from_a_killed_sync_too(
    mirror: Syncing, source: ScriptedSource
) -> None:
    """What it wrote is newer than what the index knows."""
    await mirror.sync()
    source.take_fetches()
    source.files["a"] = b"changed"
    mirror.leave_pack("a")
    assert await mirror.sync() == source.files
    assert source.take_fetches() == []


async def test_what_a_killed_sync_left_and_nobody_needs_retires(
    mirror: Syncing, source: ScriptedSource
) -> None:
    left = mirror.leave_pack("a", "b")
    source.files |= {"a": b"changed", "b": b"changed as well"}
    assert await mirror.sync() == source.files
    assert source.take_fetches() == sorted(FILES)
    assert mirror.index.retired == {left.name: mirror.now}


async def test_a_pack_of_another_source_is_not_taken_over(mirror: Syncing, source: ScriptedSource) -> None:
    foreign = mirror.leave_pack("a", "b", identity="another source")
    assert await mirror.sync() == FILES
    assert mirror.discarded() == [foreign.name]
    assert source.take_fetches() == sorted(FILES)
    assert mirror.index.retired.keys() == {foreign.name}


async def test_a_forged_pack_is_not_taken_over(mirror: Syncing, source: ScriptedSource) -> None:
    """Its name fits its bytes, but of two contents the names were exchanged."""
    one, two = (
        make_entry(source.identity, name, tag=source.listing[name], content=FILES[name]) for name in "ab"
    )
    entries = [
        Entry(one.name, one.tag, one.digest, two.content),
        Entry(two.name, two.tag, two.digest, one.content),
    ]
    record = mirror.folder.write_pack(source.identity, entries)
    assert await mirror.sync() == FILES
    assert mirror.discarded() == [record.file]
    assert source.take_fetches() == sorted(FILES)


async def test_a_retired_pack_is_not_taken_over(mirror: Syncing, source: ScriptedSource) -> None:
    await mirror.sync()
    (old,) = mirror.packs
    source.files = {"new": b"1"}
    await mirror.sync()
    retired = mirror.index.retired
    await mirror.sync()
    assert mirror.index.retired == retired == {old.name: mirror.now}


async def test_a_retired_pack_that_is_gone_is_forgotten(mirror: Syncing, source: ScriptedSource) -> None:
    await mirror.sync()
    (old,) = mirror.packs
    source.files = {"new": b"1"}
    await mirror.sync()
    old.unlink()
    assert await mirror.sync() == source.files
    assert mirror.index.retired == {}
    assert mirror.discarded() == []


async def test_what_is_half_written_is_left_alone(mirror: Syncing) -> None:
    """Another process may be at it: nobody else's temporary file is touched without PRUNE."""
    half = mirror.folder.path / "packs" / ".tmp-half"
    half.write_bytes(b"half of")
    assert await mirror.sync() == FILES
    assert half.read_bytes() == b"half of"
    assert mirror.discarded() == []


# Merging.


async def test_many_small_packs_become_one(mirror: Syncing, source: ScriptedSource) -> None:
    source.files = {}
    for number in range(MAX_SMALL_PACKS):
        source.files[str(number)] = b"%d" % number
        await mirror.sync()
        assert len(mirror.index.packs) == number + 1
    small = {pack.file for pack in mirror.index.packs}
    source.files["one more"] = b"1"
    source.take_fetches()
    mirror.now += 10
    assert await mirror.sync() == source.files
    assert source.take_fetches() == ["one more"]
    assert len(mirror.index.packs) == 1
    assert len(mirror.index.retired) == MAX_SMALL_PACKS + 1
    assert mirror.index.retired.keys() > small
    assert set(mirror.index.retired.values()) == {mirror.now}
    before = mirror.index
    mirror.now += 10
    assert await mirror.sync() == source.files
    assert mirror.index == before


async def test_merged_packs_are_full(
    mirror: Syncing, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (cache.sync, cache.index):
        monkeypatch.setattr(module, "PACK_BYTES", 2000)
    source.files = {}
    for number in range(MAX_SMALL_PACKS + 1):
        source.files[str(number)] = bytes(700)
        assert await mirror.sync() == source.files
    assert [len(pack.live) for pack in mirror.index.packs] == [3, 3, 3]
    before = mirror.index
    assert await mirror.sync() == source.files
    assert mirror.index == before, "full packs are not merged again"


async def test_a_pack_of_which_most_is_not_needed_is_written_anew(
    mirror: Syncing, source: ScriptedSource
) -> None:
    source.files = {str(number): b"%d" % number for number in range(10)}
    await mirror.sync()
    (pack,) = mirror.packs
    for number in range(5):
        del source.files[str(number)]
    await mirror.sync()
    assert mirror.packs == [pack], "half of it is needed"
    del source.files["5"]
    source.take_fetches()
    assert await mirror.sync() == source.files
    assert source.take_fetches() == []
    (record,) = mirror.index.packs
    assert (record.entries, len(record.live)) == (4, 4)
    assert mirror.index.retired == {pack.name: mirror.now}


async def test_a_merge_that_was_killed_is_not_done_again(mirror: Syncing, source: ScriptedSource) -> None:
    source.files = {}
    for number in range(MAX_SMALL_PACKS):
        source.files[str(number)] = b"%d" % number
        await mirror.sync()
    source.files["one more"] = b"1"
    mirror.leave_pack("one more")
    merged = mirror.leave_pack(*source.files)
    source.take_fetches()
    assert await mirror.sync() == source.files
    assert source.take_fetches() == []
    assert [pack.file for pack in mirror.index.packs] == [merged.name]
    assert len(mirror.packs) == MAX_SMALL_PACKS + 2
