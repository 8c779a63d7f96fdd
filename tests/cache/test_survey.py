"""A survey: says what is there, who is at work, and what is wrong, while others go on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cache.errors import LockTimeoutError
from cache.index import PackRecord
from cache.lease import Lease, leased
from cache.lock import Mode
from cache.presence import Presence
from cache.survey import MirrorState, survey
from tests.cache.folder_source import FolderSource
from tests.cache.lock_parties import held_elsewhere
from tests.cache.mirror_parties import party_here, party_there
from tests.cache.sources import ScriptedSource
from tests.cache.syncing import DAMAGES, Syncing, cut, empty, extend, flip
from tests.conftest import open_descriptors
from tests.contracts.cancelling import cancel_at_every_wait

FILES = {"a": b"1", "b": b"22"}


@pytest.fixture
async def mirror(tmp_path: Path) -> Syncing:
    """A mirror of two files in one pack."""
    mirror = Syncing(tmp_path, ScriptedSource(FILES))
    await mirror.sync()
    return mirror


async def look(root: Path, *, thorough: bool = True) -> MirrorState:
    (state,) = await survey(root, thorough=thorough, timeout_seconds=0)
    return state


def contents(root: Path) -> dict[Path, tuple[bytes, int]]:
    """All files, with the time of their last change."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


# What is there.


