"""Nothing is left behind: no task, thread, descriptor, child process or temporary file, however a run ends.

Here runs are in this process, so that what is held can be compared before and after; `test_ends.py` looks at
whole processes from outside.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.faults import FaultPlan
from restore.cli.main import main
from restore.errors import CommandFailedError, ManifestError, StalledError
from restore.flow import retry
from restore.limits import Limits
from restore.proof.trust import TrustPolicy
from restore.report.events import silent
from restore.storage import repeating
from restore.storage.opening import Reach, Source, open_storage
from restore.verify import VerifyRequest, verify
from tests.contracts.cancelling import cancel_at_every_wait
from tests.restoring.remote import (
    KEEP_A_FILE,
    TINY,
    Reached,
    Way,
    nothing_but_the_loopback,
    publish,
    reached,
    write_config,
)
from tests.restoring.watching import Scene

LIMITS = Limits(concurrency=3, max_concurrency=3, memory_bytes=64 << 20, descriptors=64, threads=3)

RUNS = 200

CODE_OF_MISSING = {Way.LOCAL: 20, Way.HTTP: 20, Way.S3: 20, Way.COMMAND: 30}
"""A command that fails does not tell why."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("leaks")


@pytest.fixture(scope="module")
def tiny(root: Path) -> Iterator[Reached]:
    """A backup of few files, served."""
    backup = publish(TINY, root, "tiny")
    with reached(backup, write_config(root / "tiny.yaml", backup.folder)) as whole:
        yield whole


def _moved(whole: Reached, folder: Path, root: Path) -> Reached:
    config = write_config(root / f"{folder.name}.yaml", folder)
    return replace(whole, backup=replace(whole.backup, folder=folder), config=config)


@pytest.fixture(scope="module")
def damaged(tiny: Reached, root: Path) -> Reached:
    """The same without its newest file of records."""
    folder = tiny.backup.folder.with_name("damaged")
    shutil.copytree(tiny.backup.folder, folder)
    (file,) = folder.glob("transaction_1-*/*.chunk")
    file.unlink()
    return _moved(tiny, folder, root)


