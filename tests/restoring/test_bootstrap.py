"""Whole restores of the sample: what they say, what the database holds, and how they continue."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from benchmarks.rows import row_digests
from restore.errors import (
    DamagedTargetError,
    ForeignTargetError,
    InterruptedRunError,
    TrustError,
    UnreachableError,
    UsageError,
)
from restore.flow.stop import run
from restore.ledger.waypoint import Waypoint
from restore.proof.trust import TrustPolicy
from restore.report.events import Advanced, Event, Notice, PhaseStarted
from restore.report.result import Result, UsageResult
from restore.sample.spec import SampleBackup
from restore.storage.local import LocalFs
from restore.verify import VerifyRequest, verify
from restore.verify_db import verify_database
from tests.restoring.commands import LIMITS, request_of, restore_request, restore_sample


def check_against_sample(result: Result, sample: SampleBackup, *, target: int, first_saved: int) -> None:
    newest = max((part for part in sample.snapshots if part.version <= target), key=lambda part: part.version)
    usage = sample.usages[target]
    assert result.target_version == result.ledger_version == target
    assert result.snapshot_version == newest.version
    assert result.state_root_hash == newest.root_hash.hex()
    assert (result.state_items, result.state_bytes) == (newest.usage.items, newest.usage.bytes)
    assert result.usage_at_target == UsageResult(usage.items, usage.bytes)
    assert result.transactions == target - first_saved + 1
    assert result.epochs == sum(end <= target for end in sample.epoch_ends)


@pytest.mark.parametrize("which", ["newest", "snapshot", "inside an epoch", "older snapshot"])
def test_a_restore_holds_what_the_generator_made_and_its_database_checks(
    sample: SampleBackup, target: Path, which: str
) -> None:
    version = {
        "newest": None,
        "snapshot": sample.snapshots[-1].version,
        "inside an epoch": sample.snapshots[-1].version + 37,
        "older snapshot": sample.snapshots[-1].version - 1,
    }[which]
    result = restore_sample(sample, target, target_version=version)
    assert (result.trust, result.requested_version) == ("waypoint", version)
    reached = sample.last_version if version is None else version
    base = max(part.version for part in sample.snapshots if part.version <= reached)
    first = max(first for first, _ in sample.spec.backup_ranges() if first <= base)
    check_against_sample(result, sample, target=reached, first_saved=first)
    checked = run(lambda: verify_database(target, (sample.genesis_waypoint,), lambda event: None))
    check_against_sample(checked, sample, target=reached, first_saved=first)
    assert checked.accumulator_root_hash == result.accumulator_root_hash
    assert result.accumulator_root_hash == sample.accumulator_roots[reached].hex()


def test_history_from_an_older_snapshot_on_can_be_read(sample: SampleBackup, target: Path) -> None:
    oldest = sample.snapshots[0].version
    result = restore_sample(sample, target, history_start=oldest)
    check_against_sample(result, sample, target=sample.last_version, first_saved=oldest)
    checked = run(lambda: verify_database(target, (), lambda event: None))
    assert checked.transactions == result.transactions
    assert checked.trust == "genesis"


def test_a_dry_run_proves_the_same_and_writes_nothing(sample: SampleBackup, target: Path) -> None:
    dry, kept = restore_sample(sample, None), restore_sample(sample, target)
    assert dry.state_root_hash == kept.state_root_hash
    assert dry.accumulator_root_hash == kept.accumulator_root_hash
    assert (dry.state_items, dry.transactions, dry.epochs) == (
        kept.state_items,
        kept.transactions,
        kept.epochs,
    )
    assert dry.usage_at_target is None


def test_a_dry_run_proves_both_phases_of_a_history(sample: SampleBackup) -> None:
    oldest = sample.snapshots[0].version
    dry = restore_sample(sample, None, history_start=oldest)
    assert dry.state_root_hash == sample.snapshots[-1].root_hash.hex()
    assert dry.transactions == sample.last_version - oldest + 1


def test_verify_finds_the_same_as_the_generator_made(sample: SampleBackup) -> None:
    request = VerifyRequest(
        storage=LocalFs(sample.root),
        start_version=0,
        end_version=None,
        state_snapshot_before_version=None,
        trust=TrustPolicy((sample.genesis_waypoint,)),
        limits=LIMITS,
    )
    whole = run(lambda: verify(request, lambda event: None))
    newest = sample.snapshots[-1]
    assert whole.target_version == whole.ledger_version == sample.last_version
    assert (whole.state_root_hash, whole.state_items) == (newest.root_hash.hex(), newest.usage.items)
    assert whole.transactions == sample.last_version + 1
    assert whole.epochs == len(sample.epoch_ends)
    # "Strictly before", and 0 for none.
    before = replace(request, start_version=None, state_snapshot_before_version=newest.version)
    assert run(lambda: verify(before, lambda event: None)).snapshot_version == sample.snapshots[-2].version
    none = replace(request, state_snapshot_before_version=0)
    assert run(lambda: verify(none, lambda event: None)).snapshot_version is None


def test_verify_of_some_versions_reads_their_backups_only(sample: SampleBackup) -> None:
    ranges = sample.spec.backup_ranges()
    first, last = ranges[2]
    request = VerifyRequest(
        storage=LocalFs(sample.root),
        start_version=first + 1,
        end_version=last - 1,
        state_snapshot_before_version=0,
        trust=TrustPolicy((sample.genesis_waypoint,)),
        limits=LIMITS,
    )
    result = run(lambda: verify(request, lambda event: None))
    assert (result.target_version, result.transactions) == (last - 1, last - first)


def test_a_finished_target_is_left_alone(sample: SampleBackup, target: Path) -> None:
    first = restore_sample(sample, target)
    events: list[Event] = []
    again = restore_sample(sample, target, report=events.append)
    assert msgspec.structs.replace(again, seconds=first.seconds) == first
    assert [type(event) for event in events] == [Notice]


def test_a_finished_target_of_another_network_is_refused(sample: SampleBackup, target: Path) -> None:
    restore_sample(sample, target)
    for waypoint in (Waypoint(0, bytes(32)), Waypoint(1, sample.genesis_waypoint.value)):
        with pytest.raises(TrustError):
            restore_request(request_of(sample.root, waypoint, target))
    later = request_of(sample.root, Waypoint(sample.last_version + 1, bytes(32)), target)
    assert restore_request(later).target_version == sample.last_version


def test_a_finished_target_that_lost_a_part_is_refused(sample: SampleBackup, target: Path) -> None:
    restore_sample(sample, target)
    shutil.rmtree(target / "state_kv_db")
    with pytest.raises(DamagedTargetError):
        restore_sample(sample, target)


def test_a_resumed_target_keeps_its_waypoint(sample: SampleBackup, target: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Advanced) and event.phase.startswith("state"):
            raise InterruptedRunError("stopped by the test")

    with pytest.raises(InterruptedRunError):
        restore_sample(sample, target, report=stop)
    with pytest.raises(TrustError) as caught:
        restore_request(request_of(sample.root, Waypoint(0, bytes(32)), target))
    assert caught.value.expected == str(sample.genesis_waypoint)
    assert restore_sample(sample, target).waypoints == (str(sample.genesis_waypoint),)


def test_another_target_version_is_refused_where_one_was_begun(sample: SampleBackup, target: Path) -> None:
    restore_sample(sample, target, target_version=sample.snapshots[-1].version)
    with pytest.raises(ForeignTargetError) as caught:
        restore_sample(sample, target, target_version=sample.last_version)
    assert caught.value.exit_code == 2
    assert restore_sample(sample, target, target_version=None).target_version == sample.snapshots[-1].version


def test_another_history_start_is_refused_where_one_was_begun(sample: SampleBackup, target: Path) -> None:
    restore_sample(sample, target)
    with pytest.raises(ForeignTargetError):
        restore_sample(sample, target, history_start=sample.snapshots[0].version)


def test_a_folder_with_something_else_in_it_is_refused_untouched(sample: SampleBackup, target: Path) -> None:
    target.mkdir()
    (target / "precious").write_text("data")
    with pytest.raises(ForeignTargetError):
        restore_sample(sample, target)
    assert [path.name for path in target.iterdir()] == ["precious"]


def test_a_plan_goes_on_though_the_backup_has_grown(
    sample: SampleBackup, target: Path, tmp_path: Path
) -> None:
    """The first run sees a backup without its newest transactions; the second continues to that version."""
    older = tmp_path / "older"
    shutil.copytree(sample.root, older)
    first, last = sample.spec.backup_ranges()[-1]
    (older / "metadata" / f"transaction_{first}-{last}.meta").unlink()

    def stop(event: Event) -> None:
        if isinstance(event, Advanced) and event.phase.startswith("state"):
            raise InterruptedRunError("stopped by the test")

    with pytest.raises(InterruptedRunError):
        restore_request(request_of(older, sample.genesis_waypoint, target), stop)
    result = restore_sample(sample, target)
    assert result.target_version == first - 1


def test_a_wrong_waypoint_is_refused_and_the_right_one_then_restores(
    sample: SampleBackup, target: Path
) -> None:
    right = sample.genesis_waypoint
    wrong = Waypoint(right.version, bytes(32))
    with pytest.raises(TrustError) as caught:
        restore_request(request_of(sample.root, wrong, target))
    assert (caught.value.exit_code, caught.value.version) == (20, right.version)
    assert caught.value.expected == str(wrong)
    assert restore_sample(sample, target).target_version == sample.last_version


def test_a_waypoint_at_a_version_where_no_epoch_ends_is_refused(sample: SampleBackup, target: Path) -> None:
    waypoint = Waypoint(sample.genesis_waypoint.version + 1, sample.genesis_waypoint.value)
    with pytest.raises(TrustError):
        restore_request(request_of(sample.root, waypoint, target))


def test_without_anything_to_trust_nothing_begins(sample: SampleBackup, target: Path) -> None:
    request = replace(request_of(sample.root, sample.genesis_waypoint, target), trust=TrustPolicy())
    with pytest.raises(UsageError):
        restore_request(request)


def test_skipping_epoch_endings_is_for_dry_runs_and_targets_that_hold_them(
    sample: SampleBackup, target: Path
) -> None:
    skipping = TrustPolicy(skip=True)
    request = request_of(sample.root, sample.genesis_waypoint, target)
    with pytest.raises(UsageError):
        restore_request(replace(request, trust=skipping))
    dry = restore_request(replace(request, trust=skipping, target_dir=None))
    assert (dry.trust, dry.epochs) == ("none", None)

    def stop(event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.phase.startswith("state"):
            raise InterruptedRunError("stopped by the test")

    with pytest.raises(InterruptedRunError):
        restore_request(request, stop)
    assert restore_request(replace(request, trust=skipping)).trust == "none"
    whole = target.with_name("whole")
    restore_sample(sample, whole)
    assert row_digests(target) == row_digests(whole)


def test_less_than_asked_for_is_refused_unless_it_is_welcome(sample: SampleBackup, target: Path) -> None:
    beyond = request_of(sample.root, sample.genesis_waypoint, target, target_version=sample.last_version + 1)
    with pytest.raises(UnreachableError) as caught:
        restore_request(beyond)
    assert caught.value.exit_code == 21
    assert str(sample.last_version) in str(caught.value)
    events: list[Event] = []
    result = restore_request(replace(beyond, accept_older=True), events.append)
    assert (result.target_version, result.requested_version) == (
        sample.last_version,
        sample.last_version + 1,
    )
    assert any(isinstance(event, Notice) and event.warning for event in events)


def test_a_resumed_target_stays_with_its_chain_though_any_genesis_is_trusted(
    sample: SampleBackup, other: SampleBackup, target: Path
) -> None:
    """Two chains of the same shape: their folders have other names, but their plans could be swapped."""

    def stop(event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.phase.startswith("state"):
            raise InterruptedRunError("stopped by the test")

    trusting = replace(
        request_of(sample.root, sample.genesis_waypoint, target), trust=TrustPolicy(genesis=True)
    )
    with pytest.raises(InterruptedRunError):
        restore_request(trusting, stop)
    disguised = target.with_name("disguised")
    shutil.copytree(other.root, disguised)
    for ours in sample.root.iterdir():
        (theirs,) = other.root.glob(f"{ours.name.split('.')[0]}.*" if "." in ours.name else ours.name)
        if theirs.name != ours.name:
            (disguised / theirs.name).rename(disguised / ours.name)
            for manifest in (disguised / ours.name).glob("*.manifest"):
                manifest.write_text(manifest.read_text().replace(theirs.name, ours.name))
    with pytest.raises(TrustError) as caught:
        restore_request(replace(trusting, storage=LocalFs(disguised)))
    assert caught.value.expected == str(sample.genesis_waypoint)
    assert restore_request(trusting).target_version == sample.last_version


def test_what_lies_before_every_trusted_waypoint_is_not_verified(sample: SampleBackup) -> None:
    request = VerifyRequest(
        storage=LocalFs(sample.root),
        start_version=0,
        end_version=50,
        state_snapshot_before_version=0,
        trust=TrustPolicy((sample.waypoints[3],)),
        limits=LIMITS,
    )
    with pytest.raises(TrustError):
        run(lambda: verify(request, lambda event: None))
