"""A sync that fails or has to list again: what it says, what it keeps, and how the next one goes on."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import cache.writer
from cache.atomic import TEMPORARY_PREFIX
from cache.errors import (
    DamagedFileError,
    EmptyListingError,
    UnfetchableError,
    UnsettledError,
    VanishedError,
)
from cache.index import MAX_SMALL_PACKS
from cache.source import Fetching, ListedAgain
from cache.sync import MAX_LISTINGS
from tests.cache.sources import ScriptedSource, tag_of
from tests.cache.syncing import Syncing, flip
from tests.contracts.cancelling import cancel_at_every_wait

FILES = {name: name.encode() * 3 for name in "abcdef"}


class SourceError(Exception):
    """What a source raises."""


@pytest.fixture
def source() -> ScriptedSource:
    """Some files."""
    return ScriptedSource(FILES)


@pytest.fixture
def mirror(tmp_path: Path, source: ScriptedSource) -> Syncing:
    """An empty mirror of them."""
    return Syncing(tmp_path, source)


# Errors of the source.


async def test_the_first_error_cancels_the_other_fetches_and_is_raised(
    mirror: Syncing, source: ScriptedSource
) -> None:
    held = [source.hold(name) for name in "bcd"]
    failing = source.hold("a")
    source.fail("a", SourceError("first"))
    work = asyncio.create_task(mirror.sync(concurrency=4))
    for gate in (failing, *held):
        await gate.reached()
    failing.open()
    with pytest.raises(SourceError, match="first"):
        await work
    assert sorted(source.cancelled) == ["b", "c", "d"]
    assert source.take_fetches() == ["a", "b", "c", "d"], "and no other one begins"
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_came_before_an_error_is_kept(mirror: Syncing, source: ScriptedSource) -> None:
    source.fail("d", SourceError())
    with pytest.raises(SourceError):
        await mirror.sync(concurrency=1)
    assert source.take_fetches() == ["a", "b", "c", "d"]
    assert await mirror.sync() == FILES
    assert source.take_fetches() == ["d", "e", "f"]


async def test_an_error_changes_nothing_that_counts(mirror: Syncing, source: ScriptedSource) -> None:
    await mirror.sync()
    index, packs = mirror.index_path.read_bytes(), mirror.packs
    source.files = {"a": b"changed", "new": b"1"}
    source.fail("new", SourceError())
    with pytest.raises(SourceError):
        await mirror.sync()
    assert mirror.index_path.read_bytes() == index
    assert set(mirror.packs) > set(packs), "what was fetched is there"
    assert mirror.held() == FILES


# Listings.


async def test_a_listing_that_fails_retires_nothing(mirror: Syncing, source: ScriptedSource) -> None:
    await mirror.sync()
    source.take_fetches()
    index, packs = mirror.index_path.read_bytes(), mirror.packs
    source.listings.append(SourceError("no listing"))
    with pytest.raises(SourceError, match="no listing"):
        await mirror.sync()
    assert (mirror.index_path.read_bytes(), mirror.packs) == (index, packs)
    assert await mirror.sync() == FILES
    assert source.take_fetches() == []


async def test_a_second_listing_that_fails_retires_nothing_either(
    mirror: Syncing, source: ScriptedSource
) -> None:
    await mirror.sync()
    index = mirror.index_path.read_bytes()
    source.files |= {"new": b"1"}
    source.listings.extend([source.listing | {"gone": ""}, SourceError("no listing")])
    source.take_fetches()
    with pytest.raises(SourceError, match="no listing"):
        await mirror.sync()
    assert mirror.index_path.read_bytes() == index
    assert await mirror.sync() == source.files
    assert source.take_fetches() == ["gone", "new"]


async def test_a_source_that_had_files_and_lists_none_is_refused(
    mirror: Syncing, source: ScriptedSource
) -> None:
    await mirror.sync()
    source.take_fetches()
    index, packs = mirror.index_path.read_bytes(), mirror.packs
    source.listings.append({})
    with pytest.raises(EmptyListingError) as refusal:
        await mirror.sync()
    assert (refusal.value.file, refusal.value.expected) == (source.identity, "some of 6 files")
    assert (mirror.index_path.read_bytes(), mirror.packs) == (index, packs)
    assert await mirror.sync() == FILES
    assert source.take_fetches() == []


async def test_an_empty_listing_is_refused_without_the_index_too(
    mirror: Syncing, source: ScriptedSource
) -> None:
    await mirror.sync()
    mirror.index_path.unlink()
    source.listings.append({})
    with pytest.raises(EmptyListingError):
        await mirror.sync()
    assert not mirror.index_path.exists()


async def test_an_empty_second_listing_is_refused_as_well(mirror: Syncing, source: ScriptedSource) -> None:
    await mirror.sync()
    source.listings.extend([source.listing | {"gone": ""}, {}])
    with pytest.raises(EmptyListingError):
        await mirror.sync()
    assert mirror.held() == FILES


async def test_a_source_that_was_emptied_is_accepted_if_that_is_said(
    mirror: Syncing, source: ScriptedSource
) -> None:
    await mirror.sync()
    (pack,) = mirror.packs
    source.files = {}
    mirror.now += 10
    assert await mirror.sync(accept_empty=True) == {}
    assert mirror.index.retired == {pack.name: mirror.now}
    assert await mirror.sync() == {}, "from then on it is known to be empty"


async def test_a_source_that_had_no_files_may_list_none(mirror: Syncing, source: ScriptedSource) -> None:
    source.files = {}
    assert await mirror.sync() == {}
    assert await mirror.sync() == {}


# Files that vanish.


async def test_a_file_that_vanished_is_looked_for_in_a_new_listing(
    mirror: Syncing, source: ScriptedSource
) -> None:
    source.listings.append(source.listing | {"compacted": tag_of(b"1"), "too": tag_of(b"2")})
    source.files |= {"in their place": b"12"}
    assert await mirror.sync() == source.files
    assert source.take_fetches() == sorted([*source.files, "compacted", "too"]), "and nothing twice"
    assert mirror.told(ListedAgain) == [ListedAgain(2)]
    assert mirror.told(Fetching) == [Fetching(8, 8), Fetching(7, 1)]
    assert source.lists == 2


async def test_a_file_that_is_there_again_is_fetched(mirror: Syncing, source: ScriptedSource) -> None:
    source.fail("a", VanishedError("file is there no more", file="a"))
    assert await mirror.sync() == FILES
    assert source.take_fetches() == sorted([*FILES, "a"])
    assert source.lists == 2


async def test_a_file_that_is_listed_again_and_gone_again_is_an_error(
    mirror: Syncing, source: ScriptedSource
) -> None:
    listing = source.listing | {"gone": ""}
    source.listings.extend([listing] * 3)
    with pytest.raises(UnfetchableError) as error:
        await mirror.sync()
    assert error.value.file == "gone"
    assert source.take_fetches() == sorted([*FILES, "gone", "gone"])
    assert await mirror.sync() == FILES
    assert source.take_fetches() == [], "what was fetched is kept"


async def test_a_file_that_is_gone_twice_and_then_not_listed_is_no_error(
    mirror: Syncing, source: ScriptedSource
) -> None:
    listing = source.listing | {"gone": ""}
    source.listings.extend([listing] * 2)
    assert await mirror.sync() == FILES
    assert source.lists == 3


async def test_a_source_that_never_rests_is_an_error(mirror: Syncing, source: ScriptedSource) -> None:
    source.listings.extend(source.listing | {f"gone {number}": ""} for number in range(MAX_LISTINGS + 1))
    with pytest.raises(UnsettledError) as error:
        await mirror.sync()
    assert error.value.file == source.identity
    assert error.value.found is not None
    assert str(MAX_LISTINGS) in error.value.found
    assert not source.listings
    source.take_fetches()
    assert await mirror.sync() == FILES
    assert source.take_fetches() == [], "what was fetched is kept"


async def test_a_source_that_rests_at_last_is_mirrored(mirror: Syncing, source: ScriptedSource) -> None:
    source.listings.extend(source.listing | {f"gone {number}": ""} for number in range(MAX_LISTINGS - 1))
    assert await mirror.sync() == FILES
    assert len(mirror.told(ListedAgain)) == MAX_LISTINGS - 1


async def test_what_changes_between_two_listings_is_fetched_again(
    mirror: Syncing, source: ScriptedSource
) -> None:
    source.listings.append(source.listing | {"a": "old tag", "gone": ""})
    assert await mirror.sync() == FILES
    assert source.take_fetches() == sorted([*FILES, "a", "gone"])
    assert mirror.index.tags() == source.listing


async def test_a_change_that_was_taken_back_costs_nothing(mirror: Syncing, source: ScriptedSource) -> None:
    await mirror.sync()
    source.take_fetches()
    source.listings.append(source.listing | {"a": "new tag"})
    source.fail("a", VanishedError("file is there no more", file="a"))
    assert await mirror.sync() == FILES
    assert source.take_fetches() == ["a"], "what is held is what is listed in the end"


async def test_a_useless_file_that_vanished_is_not_held_either(
    mirror: Syncing, source: ScriptedSource
) -> None:
    await mirror.sync()
    source.listings.append(source.listing)
    del source.files["a"]
    assert await mirror.sync(refetch={"a"}) == source.files


# Errors of the disk.


async def test_a_full_disk_is_an_error_and_costs_one_pack(
    mirror: Syncing, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache.writer, "PACK_ENTRIES", 2)
    stays_full = True
    writes = itertools.count()
    fsync = os.fsync

    def fsync_until_full(descriptor: int) -> None:
        if stays_full and next(writes) >= 2:  # the first pack, and the name of it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync_until_full)
    with pytest.raises(OSError, match="No space"):
        await mirror.sync(concurrency=2)
    assert len(mirror.packs) == 1
    assert not mirror.index_path.exists()
    stays_full = False
    written = {name for name, _ in mirror.written()}
    assert len(written) >= 2
    source.take_fetches()
    assert await mirror.sync() == FILES
    assert set(source.take_fetches()) == FILES.keys() - written


async def test_an_index_that_cannot_be_saved_costs_nothing(
    mirror: Syncing, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mirror.sync()
    source.files |= {"new": b"1"}
    replace = Path.replace

    def refuse_index(path: Path, target: Path) -> Path:
        if target.name == "index":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse_index)
        with pytest.raises(OSError, match="Input/output"):
            await mirror.sync()
    source.take_fetches()
    assert mirror.held() == FILES
    assert await mirror.sync() == source.files
    assert source.take_fetches() == []


async def test_a_pack_that_is_damaged_before_it_is_merged_is_an_error_once(
    mirror: Syncing, source: ScriptedSource
) -> None:
    source.files = {}
    for number in range(MAX_SMALL_PACKS):
        source.files[str(number)] = b"%d" % number
        await mirror.sync()
    source.files["new"] = b"1"
    gate = source.hold("new")
    work = asyncio.create_task(mirror.sync())
    await gate.reached()
    index = mirror.index_path.read_bytes()
    flip(mirror.packs[3])
    gate.open()
    with pytest.raises(DamagedFileError):
        await work
    assert mirror.index_path.read_bytes() == index
    source.take_fetches()
    assert await mirror.sync() == source.files
    assert len(source.take_fetches()) == 1


# Cancellation.


async def test_a_cancelled_sync_keeps_what_it_fetched(mirror: Syncing, source: ScriptedSource) -> None:
    gates = [source.hold(name) for name in "cd"]
    work = asyncio.create_task(mirror.sync(concurrency=2))
    for gate in gates:
        await gate.reached()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert sorted(source.cancelled) == ["c", "d"]
    assert source.take_fetches() == ["a", "b", "c", "d"]
    for gate in gates:
        gate.open()
    assert await mirror.sync() == FILES
    assert source.take_fetches() == ["c", "d", "e", "f"]


class CancelledSyncs:
    """Syncs of ever new mirrors, each of which is cancelled somewhere.

    Args:
        root: of all of them.
        begin: makes the next one.
    """

    def __init__(self, root: Path, begin: Callable[[Path], Syncing]) -> None:
        self._roots = (root / str(number) for number in itertools.count())
        self._begin = begin
        self._mirror: Syncing | None = None

    def work(self) -> Coroutine[Any, Any, dict[str, bytes]]:
        self._mirror = self._begin(next(self._roots))
        return self._mirror.sync(concurrency=2)

    async def check(self) -> None:
        """The next sync recovers, and fetches nothing again that was written."""
        mirror = self._mirror
        assert mirror is not None
        assert not list(mirror.folder.path.rglob(f"{TEMPORARY_PREFIX}*"))
        written = mirror.written()
        mirror.source.take_fetches()
        assert await mirror.sync() == mirror.source.files
        fetched = {(name, mirror.source.listing.get(name)) for name in mirror.source.take_fetches()}
        assert not fetched & written
        assert mirror.discarded() == []


@pytest.fixture
def packs_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few files are several packs."""
    monkeypatch.setattr(cache.writer, "PACK_ENTRIES", 2)


