"""Plans of any backup, against what it holds number by number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.catalog.entries import Entry, EpochEndingEntry
from restore.catalog.view import MetadataView
from restore.errors import UnreachableError
from restore.plan import PlanRequest, make_plan
from tests.test_plan import saved, state

SPANS = st.tuples(st.integers(0, 30), st.integers(0, 12)).map(lambda span: (span[0], span[0] + span[1]))
PARTS = st.one_of(
    SPANS.map(lambda span: EpochEndingEntry(*span, 3 * span[0], 3 * span[1], f"epochs {span}")),
    st.integers(0, 30).map(lambda epoch: state(epoch, 3 * epoch)),
    st.tuples(SPANS, st.sampled_from(["", " b"])).map(lambda part: saved(*part[0], part[1])),
)
BEGINNING: list[Entry] = [EpochEndingEntry(0, 2, 0, 6, "epochs"), state(0, 0), saved(0, 9)]
VIEWS = st.tuples(st.lists(PARTS, max_size=40), st.sampled_from([[], BEGINNING])).map(
    lambda lists: MetadataView([*lists[0], *lists[1]])
)
"""Epoch e ends at version 3 * e, and may have its snapshot there; half of them have a beginning."""

REQUESTS = st.builds(
    PlanRequest,
    st.none() | st.integers(0, 45),
    st.none() | st.integers(0, 45),
    accept_older=st.booleans(),
    check_epochs=st.booleans(),
)


class Truth:
    """What a backup holds, number by number."""

    def __init__(self, view: MetadataView, request: PlanRequest) -> None:
        self.versions: set[int] = set()
        for entry in view.transactions:
            self.versions.update(range(entry.first_version, entry.last_version + 1))
        ended: set[int] = set()
        for ending in view.epoch_endings:
            ended.update(range(ending.first_epoch, ending.last_epoch + 1))
        self.epochs = next(epoch for epoch in range(100) if epoch not in ended)
        self.bases = {
            entry.version
            for entry in view.state_snapshots
            if entry.version in self.versions and (entry.epoch < self.epochs or not request.check_epochs)
        }
        self.newest = max(self.versions, default=-1)
        if request.target_version is not None:
            self.newest = request.target_version

    def reaches(self, first: int, last: int) -> bool:
        return set(range(first, last + 1)) <= self.versions


@given(VIEWS, REQUESTS)
def test_every_plan_can_be_followed(view: MetadataView, request: PlanRequest) -> None:
    try:
        plan = make_plan(view, request)
    except UnreachableError:
        return
    base, target, first = plan.snapshot.version, plan.target, plan.history_version
    assert first <= base <= target
    assert set(plan.transactions) <= set(view.transactions)
    version = first
    for entry in plan.transactions:
        assert entry.first_version <= version <= entry.last_version
        assert version <= target
        version = entry.last_version + 1
    assert version > target
    assert set(plan.epoch_endings) <= set(view.epoch_endings)
    epoch = 0
    for ending in plan.epoch_endings:
        assert ending.first_epoch <= epoch <= ending.last_epoch
        epoch = ending.last_epoch + 1
    if request.check_epochs:
        assert epoch > max(snapshot.epoch for snapshot in plan.snapshots)
        # No ending that a chunk of these backups may need is left out.
        assert epoch == Truth(view, request).epochs or 3 * epoch > plan.transactions[-1].last_version


@given(VIEWS, REQUESTS)
def test_no_better_plan_is_passed_over(view: MetadataView, request: PlanRequest) -> None:
    truth = Truth(view, request)
    try:
        plan = make_plan(view, request)
    except UnreachableError:
        assert not request.accept_older or not [base for base in truth.bases if base <= truth.newest]
        return
    base, target = plan.snapshot.version, plan.target
    assert target <= truth.newest
    assert base in truth.bases
    assert not [newer for newer in truth.bases if base < newer <= target]
    if target < truth.newest:
        at_the_end_of_known_epochs = request.check_epochs and target == 3 * (truth.epochs - 1)
        assert target + 1 not in truth.versions or at_the_end_of_known_epochs
        assert plan.notes
    start = request.history_start
    if start is None or start >= base:
        assert plan.kv_snapshot is None
        return
    histories = [older for older in truth.bases if older <= start and truth.reaches(older, target)]
    assert plan.history_version == max(histories, default=base)


@given(VIEWS, REQUESTS)
def test_less_is_taken_only_where_it_is_welcome(view: MetadataView, request: PlanRequest) -> None:
    target, start = request.target_version, request.history_start
    strict, lenient = (replace(request, accept_older=accept) for accept in (False, True))
    try:
        most = make_plan(view, lenient)
    except UnreachableError:
        with pytest.raises(UnreachableError):
            make_plan(view, strict)
        return
    falls_short = target is not None and most.target < target
    begins_late = start is not None and start < most.snapshot.version and most.kv_snapshot is None
    if falls_short or begins_late:
        with pytest.raises(UnreachableError):
            make_plan(view, strict)
        assert most.notes
    else:
        assert make_plan(view, strict) == most
