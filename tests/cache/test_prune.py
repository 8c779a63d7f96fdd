"""Pruning: what is retired for long enough and leased by nobody goes, if nobody is at work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.atomic import TEMPORARY_PREFIX
from cache.errors import DamagedFileError, LockOrderError
from cache.folder import MirrorFolder
from cache.index import Index
from cache.lease import leased
from cache.lock import Locks, Mode
from cache.presence import Presence
from cache.prune import GRACE_SECONDS, Pruned, prune
from tests.cache.lock_child import Child, running
from tests.cache.lock_parties import held_elsewhere, never
from tests.cache.sources import ScriptedSource
from tests.cache.syncing import Syncing, flip
from tests.conftest import open_descriptors
from tests.contracts.cancelling import cancel_at_every_wait

RETIRED_AT = 5000.0

NOTHING = Pruned(packs=0, size=0, leftovers=0, leased=0)


@pytest.fixture
async def mirror(tmp_path: Path) -> Syncing:
    """A mirror with one live pack, of "new", and one that retired at `RETIRED_AT`."""
    mirror = Syncing(tmp_path, ScriptedSource({"old": b"old"}))
    await mirror.sync()
    await retire(mirror, {"new": b"new"})
    return mirror


async def retire(mirror: Syncing, files: dict[str, bytes]) -> str:
    """Has the source replaced; returns the name of the pack that retired."""
    (pack,) = mirror.index.packs
    mirror.source.files = files
    mirror.now = RETIRED_AT
    await mirror.sync()
    assert mirror.index.retired[pack.file] == RETIRED_AT
    return pack.file


async def prune_at(mirror: Syncing, now: float, *, grace_seconds: float = GRACE_SECONDS) -> Pruned | None:
    locks = Locks(mirror.folder.path)
    return await prune(mirror.folder, locks, grace_seconds=grace_seconds, now=lambda: now)


async def prune_all(mirror: Syncing) -> Pruned | None:
    return await prune_at(mirror, RETIRED_AT, grace_seconds=0)


def saved(mirror: Syncing) -> Index:
    index = mirror.folder.load_index(identity=mirror.source.identity)
    assert index is not None
    return index


def retired(mirror: Syncing) -> str:
    (file,) = saved(mirror).retired
    return file


# Which packs go.


async def test_a_pack_goes_when_its_grace_is_over(mirror: Syncing) -> None:
    file = retired(mirror)
    size = mirror.folder.pack_size(file)
    assert await prune_at(mirror, RETIRED_AT + GRACE_SECONDS - 1) == NOTHING
    assert mirror.folder.pack_size(file) == size
    assert await prune_at(mirror, RETIRED_AT + GRACE_SECONDS) == Pruned(1, size or 0, 0, 0)
    assert mirror.folder.pack_files() == {pack.file for pack in mirror.index.packs}
    assert saved(mirror).retired == {}
    assert await prune_at(mirror, RETIRED_AT + GRACE_SECONDS) == NOTHING
    assert mirror.held() == {"new": b"new"}


async def test_each_pack_has_a_grace_of_its_own(mirror: Syncing) -> None:
    first = retired(mirror)
    (second,) = [pack.file for pack in mirror.index.packs]
    mirror.source.files = {"newer": b"newer"}
    mirror.now = RETIRED_AT + 10
    await mirror.sync()
    assert saved(mirror).retired == {first: RETIRED_AT, second: RETIRED_AT + 10}
    pruned = await prune_at(mirror, RETIRED_AT + 19, grace_seconds=10)
    assert pruned is not None
    assert pruned.packs == 1
    assert saved(mirror).retired == {second: RETIRED_AT + 10}
    assert mirror.folder.pack_size(first) is None
    assert mirror.folder.pack_size(second) is not None


async def test_when_the_mirror_was_synchronised_is_not_forgotten(mirror: Syncing) -> None:
    mirror.folder.touch_index(RETIRED_AT)
    pruned = await prune_all(mirror)
    assert pruned is not None
    assert pruned.packs == 1
    assert mirror.folder.synced_at() == RETIRED_AT


async def test_a_clock_that_goes_backwards_removes_nothing(mirror: Syncing) -> None:
    assert await prune_at(mirror, RETIRED_AT - 1e6) == NOTHING


async def test_a_leased_pack_stays_until_the_last_lease_ends(mirror: Syncing) -> None:
    file = retired(mirror)
    async with leased(mirror.folder, [file]):
        async with leased(mirror.folder, [file]):
            assert await prune_all(mirror) == Pruned(0, 0, 0, leased=1)
        assert await prune_all(mirror) == Pruned(0, 0, 0, leased=1)
        assert retired(mirror) == file
    pruned = await prune_all(mirror)
    assert pruned is not None
    assert (pruned.packs, pruned.leased) == (1, 0)


async def test_of_two_packs_the_one_that_is_leased_stays_and_is_not_forgotten(mirror: Syncing) -> None:
    first = retired(mirror)
    second = await retire(mirror, {"newer": b"newer"})
    async with leased(mirror.folder, [first]):
        pruned = await prune_all(mirror)
    assert pruned is not None
    assert (pruned.packs, pruned.leased) == (1, 1)
    assert retired(mirror) == first
    assert mirror.folder.pack_files() == {first, *(pack.file for pack in mirror.index.packs)} - {second}


async def test_a_lease_of_other_packs_keeps_nothing(mirror: Syncing) -> None:
    async with leased(mirror.folder, [pack.file for pack in mirror.index.packs]):
        pruned = await prune_all(mirror)
    assert pruned is not None
    assert (pruned.packs, pruned.leased) == (1, 0)


async def test_a_pack_that_is_leased_and_not_due_is_not_counted(mirror: Syncing) -> None:
    async with leased(mirror.folder, [retired(mirror)]):
        assert await prune_at(mirror, RETIRED_AT, grace_seconds=1) == NOTHING


@pytest.mark.parametrize("content", [b"", b"garbage"])
async def test_where_a_living_lease_cannot_be_read_nothing_is_removed(
    mirror: Syncing, content: bytes
) -> None:
    left = mirror.packs[0].with_name(f"{TEMPORARY_PREFIX}left")
    left.touch()
    presence = Presence(mirror.folder.leases, "lease", content)
    presence.appear()
    try:
        with pytest.raises(DamagedFileError, match=r"^lease does not parse: ") as damage:
            await prune_all(mirror)
    finally:
        presence.vanish()
    assert damage.value.file == str(presence.file)
    assert len(mirror.packs) == 2
    assert left.exists()
    pruned = await prune_all(mirror)
    assert pruned is not None
    assert (pruned.packs, pruned.leftovers) == (1, 1)


# Others at work.


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Another process that takes locks."""
    folder = MirrorFolder(tmp_path_factory.mktemp("mirrors") / "v1" / "mirror")
    folder.create()
    with running(folder.path) as running_child:
        yield running_child


