"""SIGKILL after each named durable step: the same command continues and ends in the same rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from benchmarks.rows import row_digests
from restore.report.events import Durable, Event
from restore.report.result import Result
from restore.sample.spec import SampleBackup
from tests.restoring.commands import restore_and_die, restore_sample

SNAPSHOT_AND_LEDGER = (
    "ledger infos",
    "mark",
    "snapshot values",
    "snapshot progress",
    "snapshot nodes",
    "snapshot root",
    "snapshot usage",
    "frozen subtrees",
    "write sets",
    "transaction infos",
    "transactions",
    "auxiliary infos",
    "events",
    "ledger metadata",
    "transaction accumulator",
    "pruner progress",
    "state progress",
    "ledger progress",
    "overall progress",
    "tables",
)

STEPS = {
    "T = V": SNAPSHOT_AND_LEDGER,
    "T > V": (*SNAPSHOT_AND_LEDGER, "state values"),
    "K < V < T": (*SNAPSHOT_AND_LEDGER, "state values"),
}
"""Every durable step of each kind of restore, by the names that `report.events.Durable` gives them."""

VARIANTS = tuple(STEPS)


@dataclass(frozen=True, slots=True)
class Whole:
    """An uninterrupted restore: its options, durable steps in order, rows and result."""

    versions: tuple[int | None, int | None]
    steps: Counter[str]
    digests: dict[str, str]
    result: Result


@pytest.fixture(scope="module")
def whole(sample: SampleBackup, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Whole]:
    """One uninterrupted restore of each variant."""
    newest, oldest = sample.snapshots[-1].version, sample.snapshots[0].version
    options = {"T = V": (newest, None), "T > V": (None, None), "K < V < T": (None, oldest)}
    restored = {}
    for name, versions in options.items():
        steps: Counter[str] = Counter()

        def count(event: Event, steps: Counter[str] = steps) -> None:
            if isinstance(event, Durable):
                steps[event.step] += 1

        target = tmp_path_factory.mktemp("whole") / "db"
        result = restore_sample(
            sample, target, target_version=versions[0], history_start=versions[1], report=count
        )
        restored[name] = Whole(versions, steps, row_digests(target), result)
    return restored


@pytest.mark.parametrize("name", VARIANTS)
def test_the_steps_that_are_killed_are_all_there_are(whole: dict[str, Whole], name: str) -> None:
    assert set(whole[name].steps) == set(STEPS[name])


@pytest.mark.parametrize(("name", "step"), [(name, step) for name in VARIANTS for step in STEPS[name]])
def test_killed_after_a_durable_step_it_continues_to_the_same_rows(
    sample: SampleBackup, whole: dict[str, Whole], target: Path, name: str, step: str
) -> None:
    expected = whole[name]
    occurrence = (expected.steps[step] + 1) // 2
    restore_and_die(sample, target, expected.versions, step=step, occurrence=occurrence)
    version, history = expected.versions
    result = restore_sample(sample, target, target_version=version, history_start=history)
    assert database_of(result) == database_of(expected.result)
    assert row_digests(target) == expected.digests


@pytest.mark.parametrize("name", VARIANTS)
def test_killed_after_every_mark_it_continues_to_the_same_rows(
    sample: SampleBackup, whole: dict[str, Whole], target: Path, name: str
) -> None:
    expected = whole[name]
    for _ in range(3):  # each start gets a little further, and dies at its second mark
        restore_and_die(sample, target, expected.versions, step="mark", occurrence=2)
    version, history = expected.versions
    restore_sample(sample, target, target_version=version, history_start=history)
    assert row_digests(target) == expected.digests


def database_of(result: Result) -> Result:
    """What a result says of the database, without the time it took."""
    return msgspec.structs.replace(result, seconds=0.0)
