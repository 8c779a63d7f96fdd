"""Commands that share a metadata cache: each file is downloaded once, and nobody fails by what others do."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import FaultPlan, FaultServer
from benchmarks.stress.ending import check_ending
from benchmarks.stress.running import StressError, run_actors
from benchmarks.stress.scene import SPEC, Actor, Scene, command, loop, make_scene
from cache.folder import MirrorFolder, mirror_path
from cache.lock import Locks, Mode
from restore.sample.spec import SampleSpec
from tests.restoring.remote import BUCKET, Published, nothing_but_the_loopback, publish
from tests.restoring.watching import PROGRAM

STRESS_SECONDS = 6.0
"""Enough for some rounds of everybody."""

MANY_FILES = SampleSpec(
    state_items=100,
    epochs=4,
    transactions=60,
    head_transactions=6,
    snapshot_chunks=1,
    transactions_per_backup=2,
)
"""Some dozens of metadata files, and little besides."""

BOOTSTRAP, VERIFY = ("bootstrap-db", "--dry-run"), ("verify",)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(MANY_FILES, tmp_path_factory.mktemp("shared"), "many")


@pytest.fixture
def scene(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Scene:
    return make_scene(SPEC, tmp_path_factory.getbasetemp(), tmp_path)


class Shared:
    """A served backup, and the folder that its readers share."""

    def __init__(self, published: Published, server: FaultServer, cache: Path) -> None:
        self._published = published
        self._server = server
        self._cache = cache
        self._url = f"{server.url}/{BUCKET}/{published.folder.name}"

    @property
    def files(self) -> set[str]:
        """Paths of all metadata files at the server."""
        metadata = self._published.folder / "metadata"
        return {
            f"/{BUCKET}/{self._published.folder.name}/metadata/{path.name}" for path in metadata.iterdir()
        }

    @property
    def requests(self) -> Counter[str]:
        """How often each metadata file was asked for."""
        return Counter(served.path for served in self._server.log if re.search("/metadata/.", served.path))

    @property
    def listings(self) -> int:
        """How often they were listed."""
        return sum(served.path.endswith("/metadata/") for served in self._server.log)

    @property
    def folder(self) -> MirrorFolder:
        """Where they are kept."""
        return MirrorFolder(mirror_path(self._cache, self._url))

    async def run(self, arguments: tuple[str, ...]) -> dict[str, Any]:
        """Runs a command to a good end; returns its result."""
        flags = [f"--storage={self._url}", f"--metadata-cache-dir={self._cache}", "--output=json"]
        process = await asyncio.create_subprocess_exec(
            *(PROGRAM, *arguments, *flags, f"--trust-waypoint={self._published.waypoint}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **nothing_but_the_loopback()},
        )
        output, messages = await process.communicate()
        assert process.returncode == 0, messages.decode()
        result: dict[str, Any] = json.loads(output)
        return result

    async def wait_for_readers(self, locks: Locks, count: int) -> None:
        """Returns when so many hold READ: they are about to synchronise."""
        async with asyncio.timeout(30):
            while sum(mode is Mode.READ for mode, _ in await locks.holders()) < count:  # noqa: ASYNC110  other processes
                await asyncio.sleep(0.01)


async def test_two_restores_and_a_verify_at_once_download_each_metadata_file_once(
    published: Published, tmp_path: Path
) -> None:
    async with FaultServer(published.folder.parents[1], FaultPlan()) as server:
        shared = Shared(published, server, tmp_path / "cache")
        shared.folder.create()
        locks = Locks(shared.folder.path)
        async with asyncio.TaskGroup() as group, locks.hold(Mode.SYNC):
            runs = [group.create_task(shared.run(what)) for what in (BOOTSTRAP, BOOTSTRAP, VERIFY)]
            await shared.wait_for_readers(locks, len(runs))
            assert not shared.requests
        results = [run.result() for run in runs]
        assert [result["target_version"] for result in results] == [MANY_FILES.last_version] * 3
        # On a busy machine an answer may be late, and be asked for a second time.
        asked_again = sum(result["hedges"] + result["retries"] for result in results)
        assert shared.requests.keys() == shared.files
        assert shared.requests.total() <= len(shared.files) + asked_again
        assert shared.listings == len(runs)


async def test_a_second_run_downloads_no_metadata_file(published: Published, tmp_path: Path) -> None:
    async with FaultServer(published.folder.parents[1], FaultPlan()) as server:
        shared = Shared(published, server, tmp_path / "cache")
        await shared.run(BOOTSTRAP)
        before = shared.requests
        assert before.keys() == shared.files
        await shared.run(VERIFY)
        assert shared.requests == before
        assert shared.listings == 2


async def test_without_a_shared_folder_each_run_downloads_all_metadata(
    published: Published, tmp_path: Path
) -> None:
    """What the other tests count is not always one."""
    async with FaultServer(published.folder.parents[1], FaultPlan()) as server:
        await Shared(published, server, tmp_path / "first").run(VERIFY)
        shared = Shared(published, server, tmp_path / "second")
        await shared.run(VERIFY)
        assert all(shared.requests[file] >= 2 for file in shared.files)


# Stress


def run_stress(scene: Scene, *actors: Actor, seconds: float) -> Counter[str]:
    return asyncio.run(run_actors(actors, scene.over, seconds=seconds, seed=1))


def test_whoever_shares_a_folder_with_killed_processes_a_compaction_and_a_pruner_does_not_fail(
    scene: Scene,
) -> None:
    counts = run_stress(
        scene,
        command("dry runs", scene, "bootstrap-db", "--dry-run"),
        loop("verifying", scene),
        loop("slow-reading", scene),
        loop("compacting", scene, may_be_killed=False),
        loop("pruning", scene),
        seconds=STRESS_SECONDS,
    )
    assert counts["compactions"]
    assert asyncio.run(check_ending(scene)).files


def test_a_process_that_fails_ends_the_stress_with_its_words(scene: Scene) -> None:
    failing = replace(
        loop("verifying", scene),
        command=[sys.executable, "-c", "raise SystemExit('not as it should be')"],
        may_be_killed=False,
    )
    endless = replace(loop("pruning", scene), command=["sleep", "infinity"], may_be_killed=False)
    with pytest.raises(StressError, match="exited 1:\nnot as it should be"):
        run_stress(scene, failing, endless, seconds=60)


def test_a_process_that_comes_to_something_else_ends_the_stress(scene: Scene) -> None:
    another = replace(scene, last_version=scene.last_version - 1)
    with pytest.raises(StressError, match=f"came to version {scene.last_version}"):
        run_stress(scene, replace(command("verifies", another, "verify"), may_be_killed=False), seconds=60)


def test_the_ending_finds_what_is_left_over(scene: Scene) -> None:
    asyncio.run(check_ending(scene))
    (pack,) = scene.cache.rglob("*.pack")
    pack.with_name("left-over").touch()
    with pytest.raises(StressError, match=r"left over: .*/left-over"):
        asyncio.run(check_ending(scene))