@pytest.mark.parametrize("mode", Mode)
async def test_while_another_task_is_at_work_nothing_is_removed_and_nobody_waits(
    mirror: Syncing, mode: Mode
) -> None:
    async with held_elsewhere(mirror.folder.path, mode):
        assert await prune(mirror.folder, Locks(mirror.folder.path, sleep=never), grace_seconds=0) is None
        assert len(mirror.packs) == 2
    assert await prune(mirror.folder, Locks(mirror.folder.path, sleep=never), grace_seconds=0) is not None
    assert len(mirror.packs) == 1


@pytest.mark.parametrize("mode", Mode)
async def test_while_another_process_is_at_work_nothing_is_removed_and_nobody_waits(
    child: Child, mode: Mode
) -> None:
    folder = MirrorFolder(child.folder)
    left = folder.path / f"{TEMPORARY_PREFIX}left"
    left.touch()
    assert child.ask(f"hold {mode.name}") == "held"
    assert await prune(folder, Locks(folder.path, sleep=never)) is None
    assert left.exists()
    assert child.ask("release") == "released"
    assert await prune(folder, Locks(folder.path, sleep=never)) == Pruned(0, 0, leftovers=1, leased=0)
    assert not left.exists()


async def test_whoever_holds_a_lock_may_not_prune(mirror: Syncing) -> None:
    async with Locks(mirror.folder.path).hold(Mode.READ):
        with pytest.raises(LockOrderError):
            await prune_all(mirror)
    assert len(mirror.packs) == 2


# What killed processes left.


async def test_what_killed_processes_left_is_removed_at_once(mirror: Syncing) -> None:
    path = mirror.folder.path
    left = [
        path / f"{TEMPORARY_PREFIX}index",
        path / "packs" / f"{TEMPORARY_PREFIX}pack",
        path / "leases" / "lease-dead",
        path / "leases" / f"{TEMPORARY_PREFIX}lease",
        path / "holders" / "read-dead",
        path / "holders" / f"{TEMPORARY_PREFIX}holder",
    ]
    for file in left:
        file.touch()
    unknown = path / "packs" / "no pack.txt"
    unknown.touch()
    async with leased(mirror.folder, []):
        pruned = await prune_at(mirror, RETIRED_AT)
    assert pruned == Pruned(0, 0, leftovers=len(left), leased=0)
    assert not any(file.exists() for file in left)
    assert unknown.exists()
    assert len(mirror.packs) == 2


