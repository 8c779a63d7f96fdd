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
    files_of,
    files_of_tidy,
    is_whole,
    mirror_folder,
    pack_paths,
    read,
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
    return Job("", "sync", files, NOW, kill_after=kill_after)


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
    "first sync": Scenario((), sync_of(OLD), Counter(write=6, mkdir=5, fsync=13, replace=4, flock=8)),
    "sync that merges": Scenario(
        (sync_of(OLD),), sync_of(NEW), Counter(write=7, fsync=8, replace=4, flock=8, unlink=4)
    ),
    "prune": Scenario(
        # What every tenth operation of a killed sync left is there to be removed.
        (
            sync_of(OLD),
            sync_of(NEW),
            *(sync_of(NEWEST, kill_after=number) for number in range(1, 110, 10)),
            sync_of(NEWEST),
        ),
        Job("", "prune", NEWEST, NOW),
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


@pytest.mark.parametrize("name", SCENARIOS)
async def test_killed_after_any_operation_it_is_mended(child: Child, tmp_path: Path, name: str) -> None:
    stage = Stage(child, SCENARIOS[name], tmp_path)
    whole = stage.run()
    assert whole.status == 0
    assert Counter(whole.operations) >= SCENARIOS[name].least
    for number in range(1, len(whole.operations) + 1):
        done = stage.run(kill_after=number)
        assert (done.status, done.operations) == (-signal.SIGKILL, whole.operations[:number])
        await check_that_it_is_mended(stage.root, SCENARIOS[name].job.files, whole, done)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_killed_in_the_midst_of_any_write_it_is_mended(child: Child, tmp_path: Path, name: str) -> None:
    stage = Stage(child, SCENARIOS[name], tmp_path)
    whole = stage.run()
    for number, operation in enumerate(whole.operations, start=1):
        if operation == "write":
            done = stage.run(kill_after=number, torn=True)
            assert (done.status, done.operations) == (-signal.SIGKILL, whole.operations[:number])
            await check_that_it_is_mended(stage.root, SCENARIOS[name].job.files, whole, done)


async def check_that_it_is_mended(root: Path, files: dict[str, bytes], whole: Done, killed: Done) -> None:
    """What counts is sound; a sync fetches what is not there and no more; a prune leaves what counts."""
    for state in await survey(root, thorough=True):
        assert state.problems == ()
    source = ModelSource(files)
    missing = source.listing.items() - durable(mirror_folder(root))
    mirror = Mirror(root, source, SyncOptions(now=lambda: NOW))
    for expected in (sorted(name for name, _ in missing), []):
        source.fetches.clear()
        async with mirror.synced() as snapshot:
            assert await read(snapshot) == files
        assert sorted(source.fetches.elements()) == expected
    assert len(killed.fetched) + len(missing) <= len(whole.fetched) + BATCH
    folder = mirror_folder(root)
    assert await prune(folder, Locks(folder.path), grace_seconds=0, now=lambda: NOW) is not None
    assert files_of(root) == files_of_tidy(root)
    assert all(is_whole(path) for path in pack_paths(folder))


def durable(folder: MirrorFolder) -> set[tuple[str, str]]:
    """Names and tags of all files in packs, whatever the index says of them."""
    packs = [decode_pack(path.name, path.read_bytes(), identity=IDENTITY) for path in pack_paths(folder)]
    return {(entry.name, entry.tag) for entries in packs for entry in entries}
