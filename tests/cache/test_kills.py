"""SIGKILL after every single file operation: nothing is damaged, fetched for nothing or left behind."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import uvloop

from cache.entry import decode_pack
from cache.folder import MirrorFolder
from cache.lock import Locks
from cache.mirror import Mirror
from cache.prune import prune
from cache.survey import survey
from cache.sync import SyncOptions
from tests.cache.kill_child import Child, Done, Job, running
from tests.cache.model import (
    BATCH,
    IDENTITY,
    NOW,
    ModelSource,
    check,
    files_of,
    files_of_tidy,
    is_whole,
    mirror_folder,
    pack_paths,
    saved_index,
    use_small_bounds,
)

OLD = {f"file{number}": b"old content %d" % number for number in range(2 * BATCH)}
NEW = {
    **{f"file{number}": b"old content %d" % number for number in (2, 3)},
    **{f"file{number}": b"new content %d" % number for number in (4, 5)},
    **{f"added{number}": b"added content %d" % number for number in range(4)},
}
NEWEST = NEW | {f"last{number}": b"last content %d" % number for number in range(4)}


def sync_of(files: dict[str, bytes], *, kill_after: int | None = None) -> Job:
    """A sync, in a folder to be named."""
    return Job(root="", action="sync", files=files, now=NOW, kill_after=kill_after)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is killed.

    Attributes:
        before: what was done in the folder before.
        job: what is killed.
        least: how many operations of each name it has at least: else nothing much is tried.
    """

    before: tuple[Job, ...]
    job: Job
    least: Counter[str]


SCENARIOS = {
    "first sync": Scenario((), sync_of(OLD), Counter(write=8, mkdir=5, fsync=15, replace=5, flock=8)),
    "sync that merges": Scenario(
        (sync_of(OLD),), sync_of(NEW), Counter(write=8, fsync=10, replace=5, flock=8, unlink=4)
    ),
    "sync without news": Scenario((sync_of(OLD),), sync_of(OLD), Counter(utime=1, flock=8, unlink=4)),
    "prune": Scenario(
        # What every tenth operation of a killed sync left is there to be removed.
        (
            sync_of(OLD),
            sync_of(NEW),
            *(sync_of(NEWEST, kill_after=number) for number in range(1, 110, 10)),
            sync_of(NEWEST),
        ),
        Job(root="", action="prune", files=NEWEST, now=NOW),
        Counter(unlink=12, fsync=3, write=2, replace=1, flock=3),
    ),
}


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    """A child that is forked for each kill."""
    with running() as running_child:
        yield running_child


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_bounds(monkeypatch.setattr)


class Stage:
    """The folder of a scenario, again and again as it was before the kill; all on the test's kind of loop."""

    def __init__(self, child: Child, scenario: Scenario, folder: Path) -> None:
        self._child = child
        self._scenario = scenario
        self._template = folder / "template"
        self._template.mkdir()
        self._run(self._template, *scenario.before)
        self.root = folder / "root"

    def run(self, *, kill_after: int | None = None, torn: bool = False) -> Done:
        """Does the scenario's job in a new copy of the folder."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._template, self.root)
        job = msgspec.structs.replace(self._scenario.job, kill_after=kill_after, torn=torn)
        (done,) = self._run(self.root, job)
        return done

    def _run(self, root: Path, *jobs: Job) -> list[Done]:
        on_uvloop = isinstance(asyncio.get_running_loop(), uvloop.Loop)
        return [
            self._child.do(msgspec.structs.replace(job, root=str(root), on_uvloop=on_uvloop)) for job in jobs
        ]


@pytest.mark.parametrize("torn", [False, True], ids=["after any operation", "within any write"])
@pytest.mark.parametrize("name", SCENARIOS)
async def test_whatever_is_killed_is_mended(child: Child, tmp_path: Path, name: str, torn: bool) -> None:
    scenario = SCENARIOS[name]
    stage = Stage(child, scenario, tmp_path)
    whole = stage.run()
    assert whole.status == 0
    assert Counter(whole.operations) >= scenario.least
    for number, operation in enumerate(whole.operations, start=1):
        if torn and operation != "write":
            continue
        killed = stage.run(kill_after=number, torn=torn)
        assert (killed.status, killed.operations) == (-signal.SIGKILL, whole.operations[:number])
        await check_what_is_left(stage.root, scenario.job)
        fetched = await check_sync(stage.root, scenario.job.files)
        assert len(killed.fetched) + fetched <= len(whole.fetched) + BATCH
        await check_prune(stage.root)


async def check_what_is_left(root: Path, job: Job) -> None:
    """What counts is sound; and a killed prune leaves nothing that a sync would take over."""
    for state in await survey(root, thorough=True):
        assert state.problems == ()
    if job.action == "prune":
        folder = mirror_folder(root)
        index = saved_index(folder)
        known = {pack.file for pack in index.packs} | index.retired.keys()
        assert {path.name for path in pack_paths(folder)} <= known


async def check_sync(root: Path, files: dict[str, bytes]) -> int:
    """A sync fetches what is not there and nothing else, another one nothing. Returns how much."""
    source = ModelSource(files)
    missing = sorted(name for name, _ in source.listing.items() - durable(mirror_folder(root)))
    for expected in (missing, []):
        source.fetches.clear()
        async with Mirror(root, source, SyncOptions(now=lambda: NOW)).synced() as snapshot:
            await check(snapshot, files)
        assert sorted(source.fetches.elements()) == expected
    return len(missing)


async def check_prune(root: Path) -> None:
    """A prune leaves what counts, and nothing else."""
    folder = mirror_folder(root)
    assert await prune(folder, Locks(folder.path), grace_seconds=0, now=lambda: NOW) is not None
    assert files_of(root) == files_of_tidy(root)
    assert all(is_whole(path) for path in pack_paths(folder))


def durable(folder: MirrorFolder) -> set[tuple[str, str]]:
    """Names and tags of all files in packs, whatever the index says of them."""
    packs = [decode_pack(path.name, path.read_bytes(), identity=IDENTITY) for path in pack_paths(folder)]
    return {(entry.name, entry.tag) for entries in packs for entry in entries}
