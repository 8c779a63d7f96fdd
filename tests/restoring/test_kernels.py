"""Both forms of what is done for each item: the same databases and errors, and each continues the other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from benchmarks.rows import row_digests
from restore.errors import DataError
from restore.flow.stop import run
from restore.kernel.choice import PURE
from restore.proof.trust import TrustPolicy
from restore.report.events import silent
from restore.report.result import Result
from restore.sample.spec import SampleBackup
from restore.storage.local import LocalFs
from restore.target import store
from restore.verify import VerifyRequest, verify
from restore.verify_db import verify_database
from tests.kernels import NATIVE, needs_native, using
from tests.restoring import test_damage as damages
from tests.restoring.commands import (
    FEW_ROWS,
    LIMITS,
    request_of,
    restore_and_die,
    restore_request,
    restore_sample,
)
from tests.restoring.damage import Damaged

OTHER = {PURE: NATIVE, NATIVE: PURE}


def versions_of(sample: SampleBackup) -> dict[str, tuple[int | None, int | None]]:
    """Target version and first version of the history, for each kind of restore."""
    newest, oldest = sample.snapshots[-1].version, sample.snapshots[0].version
    return {"T = V": (newest, None), "T > V": (None, None), "K < V < T": (None, oldest)}


VARIANTS = ("T = V", "T > V", "K < V < T")


@dataclass(frozen=True, slots=True)
class Whole:
    """What a restore by the Python forms, all rows of it in batches, ends in."""

    versions: tuple[int | None, int | None]
    digests: dict[str, str]
    result: Result


@pytest.fixture(scope="module")
def whole(sample: SampleBackup, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Whole]:
    """One of each kind."""
    restored = {}
    for name, (version, history) in versions_of(sample).items():
        target = tmp_path_factory.mktemp("whole") / "db"
        with using(PURE):
            result = restore_sample(sample, target, target_version=version, history_start=history)
        restored[name] = Whole((version, history), row_digests(target), result)
    return restored


def restore(sample: SampleBackup, target: Path, wanted: Whole) -> Result:
    version, history = wanted.versions
    return restore_sample(sample, target, target_version=version, history_start=history)


def without_time(result: Result) -> Result:
    return msgspec.structs.replace(result, seconds=0.0)


@pytest.fixture
def through_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks go through table files, as large ones do."""
    monkeypatch.setattr(store, "TABLE_ROWS", FEW_ROWS)
    monkeypatch.setattr(store, "OVERLAPPING_TABLE_ROWS", FEW_ROWS)


@pytest.mark.usefixtures("through_files")
@pytest.mark.parametrize("name", VARIANTS)
def test_databases_have_the_same_rows(
    kernel: str, sample: SampleBackup, target: Path, whole: dict[str, Whole], name: str
) -> None:
    result = restore(sample, target, whole[name])
    assert without_time(result) == without_time(whole[name].result)
    assert row_digests(target) == whole[name].digests
    checked = run(lambda: verify_database(target, (sample.genesis_waypoint,), silent))
    assert checked.state_root_hash == result.state_root_hash


@needs_native
@pytest.mark.parametrize("name", VARIANTS)
def test_few_rows_in_batches_end_in_the_same_database(
    sample: SampleBackup, target: Path, whole: dict[str, Whole], name: str
) -> None:
    with using(NATIVE):
        restore(sample, target, whole[name])
    assert row_digests(target) == whole[name].digests


@needs_native
def test_verify_finds_the_same(sample: SampleBackup) -> None:
    def verify_sample() -> Result:
        request = VerifyRequest(
            storage=LocalFs(sample.root),
            start_version=None,
            end_version=None,
            state_snapshot_before_version=None,
            trust=TrustPolicy((sample.genesis_waypoint,)),
            limits=LIMITS,
        )
        return without_time(run(lambda: verify(request, silent)))

    found = []
    for form in (PURE, NATIVE):
        with using(form):
            found.append(verify_sample())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("T = V", "snapshot values"),
        ("T > V", "snapshot nodes"),
        ("K < V < T", "snapshot values"),
        ("K < V < T", "snapshot nodes"),
        ("T > V", "write sets"),
        ("T > V", "transaction accumulator"),
        ("K < V < T", "events"),
    ],
)
@needs_native
@pytest.mark.parametrize("first", [PURE, NATIVE])
def test_killed_under_one_form_it_is_finished_under_the_other(
    sample: SampleBackup, target: Path, whole: dict[str, Whole], name: str, step: str, first: str
) -> None:
    wanted = whole[name]
    restore_and_die(sample, target, wanted.versions, step=step, occurrence=10, kernel=first)
    restore_and_die(sample, target, wanted.versions, step="mark", occurrence=2, kernel=OTHER[first])
    with using(OTHER[first]):
        result = restore(sample, target, wanted)
    assert without_time(result) == without_time(wanted.result)
    assert row_digests(target) == wanted.digests


DAMAGE: tuple[Callable[[Damaged], object], ...] = (
    damages.flip_value,
    damages.flip_key,
    damages.flip_sibling,
    damages.swap_records,
    damages.repeat_record,
    damages.drop_first_record_of_the_second_chunk,
    damages.drop_a_record_and_say_so_in_the_manifest,
    damages.cut_off_the_last_chunk,
    damages.truncate_frame,
    damages.append_a_byte,
    damages.announce_4_gib,
    damages.lie_about_the_first_key,
    damages.lie_about_the_last_key,
    damages.flip_a_transaction,
    damages.flip_a_write_set,
    damages.flip_a_range_proof,
    damages.drop_a_transaction,
)
"""What is wrong with the items of a snapshot, or with transactions."""


@needs_native
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("mode", ["default", "dry"])
def test_damage_is_told_in_the_same_words(
    sample: SampleBackup, tmp_path: Path, damage: Callable[[Damaged], object], mode: str
) -> None:
    root = tmp_path / "backup"
    shutil.copytree(sample.root, root)
    damage(Damaged(root, sample.snapshots[-1].version))
    told = []
    for form in (PURE, NATIVE):
        target = None if mode == "dry" else tmp_path / form
        with using(form), pytest.raises(DataError) as caught:
            restore_request(request_of(root, sample.genesis_waypoint, target))
        error = caught.value
        told.append((type(error), str(error), error.offset, error.expected, error.found, error.hint))
    assert told[0] == told[1]
