"""What is reachable from a backup, and why not more.

In these backups epoch e ends at version 100 * e, where its snapshot is, so epoch 0 is version 0 alone.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from restore.catalog.entries import Entry, EpochEndingEntry, StateSnapshotEntry, TransactionEntry
from restore.catalog.view import Gap, MetadataView
from restore.errors import DataError, FormatError, ManifestError, UnreachableError
from restore.plan import Plan, PlanRequest, make_plan
from restore.target.base import MAX_REPLAY_VERSIONS


def endings(first: int, last: int) -> EpochEndingEntry:
    return EpochEndingEntry(first, last, 100 * first, 100 * last, f"epochs {first}-{last}")


def state(epoch: int, version: int | None = None) -> StateSnapshotEntry:
    version = 100 * epoch if version is None else version
    return StateSnapshotEntry(epoch, version, f"state {version}")


def saved(first: int, last: int, copy: str = "") -> TransactionEntry:
    return TransactionEntry(first, last, f"transactions {first}-{last}{copy}")


BACKUP: tuple[Entry, ...] = (
    endings(0, 0),
    endings(1, 3),
    endings(4, 5),
    state(0),
    state(2),
    state(4),
    saved(0, 0),
    saved(1, 150),
    saved(151, 300),
    saved(301, 450),
    saved(451, 560),
)
"""Whole: five epochs that ended, and a head of 60 versions."""


def plan_of(
    *entries: Entry,
    target: int | None = None,
    history: int | None = None,
    accept_older: bool = False,
    check_epochs: bool = True,
) -> Plan:
    request = PlanRequest(target, history, accept_older=accept_older, check_epochs=check_epochs)
    return make_plan(MetadataView(entries), request)


def refusal(
    *entries: Entry, target: int | None = None, history: int | None = None, check_epochs: bool = True
) -> UnreachableError:
    with pytest.raises(UnreachableError) as caught:
        plan_of(*entries, target=target, history=history, check_epochs=check_epochs)
    assert caught.value.exit_code == 21
    assert caught.value.hint
    return caught.value


def without(*left_out: Entry) -> list[Entry]:
    assert set(left_out) <= set(BACKUP)
    return [entry for entry in BACKUP if entry not in left_out]


def manifests(plan: Plan) -> list[str]:
    return [entry.manifest for entry in plan.transactions]


def chained(plan: Plan) -> list[str]:
    return [entry.manifest for entry in plan.epoch_endings]


def test_without_a_request_it_is_the_newest_version_on_the_newest_snapshot() -> None:
    plan = plan_of(*BACKUP)
    assert (plan.requested, plan.target, plan.snapshot) == (None, 560, state(4))
    assert (plan.kv_snapshot, plan.snapshots, plan.history_version) == (None, (state(4),), 400)
    assert manifests(plan) == ["transactions 301-450", "transactions 451-560"]
    assert plan.first_saved == 301
    assert chained(plan) == ["epochs 0-0", "epochs 1-3", "epochs 4-5"]
    assert (plan.notes, plan.gaps) == ((), ())


@pytest.mark.parametrize("shuffle", range(5))
def test_the_order_of_metadata_lines_does_not_matter(shuffle: int) -> None:
    entries = [*BACKUP, *BACKUP]
    random.Random(shuffle).shuffle(entries)
    assert plan_of(*entries) == plan_of(*BACKUP)


@pytest.mark.parametrize(
    ("target", "snapshot", "backups", "epochs"),
    [
        (0, 0, ["transactions 0-0"], 1),
        (1, 0, ["transactions 0-0", "transactions 1-150"], 2),
        (199, 0, ["transactions 0-0", "transactions 1-150", "transactions 151-300"], 2),
        (200, 200, ["transactions 151-300"], 2),
        (399, 200, ["transactions 151-300", "transactions 301-450"], 3),
        (400, 400, ["transactions 301-450"], 3),
        (450, 400, ["transactions 301-450"], 3),
        (451, 400, ["transactions 301-450", "transactions 451-560"], 3),
        (560, 400, ["transactions 301-450", "transactions 451-560"], 3),
    ],
)
def test_a_requested_version_is_reached_from_the_newest_snapshot_at_or_below_it(
    target: int, snapshot: int, backups: list[str], epochs: int
) -> None:
    plan = plan_of(*BACKUP, target=target)
    assert (plan.requested, plan.target, plan.snapshot.version) == (target, target, snapshot)
    assert manifests(plan) == backups
    assert plan.first_saved == plan.transactions[0].first_version <= snapshot
    # To the end of the last backup: the chunk with the target may have a ledger info of that epoch.
    assert chained(plan) == ["epochs 0-0", "epochs 1-3", "epochs 4-5"][:epochs]
    assert (plan.notes, plan.gaps) == ((), ())


def test_a_version_above_all_transactions_is_refused_and_taken_as_the_newest_by_request() -> None:
    error = refusal(*BACKUP, target=561)
    assert (error.expected, error.found) == ("561", "560")
    assert "version 561 is not reachable, only 560 is" in error.message
    assert "the newest transaction in the backup is 560" in error.message
    plan = plan_of(*BACKUP, target=10**18, accept_older=True)
    assert (plan.requested, plan.target, plan.snapshot.version) == (10**18, 560, 400)
    assert "the newest transaction in the backup is 560" in plan.notes


def test_a_version_below_all_snapshots_is_refused_even_if_older_is_welcome() -> None:
    entries = without(state(0))
    error = refusal(*entries, target=199)
    assert "no usable state snapshot at or below version 199" in error.message
    assert "state snapshots in the backup: [200, 400]" in error.message
    assert error.expected == "199"
    assert "at or above one of the snapshots" in (error.hint or "")
    with pytest.raises(UnreachableError):
        plan_of(*entries, target=199, accept_older=True)


def test_a_backup_without_snapshots_says_so() -> None:
    assert "snapshots in the backup: none" in refusal(*without(state(0), state(2), state(4))).message


@pytest.mark.parametrize("entries", [(), (endings(0, 5), state(4))])
def test_a_backup_without_transactions_says_so(entries: tuple[Entry, ...]) -> None:
    assert refusal(*entries).message == "the backup has no transactions"


def test_a_gap_after_the_snapshot_ends_the_plan_before_it_and_names_both_neighbours() -> None:
    gap = Gap("versions", 451, 499, "transactions 301-450", "transactions 500-560")
    entries = [*without(saved(451, 560)), saved(500, 560)]
    plan = plan_of(*entries)
    assert (plan.target, plan.snapshot.version, plan.gaps) == (450, 400, (gap,))
    assert plan.notes == (
        "versions 451 to 499 are missing (between transactions 301-450 and transactions 500-560)",
    )
    error = refusal(*entries, target=451)
    assert (error.expected, error.found) == ("451", "450")
    assert plan.notes[0] in error.message
    assert plan_of(*entries, target=451, accept_older=True).target == 450
    assert plan_of(*entries, target=450).gaps == ()


def test_a_snapshot_whose_own_transaction_is_missing_is_passed_over() -> None:
    plan = plan_of(*without(saved(301, 450)))
    gap = Gap("versions", 301, 450, "transactions 151-300", "transactions 451-560")
    assert (plan.target, plan.snapshot.version, plan.gaps) == (300, 200, (gap,))
    assert plan.notes == (f"no transactions for the snapshot at 400: {gap}", str(gap))
    error = refusal(*without(saved(301, 450)), target=400)
    assert (error.expected, error.found) == ("400", "300")


def test_transactions_that_begin_after_every_snapshot_leave_nothing() -> None:
    error = refusal(endings(0, 5), state(2), saved(451, 560))
    assert "versions 200 to 450 are missing (between the beginning and transactions 451-560)" in error.message


def test_a_snapshot_above_all_transactions_is_named_when_it_is_asked_for() -> None:
    error = refusal(*without(saved(301, 450), saved(451, 560)), target=400)
    assert "no versions from 301 on (the last backup is transactions 151-300)" in error.message
    assert (error.expected, error.found) == ("400", "300")


def test_snapshots_of_epochs_beyond_the_endings_are_not_used_and_nothing_after_the_endings_is() -> None:
    entries = without(endings(4, 5))
    plan = plan_of(*entries)
    assert (plan.target, plan.snapshot.version) == (300, 200)
    assert plan.notes == (
        "epoch endings reach epoch 3 at version 300 only; the snapshot at version 400 is of epoch 4",
    )
    error = refusal(*entries, target=400)
    assert (error.expected, error.found) == ("400", "300")
    assert "the snapshot at version 400 is of epoch 4" in error.message
    assert plan_of(*entries, target=399).target == 399  # as far as the metadata tells, still in epoch 4
    assert plan_of(*entries, check_epochs=False).snapshot == state(4)


def test_a_snapshot_that_claims_an_epoch_beyond_the_endings_is_not_used() -> None:
    liar = state(9, 450)
    plan = plan_of(*BACKUP, liar)
    assert (plan.target, plan.snapshot) == (560, state(4))
    assert plan.notes == ("the snapshot at version 450 is of epoch 9, epoch endings reach 5",)
    assert plan_of(*BACKUP, liar, check_epochs=False).snapshot == liar


@pytest.mark.parametrize("version", [400, 500])
def test_a_false_epoch_at_or_below_the_last_ending_does_not_lower_the_target(version: int) -> None:
    assert plan_of(*BACKUP, state(9, version)).target == 560


@pytest.mark.parametrize("epoch", [0, 5])
def test_a_snapshot_above_the_last_ending_of_an_epoch_that_is_known_does_not_lower_it(epoch: int) -> None:
    assert plan_of(*BACKUP, state(epoch, 540)).target == 560


def test_where_only_genesis_ended_the_note_says_epoch_0() -> None:
    plan = plan_of(endings(0, 0), state(0), state(1, 0), saved(0, 0))
    assert plan.snapshot == state(0)
    assert plan.notes == ("the snapshot at version 0 is of epoch 1, epoch endings reach 0",)


def test_a_request_is_strict_unless_it_says_otherwise() -> None:
    request = PlanRequest(561)
    assert (request.accept_older, request.check_epochs, request.history_start) == (False, True, None)
    assert PlanRequest() == PlanRequest(None, None, accept_older=False, check_epochs=True)


def test_a_snapshot_of_the_last_epoch_that_ended_is_used() -> None:
    plan = plan_of(*without(state(4)), state(5))
    assert (plan.target, plan.snapshot, plan.notes) == (560, state(5), ())


def test_the_newest_snapshot_is_the_one_of_the_highest_version_whatever_its_epoch() -> None:
    assert plan_of(*BACKUP, state(5, 300)).snapshot == state(4)


def test_the_head_after_the_last_epoch_that_ended_is_reachable() -> None:
    assert plan_of(*BACKUP, target=560).target == 560


def test_a_gap_in_the_epoch_endings_ends_the_plan_before_it() -> None:
    entries = without(endings(1, 3))
    plan = plan_of(*entries)
    gap = Gap("epochs", 1, 3, "epochs 0-0", "epochs 4-5")
    assert (plan.target, plan.snapshot.version, plan.gaps) == (0, 0, (gap,))
    assert chained(plan) == ["epochs 0-0"]
    assert plan.notes == (f"epoch endings are continuous up to version 0 only: {gap}",)
    assert str(gap) == "epochs 1 to 3 are missing (between epochs 0-0 and epochs 4-5)"
    assert plan.notes[0] in refusal(*entries, target=1).message
    assert plan_of(*entries, target=0).notes == ()
    assert plan_of(*entries, check_epochs=False).target == 560


def test_missing_first_epochs_leave_nothing_and_are_named() -> None:
    entries = without(endings(0, 0))
    error = refusal(*entries)
    assert "epochs 0 to 0 are missing (between the beginning and epochs 1-3)" in error.message
    assert "the snapshot at version 0 is of epoch 0, epoch endings reach none" in error.message
    assert plan_of(*entries, check_epochs=False).target == 560


def test_no_epoch_endings_at_all_leave_nothing_unless_they_are_skipped() -> None:
    entries = without(endings(0, 0), endings(1, 3), endings(4, 5))
    error = refusal(*entries)
    assert "no epochs from 0 on (the last backup is none)" in error.message
    plan = plan_of(*entries, check_epochs=False)
    assert (plan.target, plan.epoch_endings, plan.notes, plan.gaps) == (560, (), (), ())


FAR = MAX_REPLAY_VERSIONS + 400
"""The last version that a node opens on the snapshot at 400."""


def test_a_node_replays_this_many_versions() -> None:
    assert MAX_REPLAY_VERSIONS == 800_000


def far_backup(last: int) -> list[Entry]:
    return [*BACKUP, saved(561, last)]


def test_without_a_request_a_ledger_too_far_ahead_is_left_at_the_snapshot() -> None:
    plan = plan_of(*far_backup(FAR + 1))
    assert (plan.target, plan.snapshot.version) == (400, 400)
    assert manifests(plan) == ["transactions 301-450"]
    assert chained(plan) == ["epochs 0-0", "epochs 1-3", "epochs 4-5"]
    assert len(plan.notes) == 1
    assert f"transactions reach {FAR + 1}" in plan.notes[0]
    assert "the target is the snapshot itself" in plan.notes[0]


def test_a_ledger_just_near_enough_is_reached() -> None:
    for target in (None, FAR):
        plan = plan_of(*far_backup(FAR), target=target)
        assert (plan.target, plan.snapshot.version, plan.notes) == (FAR, 400, ())


def test_a_requested_version_too_far_ahead_is_refused_with_both_bounds() -> None:
    error = refusal(*far_backup(FAR + 9), target=FAR + 1)
    assert (error.expected, error.found) == (str(FAR + 1), str(FAR))
    assert f"from 400 to {FAR}" in error.message
    plan = plan_of(*far_backup(FAR + 9), target=FAR + 1, accept_older=True)
    assert (plan.requested, plan.target, plan.snapshot.version) == (FAR + 1, FAR, 400)
    assert plan_of(*far_backup(FAR + 9), target=FAR).target == FAR


@pytest.mark.parametrize(
    ("start", "older"), [(0, 0), (199, 0), (200, 200), (201, 200), (399, 200), (400, None), (999, None)]
)
def test_the_history_starts_at_the_newest_snapshot_at_or_below_its_start(
    start: int, older: int | None
) -> None:
    plan = plan_of(*BACKUP, history=start)
    assert plan.snapshot == state(4)
    if older is None:
        assert (plan.kv_snapshot, plan.history_version, plan.first_saved) == (None, 400, 301)
        assert plan.snapshots == (state(4),)
    else:
        assert plan.kv_snapshot is not None
        assert (plan.kv_snapshot.version, plan.history_version) == (older, older)
        assert plan.snapshots == (plan.kv_snapshot, state(4))
        assert plan.first_saved == (0 if older == 0 else 151)
    assert plan.transactions[-1].last_version == plan.target == 560
    assert plan.notes == ()


def test_a_history_older_than_every_snapshot_is_refused_unless_less_is_welcome() -> None:
    entries = without(state(0))
    error = refusal(*entries, history=199)
    assert (error.expected, error.found) == ("199", "400")
    assert "at or below the history start 199: the backup has none so old" in error.message
    plan = plan_of(*entries, history=199, accept_older=True)
    assert (plan.kv_snapshot, plan.target, plan.first_saved) == (None, 560, 301)
    assert plan.notes == ("the state history starts at 400, not at 199",)


def test_a_history_does_not_start_before_a_gap() -> None:
    entries = [*without(saved(151, 300)), saved(160, 300)]
    gap = Gap("versions", 151, 159, "transactions 1-150", "transactions 160-300")
    error = refusal(*entries, history=0)
    assert f"no history from the snapshot at 0: {gap}" in error.message
    plan = plan_of(*entries, history=0, accept_older=True)
    assert (plan.kv_snapshot, plan.gaps) == (None, (gap,))
    assert plan.notes[-1] == "the state history starts at 400, not at 0"
    kept = plan_of(*entries, history=200).kv_snapshot
    assert kept == state(2)


def test_an_older_snapshot_that_cannot_be_trusted_starts_no_history() -> None:
    liar = state(9, 300)
    plan = plan_of(*BACKUP, liar, history=350)
    assert plan.kv_snapshot == state(2)
    assert plan.notes == ("the snapshot at version 300 is of epoch 9, epoch endings reach 5",)


def test_a_history_base_without_its_own_transaction_is_passed_over_for_an_older_one() -> None:
    entries = [*without(saved(1, 150), saved(151, 300)), saved(1, 300), state(1, 100)]
    assert plan_of(*entries, history=150).kv_snapshot == state(1, 100)


def test_of_overlapping_backups_the_one_that_reaches_furthest_is_taken_then_the_lowest_name() -> None:
    plan = plan_of(*BACKUP, saved(390, 500), saved(390, 500, " again"), saved(300, 401), saved(480, 500))
    assert manifests(plan) == ["transactions 390-500", "transactions 451-560"]
    assert plan.first_saved == 390
    copies = plan_of(*without(saved(451, 560)), saved(451, 560, " b"), saved(451, 560, " a"))
    assert manifests(copies)[-1] == "transactions 451-560 a"


def test_overlapping_epoch_endings_are_chained_once() -> None:
    plan = plan_of(*BACKUP, endings(1, 1), endings(2, 5), endings(5, 5))
    assert chained(plan) == ["epochs 0-0", "epochs 1-3", "epochs 2-5"]


def test_an_overlap_may_bridge_what_would_be_a_gap() -> None:
    plan = plan_of(*without(saved(151, 300)), saved(100, 320))
    assert plan_of(*without(saved(151, 300)), saved(100, 320), history=0).kv_snapshot == state(0)
    assert plan.target == 560


def test_the_same_gap_is_listed_once() -> None:
    plan = plan_of(endings(0, 6), state(1), state(3), state(4), saved(0, 200), saved(450, 560))
    assert plan.gaps == (Gap("versions", 201, 449, "transactions 0-200", "transactions 450-560"),)
    assert (plan.target, plan.snapshot.version) == (200, 100)


PROBLEMS = (
    FormatError("metadata line 2 does not parse", file="metadata/a.meta"),
    ManifestError("metadata line 1 has reversed versions", file="metadata/b.meta"),
)


def plan_beside_problems(
    *entries: Entry,
    target: int | None,
    history: int | None = None,
    accept_older: bool = False,
    problems: tuple[DataError, ...] = PROBLEMS,
) -> Plan:
    request = PlanRequest(target, history, accept_older=accept_older)
    return make_plan(MetadataView(entries, problems), request)


@pytest.mark.parametrize("accept_older", [False, True])
def test_the_newest_version_is_not_planned_while_a_line_cannot_be_read(accept_older: bool) -> None:
    with pytest.raises(FormatError) as refused:
        plan_beside_problems(*BACKUP, target=None, accept_older=accept_older)
    assert refused.value is PROBLEMS[0]


def test_a_requested_version_that_the_rest_reaches_is_planned_and_each_problem_noted() -> None:
    plan = plan_beside_problems(*BACKUP, target=450)
    assert plan == replace(plan_of(*BACKUP, target=450), notes=tuple(map(str, PROBLEMS)))
    assert plan.notes[0] == "metadata line 2 does not parse: file metadata/a.meta"


def test_problems_are_noted_before_what_falls_short() -> None:
    entries = without(saved(301, 450))
    plan = plan_beside_problems(*entries, target=400, accept_older=True)
    assert plan.target == 300
    assert plan.notes == (*map(str, PROBLEMS), *plan_of(*entries, target=400, accept_older=True).notes)


@pytest.mark.parametrize(
    ("entries", "target", "history"),
    [
        ([endings(0, 5), state(2)], 300, None),
        (without(state(0), state(2)), 300, None),
        (without(saved(301, 450)), 400, None),
        (without(state(0)), 560, 199),
    ],
)
def test_what_is_not_reachable_may_stand_in_a_line_that_cannot_be_read(
    entries: list[Entry], target: int, history: int | None
) -> None:
    without_problems = refusal(*entries, target=target, history=history)
    for problems, more in ((PROBLEMS, "; and 1 more"), (PROBLEMS[:1], "")):
        with pytest.raises(UnreachableError) as caught:
            plan_beside_problems(*entries, target=target, history=history, problems=problems)
        assert str(caught.value) == str(without_problems)
        assert caught.value.hint == (
            f"what is missing may stand in what could not be read: {PROBLEMS[0]}{more}"
        )
    assert "could not be read" not in without_problems.hint
