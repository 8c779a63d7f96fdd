"""A sync: fetches what is missing and nothing else, and says in the index what is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cache.index import Index, encode_index
from cache.source import Fetched, Fetching
from tests.cache.sources import ScriptedSource
from tests.cache.syncing import DAMAGES, Syncing

FILES = {name: name.encode() * 3 for name in "abcdef"}


@pytest.fixture
def source() -> ScriptedSource:
    """Some files."""
    return ScriptedSource(FILES)


@pytest.fixture
def mirror(tmp_path: Path, source: ScriptedSource) -> Syncing:
    """An empty mirror of them."""
    return Syncing(tmp_path, source)


# What is fetched.


async def test_all_is_fetched_once(mirror: Syncing, source: ScriptedSource) -> None:
    assert await mirror.sync() == FILES
    assert source.take_fetches() == sorted(FILES)
    assert await mirror.sync() == FILES
    assert source.take_fetches() == []
    assert source.lists == 2


async def test_what_is_new_is_fetched(mirror: Syncing, source: ScriptedSource) -> None:
    await mirror.sync()
    source.take_fetches()
    source.files |= {"new": b"1", "newer": b"2"}
    assert await mirror.sync() == source.files
    assert source.take_fetches() == ["new", "newer"]


async def test_what_changed_is_fetched_again_and_its_old_content_is_gone(
    mirror: Syncing, source: ScriptedSource
) -> None:
    await mirror.sync()
    source.take_fetches()
    source.files["a"] = b"changed"
    assert await mirror.sync() == FILES | {"a": b"changed"}
    assert source.take_fetches() == ["a"]


async def test_without_tags_a_name_is_a_content(tmp_path: Path) -> None:
    source = ScriptedSource(FILES, has_tags=False)
    mirror = Syncing(tmp_path, source)
    await mirror.sync()
    source.take_fetches()
    source.files["a"] = b"changed"
    assert await mirror.sync() == FILES
    assert source.take_fetches() == []


async def test_what_is_not_listed_is_not_held(mirror: Syncing, source: ScriptedSource) -> None:
    await mirror.sync()
    del source.files["a"], source.files["b"]
    assert await mirror.sync() == source.files
    assert mirror.index.retired == {}, "the others in the pack are needed"


async def test_a_pack_of_which_nothing_is_listed_retires(mirror: Syncing, source: ScriptedSource) -> None:
    await mirror.sync()
    (old,) = mirror.packs
    source.files = {"new": b"1"}
    mirror.now += 10
    assert await mirror.sync() == source.files
    assert mirror.index.retired == {old.name: mirror.now}
    assert old.exists(), "somebody may be reading it"
    since, mirror.now = mirror.now, mirror.now + 10
    await mirror.sync()
    assert mirror.index.retired == {old.name: since}


@pytest.mark.parametrize("has_tags", [True, False])
async def test_what_proved_useless_is_fetched_again(tmp_path: Path, has_tags: bool) -> None:
    source = ScriptedSource(FILES, has_tags=has_tags)
    source.files["a"] = b"damaged on its way"
    mirror = Syncing(tmp_path, source)
    await mirror.sync()
    source.take_fetches()
    source.files["a"] = b"sound"
    assert await mirror.sync(refetch={"a", "not listed"}) == FILES | {"a": b"sound"}
    assert source.take_fetches() == ["a"]
    assert await mirror.sync() == FILES | {"a": b"sound"}
    assert source.take_fetches() == []


@pytest.mark.parametrize("concurrency", [1, 3, 16])
async def test_only_so_many_are_fetched_at_once(
    mirror: Syncing, source: ScriptedSource, concurrency: int
) -> None:
    source.files = {str(number): b"" for number in range(40)}
    assert await mirror.sync(concurrency=concurrency) == source.files
    assert source.most_at_once == concurrency


async def test_a_source_of_nothing_makes_an_empty_mirror(mirror: Syncing, source: ScriptedSource) -> None:
    source.files = {}
    assert await mirror.sync() == {}
    assert mirror.packs == []
    assert mirror.told(Fetching) == [Fetching(0, 0)]


async def test_any_name_may_be_mirrored(mirror: Syncing, source: ScriptedSource) -> None:
    names = [
        "",
        "/",
        "..",
        "../../x",
        "a/b/c",
        "\x00",
        "\n",
        "ä",
        "a\u0308",
        "\U0001f600",
        "x" * 100_000,
        "index",
    ]
    source.files = {name: name.encode() for name in names}
    assert await mirror.sync() == source.files
    assert await mirror.sync() == source.files
    assert source.take_fetches() == sorted(names)
    assert {path.name for path in mirror.folder.path.iterdir()} == {"packs", "leases", "holders", "index"}


async def test_twenty_thousand_files_are_a_few_packs(mirror: Syncing, source: ScriptedSource) -> None:
    source.files = {f"metadata/{number:05}.meta": b"%d" % number for number in range(20_000)}
    assert await mirror.sync(concurrency=64) == source.files
    assert source.take_fetches() == sorted(source.files)
    assert len(mirror.packs) == 3
    assert await mirror.sync(concurrency=64) == source.files
    assert source.take_fetches() == []


async def test_it_tells_what_it_does(mirror: Syncing, source: ScriptedSource) -> None:
    await mirror.sync()
    assert mirror.events[0] == Fetching(6, 6)
    assert sorted(mirror.told(Fetched), key=str) == [Fetched(name, 3) for name in FILES]
    assert len(mirror.events) == 7
    source.files |= {"new": b"12345"}
    await mirror.sync()
    assert mirror.events == [Fetching(7, 1), Fetched("new", 5)]


# The index.


async def test_an_index_that_says_nothing_new_is_only_touched(
    mirror: Syncing, source: ScriptedSource
) -> None:
    mirror.now = 5000.0
    await mirror.sync()
    before, content = mirror.index_path.stat(), mirror.index_path.read_bytes()
    mirror.now = 6000.5
    await mirror.sync()
    after = mirror.index_path.stat()
    assert (after.st_ino, after.st_mtime) == (before.st_ino, 6000.5)
    assert mirror.folder.synced_at() == 6000.5
    assert mirror.index_path.read_bytes() == content
    source.files["new"] = b""
    await mirror.sync()
    assert mirror.index_path.stat().st_ino != before.st_ino


def another_index(path: Path) -> None:
    path.write_bytes(encode_index(Index("another source")))


@pytest.mark.parametrize("damage", [*DAMAGES, another_index])
async def test_without_its_index_a_mirror_is_still_whole(
    mirror: Syncing, source: ScriptedSource, damage: Callable[[Path], None]
) -> None:
    await mirror.sync()
    source.files["new"] = b"in another pack"
    await mirror.sync()
    before = mirror.index
    source.take_fetches()
    damage(mirror.index_path)
    assert await mirror.sync() == source.files
    assert source.take_fetches() == []
    assert mirror.discarded() == ([] if damage is Path.unlink else ["index"])
    assert sorted(mirror.index.packs, key=str) == sorted(before.packs, key=str)
    await mirror.sync()
    assert mirror.discarded() == []


async def test_without_its_index_the_last_content_counts(tmp_path: Path) -> None:
    """Where the source has no tags, only the age of the packs says which one that is."""
    source = ScriptedSource({"a": b"damaged on its way"}, has_tags=False)
    mirror = Syncing(tmp_path, source)
    await mirror.sync()
    source.files["a"] = b"sound"
    await mirror.sync(refetch={"a"})
    (old,) = [path for path in mirror.packs if path.name in mirror.index.retired]
    os.utime(old, (1, 1))
    mirror.index_path.unlink()
    assert await mirror.sync() == {"a": b"sound"}
    assert source.take_fetches() == ["a", "a"]
