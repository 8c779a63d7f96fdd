"""A folder of mirrors is looked after: what is there, who is at work, what may go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cache.folder import MirrorFolder, mirror_path
from cache.lock import Mode
from cache.mirror import Mirror
from cache.presence import Presence
from cache.sync import SyncOptions
from restore.catalog import mirror_upkeep
from restore.catalog.mirror import MirrorOptions, load_view
from restore.catalog.mirror_source import MetadataSource
from restore.catalog.mirror_upkeep import prune_mirrors, survey_mirrors
from restore.errors import LockedError, ResourceError, UsageError
from restore.report.events import silent
from restore.storage.local import LocalFs
from tests.catalog.metadata import save, versions
from tests.catalog.test_mirror_errors import held_by_another_task

SYNCED_AT = 1_700_000_000.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "mirrors"


def everything_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


async def mirrored(tmp_path: Path, root: Path, name: str = "backup") -> MirrorFolder:
    """The mirror of a backup with two metadata files, of which one came later, in a pack of its own."""
    storage = LocalFs(tmp_path / name)
    for number in range(2):
        await save(storage, f"{number}.meta", versions(number, number))
        await load_view(storage, MirrorOptions(root), concurrency=1)
    return MirrorFolder(mirror_path(root, storage.identity))


async def outdated(tmp_path: Path, root: Path) -> MirrorFolder:
    """A mirror with one pack that nobody needs, besides the two that count."""
    folder = await mirrored(tmp_path, root)
    (tmp_path / "backup" / "metadata" / "0.meta").unlink()
    await save(LocalFs(tmp_path / "backup"), "0.meta", versions(5, 6))
    await load_view(LocalFs(tmp_path / "backup"), MirrorOptions(root), concurrency=1)
    return folder


@pytest.mark.parametrize("made", ["", "mirrors", "mirrors/v1", "mirrors/else"])
async def test_where_no_mirror_is_there_is_nothing_to_tell_or_to_remove(
    tmp_path: Path, root: Path, made: str
) -> None:
    (tmp_path / made).mkdir(parents=True, exist_ok=True)
    before = everything_in(tmp_path)
    assert await survey_mirrors(root, thorough=True) == []
    assert await prune_mirrors(root, grace_seconds=0) == []
    assert everything_in(tmp_path) == before


async def test_a_survey_counts_what_is_there(tmp_path: Path, root: Path) -> None:
    folder = await outdated(tmp_path, root)
    folder.touch_index(SYNCED_AT)
    (state,) = await survey_mirrors(root, thorough=True)
    assert (state.path, state.identity) == (folder.path, f"file://{tmp_path / 'backup'}")
    assert (state.files, state.packs, state.retired_packs) == (2, 2, 1)
    sizes = [folder.stat_pack(file).st_size for file in folder.pack_files()]
    assert state.size + state.retired_size == sum(sizes)
    assert state.synced_at == SYNCED_AT
    assert (state.holders, state.leases, state.problems) == ((), (), ())


async def test_a_survey_tells_who_reads_and_who_locks(tmp_path: Path, root: Path) -> None:
    folder = await mirrored(tmp_path, root)
    source = MetadataSource(LocalFs(tmp_path / "backup"), silent)
    async with Mirror(root, source, SyncOptions()).synced(), held_by_another_task(folder, Mode.SYNC):
        (state,) = await survey_mirrors(root, thorough=False)
    (lease,) = state.leases
    ((mode, holder),) = state.holders
    assert (lease.holder.pid, len(lease.files)) == (os.getpid(), 2)
    assert (mode, holder.pid) == (Mode.SYNC, os.getpid())


async def test_damage_is_a_problem_that_the_next_run_mends(tmp_path: Path, root: Path) -> None:
    folder = await mirrored(tmp_path, root)
    await mirrored(tmp_path, root, "sound")
    (torn, lost) = sorted(folder.path.glob("packs/*"))
    torn.write_bytes(torn.read_bytes()[:-1])
    lost.unlink()
    assert [state.problems for state in await survey_mirrors(root, thorough=False)] == [(), ()]
    states = {state.path: state.problems for state in await survey_mirrors(root, thorough=True)}
    assert sorted(problem.split(":")[0] for problem in states.pop(folder.path)) == [
        "pack is missing",
        "pack is not what its name says",
    ]
    assert list(states.values()) == [()]

    (folder.path / "index").write_bytes(b"")
    problems = [state.problems for state in await survey_mirrors(root, thorough=False)]
    assert sorted(problems) == [(), ("index is damaged",)]

    await mirrored(tmp_path, root)
    assert [state.problems for state in await survey_mirrors(root, thorough=True)] == [(), ()]


async def test_what_is_not_needed_goes_once_its_grace_is_over(tmp_path: Path, root: Path) -> None:
    folder = await outdated(tmp_path, root)
    (early,) = await prune_mirrors(root, grace_seconds=1000)
    assert early.pruned is not None
    assert (early.pruned.packs, early.pruned.size, len(folder.pack_files())) == (0, 0, 3)

    (state,) = await survey_mirrors(root, thorough=False)
    (attempt,) = await prune_mirrors(root, grace_seconds=0)
    assert attempt.pruned is not None
    assert (attempt.pruned.packs, attempt.pruned.size) == (1, state.retired_size)
    assert (attempt.path, attempt.identity) == (folder.path, state.identity)
    assert len(folder.pack_files()) == 2
    (state,) = await survey_mirrors(root, thorough=True)
    assert (state.retired_packs, state.problems) == (0, ())


async def test_what_somebody_reads_stays(tmp_path: Path, root: Path) -> None:
    folder = await mirrored(tmp_path, root)
    storage = LocalFs(tmp_path / "backup")
    async with Mirror(root, MetadataSource(storage, silent), SyncOptions()).synced() as snapshot:
        await outdated(tmp_path, root)
        (attempt,) = await prune_mirrors(root, grace_seconds=0)
        assert attempt.pruned is not None
        assert (attempt.pruned.packs, attempt.pruned.leased, attempt.holders) == (0, 1, ())
        assert sum([len(entries) async for entries in snapshot.packs()]) == 2
    (attempt,) = await prune_mirrors(root, grace_seconds=0)
    assert attempt.pruned is not None
    assert (attempt.pruned.packs, len(folder.pack_files())) == (1, 2)


@pytest.mark.parametrize("mode", Mode)
async def test_where_somebody_is_at_work_nothing_is_removed(tmp_path: Path, root: Path, mode: Mode) -> None:
    busy = await outdated(tmp_path, root)
    await mirrored(tmp_path, root, "idle")
    async with held_by_another_task(busy, mode):
        attempts = {attempt.path: attempt for attempt in await prune_mirrors(root, grace_seconds=0)}
    refused = attempts.pop(busy.path)
    assert (refused.pruned, refused.identity) == (None, f"file://{tmp_path / 'backup'}")
    assert [(held, holder.pid) for held, holder in refused.holders] == [(mode, os.getpid())]
    assert len(busy.pack_files()) == 3
    assert [attempt.pruned is None for attempt in attempts.values()] == [False]


async def test_a_mirror_that_was_killed_while_it_was_made_is_no_failure(root: Path) -> None:
    half_made = mirror_path(root, "file:///backup")
    half_made.mkdir(parents=True)
    (state,) = await survey_mirrors(root, thorough=True)
    assert (state.identity, state.files, state.synced_at, state.problems) == (None, 0, None, ())
    (attempt,) = await prune_mirrors(root, grace_seconds=0)
    assert attempt.pruned is not None
    assert (attempt.path, attempt.identity) == (half_made, None)


async def test_of_a_damaged_index_nothing_is_known(tmp_path: Path, root: Path) -> None:
    folder = await outdated(tmp_path, root)
    (folder.path / "index").write_bytes(b"")
    (attempt,) = await prune_mirrors(root, grace_seconds=0)
    assert attempt.pruned is not None
    assert (attempt.identity, attempt.pruned.packs, len(folder.pack_files())) == (None, 0, 3)


async def test_a_prune_that_hangs_is_named(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await mirrored(tmp_path, root)
    monkeypatch.setattr(mirror_upkeep, "SURVEY_LOCK_SECONDS", 0)
    async with held_by_another_task(folder, Mode.PRUNE):
        with pytest.raises(LockedError) as refusal:
            await survey_mirrors(root, thorough=False)
    assert (refusal.value.found or "").startswith(f"PRUNE by pid {os.getpid()} ")
    assert refusal.value.hint == LockedError.default_hint


async def test_a_file_is_no_folder_of_mirrors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for work in (
        survey_mirrors(tmp_path / "file", thorough=False),
        prune_mirrors(tmp_path / "file", grace_seconds=0),
    ):
        with pytest.raises(UsageError) as refusal:
            await work
        assert refusal.value.message == "metadata cache cannot be used: not a directory"
        assert refusal.value.hint == "name the folder of a metadata cache"


async def test_a_lease_that_cannot_be_read_keeps_everything(tmp_path: Path, root: Path) -> None:
    folder = await outdated(tmp_path, root)
    strange = Presence(folder.leases, "lease", b"?")
    strange.appear()
    try:
        with pytest.raises(ResourceError, match="lease does not parse") as refusal:
            await prune_mirrors(root, grace_seconds=0)
        (state,) = await survey_mirrors(root, thorough=False)
    finally:
        strange.vanish()
    assert "delete the metadata cache folder" in (refusal.value.hint or "")
    assert len(folder.pack_files()) == 3
    assert [problem.split(":")[0] for problem in state.problems] == ["lease does not parse"]
