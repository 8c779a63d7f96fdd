"""A database put together by `oneoff` commands is the one that `bootstrap-db` makes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import pytest

from benchmarks.rows import row_digests
from restore.errors import ForeignTargetError, TrustError, UsageError
from restore.flow.stop import run
from restore.oneoff import oneoff_epoch_ending, oneoff_state_snapshot, oneoff_transaction
from restore.pieces import OneoffRequest
from restore.proof.trust import TrustPolicy
from restore.report.events import Advanced, Event, Notice, PhaseFinished, PhaseStarted, silent
from restore.report.result import Result
from restore.sample.spec import SampleBackup
from restore.storage.local import LocalFs
from restore.target.mark import load_finished
from restore.verify_db import verify_database
from tests.restoring.commands import LIMITS, restore_sample


class Pieces:
    """The manifests of a sample, and commands that restore them."""

    def __init__(self, sample: SampleBackup, target: Path | None) -> None:
        self.sample = sample
        self.request = OneoffRequest(
            storage=LocalFs(sample.root),
            target_dir=target,
            target_version=None,
            trust=TrustPolicy((sample.genesis_waypoint,)),
            limits=LIMITS,
        )

    def handles(self, pattern: str) -> list[str]:
        """Manifests, in order of the first number in their folders' names."""
        found = [str(path.relative_to(self.sample.root)) for path in self.sample.root.glob(pattern)]
        return sorted(found, key=lambda handle: int("".join(filter(str.isdigit, handle.split("-")[0]))))

    def epoch_endings(self) -> None:
        for manifest in self.handles("epoch_ending_*/*.manifest"):
            run(partial(oneoff_epoch_ending, self.request, silent, manifest=manifest))

    def snapshot(self, index: int = -1, *, version: int | None = None) -> Result:
        snapshot = self.sample.snapshots[index]
        return run(
            lambda: oneoff_state_snapshot(
                self.request,
                silent,
                manifest=snapshot.manifest,
                into_version=snapshot.version if version is None else version,
                mode="default",
            )
        )

    def transactions(self, first: int, *, replay_from: int | None) -> Result:
        (manifest,) = self.handles(f"transaction_{first}-*/*.manifest")
        return run(
            lambda: oneoff_transaction(self.request, silent, manifest=manifest, replay_from=replay_from)
        )


def test_pieces_make_the_database_that_bootstrap_makes(sample: SampleBackup, target: Path) -> None:
    pieces = Pieces(sample, target)
    pieces.epoch_endings()
    newest = sample.snapshots[-1]
    assert pieces.snapshot().state_root_hash == newest.root_hash.hex()
    for first, last in sample.spec.backup_ranges():
        if last >= newest.version:
            result = pieces.transactions(first, replay_from=max(first, newest.version + 1))
    assert result.target_version == sample.last_version
    whole = target.with_name("whole")
    assert restore_sample(sample, whole).accumulator_root_hash == result.accumulator_root_hash
    assert row_digests(target) == row_digests(whole)
    checked = run(lambda: verify_database(target, (sample.genesis_waypoint,), silent))
    assert checked.target_version == sample.last_version


def test_a_piece_that_is_there_is_left_alone(sample: SampleBackup, target: Path) -> None:
    pieces = Pieces(sample, target)
    first = pieces.snapshot()
    events: list[Event] = []
    snapshot = sample.snapshots[-1]
    again = run(
        lambda: oneoff_state_snapshot(
            pieces.request,
            events.append,
            manifest=snapshot.manifest,
            into_version=snapshot.version,
            mode="default",
        )
    )
    assert msgspec.structs.replace(again, seconds=first.seconds) == first
    assert [event.phase for event in events if isinstance(event, PhaseStarted)] == ["metadata"]
    assert {type(event) for event in events} == {PhaseStarted, Advanced, PhaseFinished, Notice}


def test_a_dry_run_of_each_piece_proves_it(sample: SampleBackup) -> None:
    pieces = Pieces(sample, None)
    pieces.epoch_endings()
    assert pieces.snapshot(0).state_items == sample.snapshots[0].usage.items
    assert pieces.transactions(0, replay_from=None).transactions == 1


def test_a_snapshot_goes_into_its_own_version_only(sample: SampleBackup, target: Path) -> None:
    with pytest.raises(UsageError):
        Pieces(sample, target).snapshot(version=1)


def test_transactions_may_not_leave_a_gap(sample: SampleBackup, target: Path) -> None:
    pieces = Pieces(sample, target)
    ranges = sample.spec.backup_ranges()
    pieces.transactions(ranges[1][0], replay_from=None)
    with pytest.raises(UsageError):
        pieces.transactions(ranges[3][0], replay_from=None)


def test_write_sets_need_the_state_before_them(sample: SampleBackup, target: Path) -> None:
    first = sample.spec.backup_ranges()[-1][0]
    with pytest.raises(UsageError):
        Pieces(sample, target).transactions(first, replay_from=first)


def test_a_target_of_bootstrap_is_not_touched(sample: SampleBackup, target: Path) -> None:
    restore_sample(sample, target)
    digests = row_digests(target)
    with pytest.raises(ForeignTargetError):
        Pieces(sample, target).snapshot()
    assert row_digests(target) == digests


def test_pieces_of_two_chains_do_not_mix(sample: SampleBackup, other: SampleBackup, target: Path) -> None:
    Pieces(sample, target).epoch_endings()
    with pytest.raises(TrustError):
        Pieces(other, target).snapshot()


def test_a_second_snapshot_goes_into_another_folder(sample: SampleBackup, target: Path) -> None:
    pieces = Pieces(sample, target)
    pieces.snapshot()
    with pytest.raises(UsageError):
        pieces.snapshot(0)


def test_a_database_whose_epoch_endings_reach_further_is_not_yet_finished(
    sample: SampleBackup, target: Path
) -> None:
    pieces = Pieces(sample, target)
    pieces.epoch_endings()
    newest = sample.snapshots[-1]
    pieces.snapshot()
    first = next(first for first, last in sample.spec.backup_ranges() if last >= newest.version)
    pieces.transactions(first, replay_from=newest.version + 1)
    with pytest.raises(ForeignTargetError, match="not finished"):
        load_finished(target)