async def test_where_nothing_is_there_is_nothing_to_say(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        assert await survey(root, thorough=True) == []


@pytest.mark.parametrize("thorough", [True, False])
async def test_a_sound_mirror_is_told_with_its_figures(
    tmp_path: Path, mirror: Syncing, thorough: bool
) -> None:
    mirror.folder.touch_index(2000.0)
    (pack,) = mirror.packs
    assert await look(tmp_path, thorough=thorough) == MirrorState(
        path=mirror.folder.path,
        identity="memory:",
        files=2,
        packs=1,
        size=pack.stat().st_size,
        retired_packs=0,
        retired_size=0,
        synced_at=2000.0,
        leases=(),
        holders=(),
        problems=(),
    )


async def test_retired_packs_are_counted_apart(tmp_path: Path, mirror: Syncing) -> None:
    (old,) = mirror.packs
    mirror.source.files = {"c": b"333"}
    await mirror.sync()
    state = await look(tmp_path)
    (new,) = [path for path in mirror.packs if path != old]
    assert (state.files, state.packs, state.size) == (1, 1, new.stat().st_size)
    assert (state.retired_packs, state.retired_size) == (1, old.stat().st_size)
    old.unlink()
    state = await look(tmp_path)
    assert (state.retired_packs, state.retired_size, state.problems) == (1, 0, ())


async def test_a_mirror_that_was_never_synchronised_is_empty(tmp_path: Path) -> None:
    mirror = Syncing(tmp_path, ScriptedSource(FILES))
    state = await look(tmp_path)
    assert (state.path, state.identity, state.synced_at) == (mirror.folder.path, None, None)
    assert (state.files, state.packs, state.size, state.problems) == (0, 0, 0, ())


async def test_packs_that_no_index_knows_do_not_count(tmp_path: Path, mirror: Syncing) -> None:
    mirror.leave_pack("a")
    before = await look(tmp_path)
    assert (before.files, before.packs, before.problems) == (2, 1, ())


async def test_each_mirror_is_told(tmp_path: Path, mirror: Syncing) -> None:
    other = Syncing(tmp_path, ScriptedSource({"a": b"another"}, identity="memory:other"))
    await other.sync()
    flip(other.packs[0])
    states = {state.identity: state for state in await survey(tmp_path, thorough=True)}
    assert states.keys() == {"memory:", "memory:other"}
    assert states["memory:"].problems == ()
    assert len(states["memory:other"].problems) == 1
    assert [state.path for state in states.values()] == sorted(state.path for state in states.values())


# What is wrong.


@pytest.mark.parametrize("damage", [*DAMAGES])
async def test_only_a_thorough_look_finds_a_damaged_pack(
    tmp_path: Path, mirror: Syncing, damage: Callable[[Path], object]
) -> None:
    (pack,) = mirror.packs
    damage(pack)
    assert (await look(tmp_path, thorough=False)).problems == ()
    state = await look(tmp_path)
    (problem,) = state.problems
    assert problem.startswith(
        "pack is missing: " if damage is Path.unlink else "pack is not what its name says: "
    )
    assert f"file {pack.name}" in problem
    assert (state.files, state.packs) == (2, 1)
    await mirror.sync()
    assert (await look(tmp_path)).problems == ()


async def test_a_pack_of_another_source_is_found(tmp_path: Path, mirror: Syncing) -> None:
    foreign = mirror.leave_pack("a", identity="memory:other")
    record = PackRecord(foreign.name, foreign.stat().st_size, 1, {"c": ""})
    mirror.folder.save_index(msgspec.structs.replace(mirror.index, packs=(*mirror.index.packs, record)))
    (problem,) = (await look(tmp_path)).problems
    assert problem.startswith(f"pack is of another source: file {foreign.name}, ")


async def test_files_that_the_index_promises_and_no_pack_has_are_found(
    tmp_path: Path, mirror: Syncing
) -> None:
    (pack,) = mirror.index.packs
    live = pack.live | {"a": "another tag", "c": "not there"}
    mirror.folder.save_index(
        msgspec.structs.replace(mirror.index, packs=(msgspec.structs.replace(pack, live=live),))
    )
    assert (await look(tmp_path)).problems == (f"pack lacks 2 files of the index: file {pack.file}",)


async def test_all_damaged_packs_are_told(tmp_path: Path, mirror: Syncing) -> None:
    mirror.source.files["c"] = b"333"
    await mirror.sync()
    for pack in mirror.packs:
        cut(pack)
    problems = (await look(tmp_path)).problems
    assert len(problems) == 2
    assert all(any(pack.name in problem for problem in problems) for pack in mirror.packs)


@pytest.mark.parametrize("damage", [flip, cut, extend, empty])
@pytest.mark.parametrize("thorough", [True, False])
async def test_a_damaged_index_is_a_problem(
    tmp_path: Path, mirror: Syncing, damage: Callable[[Path], object], thorough: bool
) -> None:
    damage(mirror.index_path)
    state = await look(tmp_path, thorough=thorough)
    assert state.problems == ("index is damaged",)
    assert (state.identity, state.files, state.packs, state.retired_packs) == (None, 0, 0, 0)
    assert state.synced_at is not None


@pytest.mark.parametrize("content", [b"", b"garbage"])
async def test_a_living_lease_that_cannot_be_read_is_a_problem(
    tmp_path: Path, mirror: Syncing, content: bytes
) -> None:
    presence = Presence(mirror.folder.leases, "lease", content)
    presence.appear()
    try:
        state = await look(tmp_path, thorough=False)
    finally:
        presence.vanish()
    (problem,) = state.problems
    assert problem.startswith("lease does not parse: ")
    assert str(presence.file) in problem
    assert (state.leases, state.files) == ((), 2)


# Who is at work.


async def test_readers_and_holders_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FolderSource(tmp_path)
    source.put(a="1")
    root = tmp_path / "mirrors"
    async with party_here(root, source, monkeypatch.setattr) as writer:
        with party_there(root, source) as reader:
            assert await reader.ask("open") == "opened, 1 fetched, 0 discarded"
            source.put(a="1", b="2")
            assert await writer.ask("halfway in a pack: open") == "halted"
            state = await look(root)
            (lease,) = state.leases
            assert lease.holder.pid == reader.process.pid
            assert lease.holder.host == os.uname().nodename
            assert len(lease.files) == 1
            assert sorted(mode.name for mode, _ in state.holders) == ["READ", "SYNC"]
            assert {holder.pid for _, holder in state.holders} == {os.getpid()}
            assert (state.files, state.problems) == (1, ())
            assert await writer.ask("go on") == "opened, 1 fetched, 0 discarded"
            state = await look(root)
            assert {lease.holder.pid for lease in state.leases} == {os.getpid(), reader.process.pid}
            assert (state.files, state.holders) == (2, ())
            await reader.kill()
            state = await look(root)
            assert [lease.holder.pid for lease in state.leases] == [os.getpid()]


@pytest.mark.parametrize("content", [b"", b'{"pid":1,"host":"\xff"}', b'{"more":' + b"[" * 99_999], ids=len)
async def test_a_holder_that_cannot_be_read_is_not_named(
    tmp_path: Path, mirror: Syncing, content: bytes
) -> None:
    presence = Presence(mirror.folder.holders, Mode.READ.value, content)
    presence.appear()
    try:
        state = await look(tmp_path)
    finally:
        presence.vanish()
    assert (state.holders, state.problems) == ((), ())


async def test_a_lease_says_which_packs(tmp_path: Path, mirror: Syncing) -> None:
    (pack,) = mirror.packs
    async with leased(mirror.folder, [pack.name]):
        (lease,) = (await look(tmp_path)).leases
    assert lease == Lease(lease.holder, frozenset({pack.name}))


@pytest.mark.parametrize("mode", [Mode.READ, Mode.SYNC])
async def test_others_who_read_and_synchronise_do_not_wait_nor_are_waited_for(
    tmp_path: Path, mirror: Syncing, mode: Mode
) -> None:
    async with held_elsewhere(mirror.folder.path, mode):
        state = await look(tmp_path)
    assert [held for held, _ in state.holders] == [mode]


async def test_a_prune_is_waited_for_and_named_in_time(tmp_path: Path, mirror: Syncing) -> None:
    async with held_elsewhere(mirror.folder.path, Mode.PRUNE):
        with pytest.raises(LockTimeoutError) as late:
            await look(tmp_path)
    assert late.value.file == str(mirror.folder.path)
    assert f"PRUNE by pid {os.getpid()}" in str(late.value)


async def test_nothing_is_changed(tmp_path: Path, mirror: Syncing) -> None:
    (pack,) = mirror.packs
    flip(pack)
    mirror.leave_pack("b")
    (mirror.folder.leases / "lease-dead").touch()
    await look(tmp_path)  # makes the file of the lock
    before = contents(tmp_path)
    await look(tmp_path)
    assert contents(tmp_path) == before


async def test_whoever_is_cancelled_at_any_wait_holds_nothing(tmp_path: Path, mirror: Syncing) -> None:
    await look(tmp_path)
    descriptors = open_descriptors()

    async def check() -> None:
        assert open_descriptors() == descriptors
        assert (await look(tmp_path)).holders == ()

    assert await cancel_at_every_wait(lambda: survey(tmp_path, thorough=True), check) >= 4