@pytest.fixture(scope="module")
def headless(tiny: Reached, root: Path) -> Reached:
    """Epoch endings without those of genesis, and nothing else: a run fails soon."""
    folder = tiny.backup.folder.with_name("headless")
    shutil.copytree(tiny.backup.folder, folder)
    for file in folder.glob("metadata/*"):
        if not file.name.startswith("epoch_ending"):
            file.unlink()
    (file,) = folder.glob("epoch_ending_0-*/*.chunk")
    file.unlink()
    return _moved(tiny, folder, root)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene(str(tmp_path), tmp_path / "temporary")
    scene.temporary.mkdir()
    for name, value in {**nothing_but_the_loopback(), **scene.variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(scene.temporary))
    return scene


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once, and not often."""
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(retry, "TRANSIENT_TRIES", 3)
    monkeypatch.setattr(repeating, "FIRST_PAUSE", 0.0)


# Whole commands


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("command", [["verify"], ["bootstrap-db", "--dry-run"]], ids=["verify", "dry run"])
def test_a_run_that_ends_well_leaves_nothing(
    tiny: Reached, scene: Scene, way: Way, command: list[str]
) -> None:
    with scene.left_as_found():
        assert main([*command, *tiny.flags(way)]) == 0


@pytest.mark.parametrize("way", Way)
@pytest.mark.usefixtures("no_pauses")
def test_a_run_that_fails_leaves_nothing(damaged: Reached, scene: Scene, way: Way) -> None:
    with scene.left_as_found():
        assert main(["verify", *damaged.flags(way)]) == CODE_OF_MISSING[way]


@pytest.mark.parametrize("way", Way)
@pytest.mark.usefixtures("no_pauses")
def test_a_restore_that_fails_leaves_nothing_but_its_target(
    damaged: Reached, scene: Scene, tmp_path: Path, way: Way
) -> None:
    command = ["bootstrap-db", "--target-db-dir", str(tmp_path / "db"), *damaged.flags(way)]
    with scene.left_as_found():
        assert main(command) == CODE_OF_MISSING[way]


def test_a_run_that_is_stopped_by_a_signal_leaves_nothing(
    tiny: Reached, scene: Scene, tmp_path: Path
) -> None:
    stop = f"{KEEP_A_FILE}; kill -INT $PPID; sleep 1000"
    config = write_config(tmp_path / "adapter.yaml", tiny.backup.folder, at_chunks=stop)
    with scene.left_as_found():
        assert main(["verify", *replace(tiny, config=config).flags(Way.COMMAND)]) == 75


# Again and again


@pytest.mark.parametrize("way", [Way.HTTP, Way.S3, Way.COMMAND])
@pytest.mark.usefixtures("no_pauses")
def test_failing_200_times_a_run_holds_no_more_than_at_first(
    headless: Reached, scene: Scene, way: Way
) -> None:
    with scene.left_as_found():
        for _ in range(RUNS):
            assert main(["verify", *headless.flags(way)]) == CODE_OF_MISSING[way]


@pytest.mark.usefixtures("no_pauses")
def test_failing_200_times_by_resets_a_run_holds_no_more_than_at_first(tiny: Reached, scene: Scene) -> None:
    resets = FaultPlan(reset=1, only=r"/epoch_ending_.*\.chunk$")
    with reached(tiny.backup, tiny.config, resets) as resetting, scene.left_as_found():
        for _ in range(RUNS):
            assert main(["verify", *resetting.flags(Way.HTTP)]) == 30


# Cancelled


@pytest.mark.parametrize("way", Way)
async def test_cancelled_at_any_wait_a_verify_leaves_nothing(tiny: Reached, scene: Scene, way: Way) -> None:
    source = tiny.source(way)

    async def work() -> None:
        async with open_storage(source, Reach(silent, LIMITS.concurrency + 2, 60.0)) as storage:
            trust = TrustPolicy((tiny.backup.waypoint,))
            await verify(VerifyRequest(storage, None, None, None, trust, LIMITS), silent)

    async def check() -> None:
        scene.check(before)

    await work()  # what a loop opens for itself the first time it keeps
    before = scene.held()
    assert await cancel_at_every_wait(work, check) > 50
    await check()


# Writers that fail at their end


async def _write(source: Source, *, idle_seconds: float = 60.0) -> None:
    async with (
        open_storage(source, Reach(silent, 2, idle_seconds)) as storage,
        storage.create_for_write("some.0001", "file.chunk") as writer,
    ):
        await writer.write(b"data")


@pytest.mark.parametrize(
    ("end", "error"), [("cat > /dev/null; exit 7", CommandFailedError), ("sleep 1000", StalledError)]
)
async def test_a_writer_whose_command_fails_at_the_end_leaves_nothing(
    tiny: Reached, scene: Scene, tmp_path: Path, end: str, error: type[Exception]
) -> None:
    writing = f"{KEEP_A_FILE}; sleep 1000 >&- & echo some.0001/file.chunk; exec 1>&-; {end}"
    config = write_config(tmp_path / "adapter.yaml", tiny.backup.folder, create_for_write=writing)
    with scene.left_as_found(), pytest.raises(error):
        await _write(replace(tiny, config=config).source(Way.COMMAND), idle_seconds=0.5)


async def test_a_writer_whose_object_is_refused_at_the_end_leaves_nothing(
    tiny: Reached, scene: Scene
) -> None:
    file = tiny.backup.folder / "some.0001" / "file.chunk"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"other data")

    async def write() -> None:
        with pytest.raises(ManifestError):
            await _write(tiny.source(Way.S3))

    await write()  # what a loop opens for itself the first time it keeps
    with scene.left_as_found():
        await write()
