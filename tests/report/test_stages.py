"""What is said of a run over time: when something is named, and what the figures are taken of."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from restore.report.events import PhaseFinished, PhaseStarted, Queued, Received, Stage, Worked
from restore.report.link import Link
from restore.report.stages import JUDGE_SECONDS, Stages
from restore.report.window import RATE_SECONDS

PHASE = "state snapshot 7"
CPU_BOUND: Mapping[Stage, float] = {"fetch": 0.05, "unpack": 0.2, "decode": 0.7, "prove": 0.02, "save": 0.1}
LINK_BOUND: Mapping[Stage, float] = {"fetch": 0.9, "unpack": 0.02, "decode": 0.07, "prove": 0.01, "save": 0.1}


class Scene:
    """A phase on two cores that began at 0, and two chunks in progress."""

    def __init__(self) -> None:
        self.link = Link(now=0)
        self.stages = Stages(self.link, cores=2)
        self.now = 0.0
        self.stages.take(PhaseStarted(PHASE, "items"), now=0)
        self.queue(running=2)

    def queue(self, *, running: int, waiting: int = 0) -> None:
        """So many chunks are held from now on."""
        self.stages.take(Queued(PHASE, running, waiting), now=self.now)

    def work(self, chunk: Mapping[Stage, float], *, seconds: float, every: float = 0.5) -> None:
        """A chunk ends each `every` seconds, with these seconds in each stage."""
        for _ in range(round(seconds / every)):
            self.now += every
            for stage, busy in chunk.items():
                self.stages.take(Worked(PHASE, stage, busy, 100, 1000), now=self.now)

    @property
    def limit(self) -> str | None:
        """What is named now."""
        return self.stages.limit(self.now)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_run_that_works_on_all_cores_is_limited_by_them(scene: Scene) -> None:
    scene.work(CPU_BOUND, seconds=60)
    assert scene.limit == "limited by CPU (decode 1.4 + unpack 0.4 of 2 cores)"


def test_a_run_that_waits_for_bytes_is_limited_by_where_they_come_from(scene: Scene) -> None:
    scene.work(LINK_BOUND, seconds=60)
    assert scene.limit == "limited by reading the backup"
    scene.link.take(Received(1), now=scene.now)
    assert scene.limit == "limited by the link"


def test_a_run_that_saves_all_the_time_is_limited_by_the_disk(scene: Scene) -> None:
    scene.queue(running=1, waiting=3)
    scene.work({"fetch": 0.1, "decode": 0.2, "turn": 1.5, "prove": 0.01, "save": 0.48}, seconds=60)
    assert scene.limit == "limited by the disk (saving 0.96)"


def test_a_run_whose_chunks_wait_for_memory_is_limited_by_its_budget(scene: Scene) -> None:
    scene.work({"budget": 0.6, "fetch": 0.1, "decode": 0.3, "prove": 0.01, "save": 0.1}, seconds=60)
    assert scene.limit == "limited by --memory-budget"


def test_how_many_run_and_wait_is_an_average_and_not_the_last_number(scene: Scene) -> None:
    both_full: Mapping[Stage, float] = {"decode": 0.9, "prove": 0.0, "save": 0.45}
    for _ in range(30):
        scene.queue(running=2, waiting=3)
        scene.work(both_full, seconds=1)
        scene.queue(running=2, waiting=0)
        scene.work(both_full, seconds=1)
    assert scene.limit == "limited by the disk (saving 0.90)"


def test_nothing_is_named_in_the_first_seconds(scene: Scene) -> None:
    scene.work(CPU_BOUND, seconds=JUDGE_SECONDS - 0.5)
    assert scene.limit is None
    scene.work(CPU_BOUND, seconds=0.5)
    assert scene.limit is not None


def test_nothing_is_named_before_one_chunk_is_through(scene: Scene) -> None:
    scene.work({"fetch": 0.9, "unpack": 0.1, "decode": 0.5}, seconds=60)
    assert scene.limit is None
    scene.work({"prove": 0.1}, seconds=0.5)
    assert scene.limit is not None


def test_nothing_is_named_of_a_phase_without_stages() -> None:
    stages = Stages(Link(now=0), cores=2)
    assert stages.limit(100) is None
    stages.take(PhaseStarted("metadata", "files"), now=0)
    assert stages.limit(100) is None


def test_nothing_is_named_after_the_phase(scene: Scene) -> None:
    scene.work(CPU_BOUND, seconds=60)
    scene.stages.take(PhaseFinished("another"), now=scene.now)
    assert scene.limit is not None
    scene.stages.take(PhaseFinished(PHASE), now=scene.now)
    assert scene.limit is None
    scene.work(CPU_BOUND, seconds=60)
    assert scene.limit is None


def test_a_phase_is_judged_by_its_own_chunks(scene: Scene) -> None:
    scene.work(CPU_BOUND, seconds=60)
    scene.stages.take(PhaseStarted("transactions", "transactions"), now=scene.now)
    scene.work(CPU_BOUND, seconds=60)  # of the first phase still
    assert scene.limit is None


def test_what_limits_a_run_may_change(scene: Scene) -> None:
    scene.work(CPU_BOUND, seconds=60)
    scene.work(LINK_BOUND, seconds=60)
    assert scene.limit == "limited by reading the backup"
    scene.work(CPU_BOUND, seconds=60)
    assert scene.limit == "limited by CPU (decode 1.4 + unpack 0.4 of 2 cores)"


def test_large_chunks_do_not_seem_idle_while_none_of_them_ends(scene: Scene) -> None:
    large: Mapping[Stage, float] = {stage: 20 * busy for stage, busy in CPU_BOUND.items()}
    scene.work(large, seconds=40, every=10)
    named = set()
    for _ in range(20):
        named |= {scene.stages.limit(scene.now + later) for later in (0.0, 5.0, 9.9)}
        scene.work(large, seconds=10, every=10)
    assert {limit and limit[:14] for limit in named} == {"limited by CPU"}


def test_a_link_that_stands_still_is_named_in_the_end(scene: Scene) -> None:
    scene.work(CPU_BOUND, seconds=60)
    scene.now += RATE_SECONDS - 1
    assert scene.limit is not None
    assert scene.limit.startswith("limited by CPU")
    scene.now += 3 * RATE_SECONDS
    assert scene.limit == "limited by reading the backup"
