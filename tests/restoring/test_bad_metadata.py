"""Metadata that does not parse: it takes down what may depend on it, and nothing else."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from restore.errors import FormatError, RestoreError
from restore.flow.stop import run
from restore.oneoff import oneoff_state_snapshot, oneoff_transaction
from restore.pieces import OneoffRequest
from restore.plan import PlanRequest
from restore.proof.trust import TrustPolicy
from restore.report.events import Event, Notice, PhaseFinished, silent
from restore.report.result import Result
from restore.sample.spec import SampleBackup
from restore.storage.local import LocalFs
from restore.survey import survey
from restore.verify import VerifyRequest, verify
from tests.restoring.commands import LIMITS, request_of, restore_request

BAD = "metadata/newer.meta"


@pytest.fixture
def root(sample: SampleBackup, tmp_path: Path) -> Path:
    """The sample's files, and one of a kind that nobody knows."""
    root = tmp_path / "backup"
    shutil.copytree(sample.root, root, copy_function=_link)
    (root / BAD).write_text('{"NewerBackup":{"first_version":0}}\n')
    return root


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def check_names_the_line(error: RestoreError) -> None:
    assert isinstance(error, FormatError)
    assert (error.exit_code, error.file, error.offset) == (20, BAD, 0)
    assert "line 1" in error.message


def verify_root(root: Path, sample: SampleBackup, events: list[Event]) -> Result:
    request = VerifyRequest(
        storage=LocalFs(root),
        start_version=0,
        end_version=None,
        state_snapshot_before_version=None,
        trust=TrustPolicy((sample.genesis_waypoint,)),
        limits=LIMITS,
    )
    return run(lambda: verify(request, events.append))


def test_the_newest_cannot_be_restored_since_nobody_knows_what_it_is(
    sample: SampleBackup, root: Path, target: Path
) -> None:
    with pytest.raises(FormatError) as refusal:
        restore_request(request_of(root, sample.genesis_waypoint, target))
    check_names_the_line(refusal.value)
    assert "--target-version" in refusal.value.hint
    assert not (target / "ledger_db").exists()


def test_a_version_that_is_named_is_restored_and_the_line_told(
    sample: SampleBackup, root: Path, target: Path
) -> None:
    events: list[Event] = []
    request = request_of(root, sample.genesis_waypoint, target, target_version=sample.last_version)
    result = restore_request(request, events.append)
    assert result.target_version == sample.last_version
    assert any(isinstance(event, Notice) and event.warning and BAD in event.text for event in events)


def test_verify_proves_the_rest_and_then_fails(sample: SampleBackup, root: Path) -> None:
    events: list[Event] = []
    with pytest.raises(FormatError) as refusal:
        verify_root(root, sample, events)
    check_names_the_line(refusal.value)
    finished = [event.phase for event in events if isinstance(event, PhaseFinished)]
    assert finished[-1] == "transactions"
    assert len(finished) == 4


def test_verify_blames_the_line_for_a_gap(sample: SampleBackup, root: Path) -> None:
    first, _ = list(sample.spec.backup_ranges())[-2]
    (file,) = (root / "metadata").glob(f"transaction_{first}-*")
    file.unlink()
    with pytest.raises(FormatError) as refusal:
        verify_root(root, sample, [])
    check_names_the_line(refusal.value)


def test_a_plan_for_a_named_version_notes_the_line(sample: SampleBackup, root: Path) -> None:
    def plan(version: int | None) -> tuple[str, ...]:
        request = PlanRequest(version, None, accept_older=True, check_epochs=True)
        return run(lambda: survey(LocalFs(root), request, limits=LIMITS, target=None)).plan.notes

    assert any(BAD in note for note in plan(sample.last_version))
    with pytest.raises(FormatError) as refusal:
        plan(None)
    check_names_the_line(refusal.value)


class TestOneoff:
    """A piece that is named by its manifest needs of the metadata only the epoch endings."""

    @pytest.fixture
    def request_(self, sample: SampleBackup, root: Path) -> OneoffRequest:
        return OneoffRequest(
            storage=LocalFs(root),
            target_dir=None,
            target_version=None,
            trust=TrustPolicy((sample.genesis_waypoint,)),
            limits=LIMITS,
        )

    def test_it_is_restored_and_the_line_told(self, sample: SampleBackup, request_: OneoffRequest) -> None:
        events: list[Event] = []
        snapshot = sample.snapshots[-1]
        piece = partial(
            oneoff_state_snapshot, manifest=snapshot.manifest, into_version=snapshot.version, mode="default"
        )
        result = run(lambda: piece(request_, events.append))
        assert result.state_root_hash == snapshot.root_hash.hex()
        assert any(isinstance(event, Notice) and event.warning and BAD in event.text for event in events)

    def test_a_bad_line_does_not_switch_signatures_off(self, root: Path, request_: OneoffRequest) -> None:
        for path in (root / "metadata").glob("epoch_ending_*"):
            path.unlink()
        (manifest,) = (str(path.relative_to(root)) for path in root.glob("transaction_0-*/*.manifest"))
        piece = partial(oneoff_transaction, manifest=manifest, replay_from=None)
        with pytest.raises(FormatError) as refusal:
            run(lambda: piece(request_, silent))
        check_names_the_line(refusal.value)
