"""The backup, the cache that all share, and who is at work there."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.samples import sample
from restore.sample.spec import SampleSpec

SPEC = SampleSpec(
    state_items=100,
    epochs=40,
    transactions=300,
    tail_epochs=1,
    head_transactions=6,
    snapshot_chunks=2,
    transactions_per_backup=2,
)
"""Some hundred metadata files, and so little besides that a restore takes less than a second."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What everybody works on.

    Attributes:
        backup: whose metadata changes all the time.
        cache: the folder that all share; not there in the beginning.
        target: where a database goes.
        over: a file that appears when the time is over.
        waypoint: what is trusted of the backup.
        last_version: what every command has to come to.
    """

    backup: Path
    cache: Path
    target: Path
    over: Path
    waypoint: str
    last_version: int


@dataclass(frozen=True, slots=True)
class Actor:
    """A process, which is started anew when it ends.

    Attributes:
        name: of the actor.
        command: what it runs.
        counts: what was done, by name and number, as a line that it prints says it; raises `ValueError` if
            that is not what it should be.
        may_be_killed: whether it is killed now and then.
        target: a folder that is removed after a good end; what was killed continues in it.
    """

    name: str
    command: Sequence[str]
    counts: Callable[[Mapping[str, Any]], Mapping[str, int]]
    may_be_killed: bool = True
    target: Path | None = None


def make_scene(spec: SampleSpec, kept: Path, scratch: Path) -> Scene:
    """A copy of the backup of `spec`, which is kept in the folder `kept`, and room besides, in `scratch`."""
    made, waypoint = sample(spec, kept)
    shutil.copytree(made, scratch / "backup")
    return Scene(
        backup=scratch / "backup",
        cache=scratch / "cache",
        target=scratch / "target",
        over=scratch / "over",
        waypoint=waypoint,
        last_version=spec.last_version,
    )


def command(name: str, scene: Scene, *arguments: str, target: Path | None = None) -> Actor:
    """`aptos-restore ARGUMENTS` on the backup, as users run it."""
    line = [
        *(str(Path(sys.executable).with_name("aptos-restore")), *arguments),
        *(f"--local-fs-dir={scene.backup}", f"--metadata-cache-dir={scene.cache}"),
        *(f"--trust-waypoint={scene.waypoint}", "--concurrent-downloads=2", "--output=json"),
    ]

    def count(result: Mapping[str, Any]) -> Mapping[str, int]:
        if result["target_version"] != scene.last_version:
            raise ValueError(f"it came to version {result['target_version']}, not {scene.last_version}")
        return {"syncs": 1, name: 1}

    return Actor(name, line, count, target=target)


def loop(role: str, scene: Scene, *, may_be_killed: bool = True) -> Actor:
    """A role of `loops`, in a process that lives until it is killed, or the time is over."""
    line = [
        *(sys.executable, "-m", "benchmarks.stress.loops", role, f"--over={scene.over}"),
        *(f"--backup={scene.backup}", f"--cache={scene.cache}", f"--waypoint={scene.waypoint}"),
    ]
    return Actor(role, line, lambda counts: counts, may_be_killed=may_be_killed)


def everybody(scene: Scene) -> list[Actor]:
    """Eight processes: five restore or verify, one reads slowly, and two change things."""
    into = f"--target-db-dir={scene.target}"
    return [
        command("restores", scene, "bootstrap-db", into, target=scene.target),
        command("dry runs", scene, "bootstrap-db", "--dry-run"),
        command("verifies", scene, "verify"),
        loop("restoring", scene),
        loop("verifying", scene),
        loop("slow-reading", scene),
        loop("compacting", scene, may_be_killed=False),
        loop("pruning", scene),
    ]