@pytest.mark.usefixtures("packs_of_two")
async def test_wherever_a_first_sync_is_cancelled_the_next_one_goes_on(tmp_path: Path) -> None:
    def begin(root: Path) -> Syncing:
        source = ScriptedSource(FILES)
        source.listings.append(source.listing | {"gone": ""})
        return Syncing(root, source)

    syncs = CancelledSyncs(tmp_path, begin)
    assert await cancel_at_every_wait(syncs.work, syncs.check) > 12


@pytest.mark.usefixtures("packs_of_two")
async def test_wherever_a_sync_is_cancelled_that_merges_the_next_one_goes_on(tmp_path: Path) -> None:
    old = ScriptedSource({str(number): b"old" for number in range(2 * MAX_SMALL_PACKS)})
    template = Syncing(tmp_path / "template", old)
    for number in range(MAX_SMALL_PACKS):
        template.leave_pack(str(2 * number), str(2 * number + 1))
    await template.sync()
    assert len(template.index.packs) == MAX_SMALL_PACKS

    def begin(root: Path) -> Syncing:
        source = ScriptedSource(old.files | {"0": b"changed", "2": b"changed", "new": b"1", "newer": b"2"})
        del source.files["4"], source.files["5"]
        return template.copied_to(root, source)

    syncs = CancelledSyncs(tmp_path / "copies", begin)
    assert await cancel_at_every_wait(syncs.work, syncs.check) > 10
    mirror = begin(tmp_path / "uncancelled")
    assert await mirror.sync(concurrency=2) == mirror.source.files
    assert len(mirror.index.packs) == 1, "it does merge"