async def test_in_the_folder_that_mirrors_share_half_written_files_have_a_grace(mirror: Syncing) -> None:
    left = mirror.folder.path.parent / f"{TEMPORARY_PREFIX}left"
    left.touch()
    os.utime(left, (100, 100))
    assert await prune_at(mirror, 109, grace_seconds=10) == NOTHING
    assert await prune_at(mirror, 110, grace_seconds=10) == Pruned(0, 0, leftovers=1, leased=0)


async def test_packs_that_no_index_knows_stay(mirror: Syncing) -> None:
    mirror.source.files["killed"] = b"killed"
    unknown = mirror.leave_pack("killed")
    pruned = await prune_all(mirror)
    assert pruned is not None
    assert pruned.packs == 1
    assert unknown.exists()
    mirror.source.take_fetches()
    assert await mirror.sync() == {"new": b"new", "killed": b"killed"}
    assert mirror.source.take_fetches() == []


# What befell before, or befalls meanwhile.


async def test_of_an_index_that_is_damaged_or_missing_no_pack_is_known_to_be_retired(mirror: Syncing) -> None:
    for damage in (flip, Path.unlink):
        damage(mirror.index_path)
        assert await prune_all(mirror) == NOTHING
        assert len(mirror.packs) == 2
    mirror.source.take_fetches()
    assert await mirror.sync() == {"new": b"new"}
    assert mirror.source.take_fetches() == []
    pruned = await prune_all(mirror)
    assert pruned is not None
    assert pruned.packs == 1


async def test_a_mirror_of_which_nothing_is_there_yet_is_pruned_of_nothing(tmp_path: Path) -> None:
    folder = MirrorFolder(tmp_path / "v1" / "mirror")
    folder.create()
    assert await prune(folder, Locks(folder.path)) == NOTHING


class Killed(BaseException):
    """Ends a prune where a kill would."""


async def test_what_was_removed_before_a_kill_is_no_problem_for_those_who_come_later(
    mirror: Syncing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(self: MirrorFolder, index: Index) -> None:
        raise Killed

    file = retired(mirror)
    with monkeypatch.context() as patched:
        patched.setattr(MirrorFolder, "save_index", kill)
        with pytest.raises(Killed):
            await prune_all(mirror)
    assert mirror.folder.pack_size(file) is None
    assert retired(mirror) == file
    index = mirror.index_path.read_bytes()

    assert await prune_all(mirror) == Pruned(packs=1, size=0, leftovers=0, leased=0)
    assert saved(mirror).retired == {}

    mirror.index_path.write_bytes(index)
    assert await mirror.sync() == {"new": b"new"}
    assert mirror.discarded() == []
    assert saved(mirror).retired == {}


async def test_a_prune_that_fails_half_way_is_finished_by_the_next_one(
    mirror: Syncing, monkeypatch: pytest.MonkeyPatch
) -> None:
    await retire(mirror, {"newer": b"newer"})
    remove_pack = MirrorFolder.remove_pack
    removed: list[str] = []

    def fail_at_the_second(self: MirrorFolder, file: str) -> int:
        if removed:
            raise PermissionError(file)
        removed.append(file)
        return remove_pack(self, file)

    with monkeypatch.context() as patched:
        patched.setattr(MirrorFolder, "remove_pack", fail_at_the_second)
        with pytest.raises(PermissionError):
            await prune_all(mirror)
    assert len(mirror.packs) == 2
    pruned = await prune_all(mirror)
    assert pruned is not None
    assert pruned.packs == 2
    assert [path.name for path in mirror.packs] == [pack.file for pack in mirror.index.packs]


async def test_a_prune_that_is_cancelled_at_any_wait_has_noted_what_it_removed(mirror: Syncing) -> None:
    descriptors = open_descriptors()
    numbers = iter(range(1000))
    was_removed: list[bool] = []

    async def check() -> None:
        assert open_descriptors() == descriptors
        assert list(mirror.folder.holders.iterdir()) == []
        index = saved(mirror)
        assert mirror.folder.pack_files() == {pack.file for pack in index.packs} | index.retired.keys()
        was_removed.append(not index.retired)
        await retire(mirror, {f"{next(numbers)}": b""})

    assert await cancel_at_every_wait(lambda: prune_all(mirror), check) >= 3
    assert set(was_removed) == {False, True}
