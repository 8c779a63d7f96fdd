"""The view over all metadata: order, coverage, gaps; against an oracle that counts number by number."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.catalog.entries import (
    CompactionEntry,
    Entry,
    EpochEndingEntry,
    IdentityEntry,
    StateSnapshotEntry,
    TransactionEntry,
)
from restore.catalog.view import Gap, MetadataView, StorageState
from restore.errors import FormatError, ManifestError

LIMIT = 24
"""Numbers in the property tests: few, so that ranges meet, overlap and repeat."""


def transactions(first: int, last: int, manifest: str = "") -> TransactionEntry:
    return TransactionEntry(first, last, manifest or f"{first}-{last}")


def epochs(first: int, last: int, manifest: str = "") -> EpochEndingEntry:
    return EpochEndingEntry(first, last, 10 * first, 10 * last, manifest or f"{first}-{last}")


def covered(view: MetadataView, first: int, last: int) -> list[str]:
    return [entry.manifest for entry in view.cover_transactions(first, last).entries]


ranges = st.tuples(st.integers(0, LIMIT), st.integers(0, LIMIT), st.sampled_from(["a", "b", "c"])).map(
    lambda drawn: (*sorted(drawn[:2]), drawn[2])
)


@given(st.lists(ranges, max_size=10), st.integers(0, LIMIT), st.integers(0, LIMIT))
def test_transactions_are_covered_as_counting_says(
    drawn: list[tuple[int, int, str]], first: int, last: int
) -> None:
    entries = [transactions(begin, end, name) for begin, end, name in drawn]
    coverage = MetadataView(entries).cover_transactions(first, last)
    check_against_counting(coverage.entries, coverage.gap, entries, first=first, last=last)


@given(st.lists(ranges, max_size=10))
def test_epochs_are_covered_from_the_first_to_the_newest(drawn: list[tuple[int, int, str]]) -> None:
    entries = [epochs(begin, end, name) for begin, end, name in drawn]
    coverage = MetadataView(entries).cover_epochs()
    newest = max((entry.last_epoch for entry in entries), default=0)
    check_against_counting(coverage.entries, coverage.gap, entries, first=0, last=newest)
    if coverage.gap is not None and entries:
        assert coverage.gap.before is not None


def check_against_counting(
    chosen: Sequence[EpochEndingEntry | TransactionEntry],
    gap: Gap | None,
    entries: Sequence[EpochEndingEntry | TransactionEntry],
    *,
    first: int,
    last: int,
) -> None:
    """Walks number by number: at each one that is not covered yet, the rule names the backup to take."""
    held = {number for entry in entries for number in range(entry.bounds[0], entry.bounds[1] + 1)}
    expected: list[EpochEndingEntry | TransactionEntry] = []
    missing = None
    for number in range(first, last + 1):
        if expected and number <= expected[-1].bounds[1]:
            continue
        if number not in held:
            missing = number
            break
        holders = [entry for entry in entries if entry.bounds[0] <= number <= entry.bounds[1]]
        furthest = max(entry.bounds[1] for entry in holders)
        lowest = min(entry.manifest for entry in holders if entry.bounds[1] == furthest)
        # The same handle at the same end may begin at two places; the view takes whichever it meets first.
        expected.append(
            next(
                entry
                for entry in sorted(holders, key=lambda holder: holder.bounds)
                if (entry.bounds[1], entry.manifest) == (furthest, lowest)
            )
        )
    assert list(chosen) == expected
    if missing is None:
        assert gap is None
        return
    assert gap is not None
    before = [entry for entry in entries if entry.bounds[1] < missing]
    after = [entry for entry in entries if entry.bounds[0] > missing]
    assert gap.first == max((entry.bounds[1] + 1 for entry in before), default=missing)
    assert gap.last == min((entry.bounds[0] - 1 for entry in after), default=None)
    assert not held & set(range(gap.first, (missing if gap.last is None else gap.last) + 1))
    if before:
        assert (gap.after, gap.first) in {(entry.manifest, entry.bounds[1] + 1) for entry in before}
    else:
        assert gap.after is None
    if after:
        assert (gap.before, gap.last) in {(entry.manifest, entry.bounds[0] - 1) for entry in after}
    else:
        assert gap.before is None


def test_categories_are_sorted_and_exact_duplicates_collapse() -> None:
    entries: list[Entry] = [
        transactions(5, 9),
        IdentityEntry("id"),
        StateSnapshotEntry(2, 9, "s2"),
        transactions(0, 4),
        transactions(0, 4),
        CompactionEntry(7, {"metadata/a.meta": None}),
        epochs(1, 1),
        StateSnapshotEntry(1, 4, "s1"),
        epochs(0, 0),
        epochs(1, 1),
        transactions(0, 4, "again"),
    ]
    view = MetadataView(iter(entries))
    assert view.transactions == (transactions(0, 4), transactions(0, 4, "again"), transactions(5, 9))
    assert view.epoch_endings == (epochs(0, 0), epochs(1, 1))
    assert view.state_snapshots == (StateSnapshotEntry(1, 4, "s1"), StateSnapshotEntry(2, 9, "s2"))


def test_of_overlapping_backups_the_one_reaching_furthest_is_taken_then_the_lowest_handle() -> None:
    view = MetadataView(
        [transactions(0, 9, "a"), transactions(3, 14, "z"), transactions(5, 14, "b"), transactions(0, 7, "c")]
    )
    assert covered(view, 0, 14) == ["a", "b"]
    assert covered(view, 0, 9) == ["a"]
    assert covered(view, 5, 14) == ["b"]
    assert covered(view, 4, 14) == ["z"]


def test_a_backup_made_twice_and_compacted_between_is_no_obstacle() -> None:
    view = MetadataView(
        [transactions(0, 0, "a"), transactions(1, 99, "first"), transactions(1, 99, "again"),
         transactions(100, 199, "b")]
    )  # fmt: skip
    assert covered(view, 0, 199) == ["a", "again", "b"]


def test_only_what_is_used_must_be_continuous() -> None:
    view = MetadataView([transactions(0, 9), transactions(50, 99), transactions(100, 199)])
    coverage = view.cover_transactions(60, 150)
    assert [entry.manifest for entry in coverage.entries] == ["50-99", "100-199"]
    assert coverage.gap is None


def test_a_gap_names_both_neighbours_and_all_that_is_missing() -> None:
    view = MetadataView([transactions(0, 9), transactions(20, 29)])
    coverage = view.cover_transactions(0, 29)
    assert [entry.manifest for entry in coverage.entries] == ["0-9"]
    assert coverage.gap == Gap("versions", 10, 19, "0-9", "20-29")
    assert str(coverage.gap) == "versions 10 to 19 are missing (between 0-9 and 20-29)"
    inside = view.cover_transactions(13, 29)
    assert (inside.entries, inside.gap) == ((), coverage.gap)


@pytest.mark.parametrize(
    ("entries", "first", "gap", "text"),
    [
        (
            [transactions(0, 9)],
            0,
            Gap("versions", 10, None, "0-9", None),
            "no versions from 10 on (the last backup is 0-9)",
        ),
        (
            [transactions(5, 9)],
            0,
            Gap("versions", 0, 4, None, "5-9"),
            "versions 0 to 4 are missing (between the beginning and 5-9)",
        ),
        ([], 3, Gap("versions", 3, None, None, None), "no versions from 3 on (the last backup is none)"),
    ],
)
def test_a_gap_at_an_end_has_one_neighbour(entries: list[Entry], first: int, gap: Gap, text: str) -> None:
    coverage = MetadataView(entries).cover_transactions(first, 20)
    assert coverage.gap == gap
    assert str(coverage.gap) == text


def test_an_empty_range_needs_nothing() -> None:
    coverage = MetadataView([]).cover_transactions(5, 4)
    assert (coverage.entries, coverage.gap) == ((), None)


def test_without_epoch_endings_epoch_0_is_missing() -> None:
    coverage = MetadataView([]).cover_epochs()
    assert (coverage.entries, coverage.gap) == ((), Gap("epochs", 0, None, None, None))


def test_epochs_stop_at_a_gap_although_later_ones_are_there() -> None:
    view = MetadataView([epochs(0, 1), epochs(2, 2), epochs(4, 9)])
    coverage = view.cover_epochs()
    assert [entry.manifest for entry in coverage.entries] == ["0-1", "2-2"]
    assert coverage.gap == Gap("epochs", 3, 3, "2-2", "4-9")


def test_many_small_ranges_are_covered_within_the_time_limit_of_a_test() -> None:
    """In linear time; looking at every backup for each would take minutes."""
    view = MetadataView(transactions(number, number) for number in range(50_000))
    coverage = view.cover_transactions(0, 49_999)
    assert len(coverage.entries) == 50_000


SNAPSHOTS = MetadataView(
    [
        StateSnapshotEntry(0, 0, "genesis"),
        StateSnapshotEntry(3, 30, "old"),
        StateSnapshotEntry(5, 50, "again-b"),
        StateSnapshotEntry(5, 50, "again-a"),
        StateSnapshotEntry(9, 40, "late epoch, early version"),
    ]
)


@pytest.mark.parametrize(
    ("version", "inclusive", "versions"),
    [
        (51, False, [50, 50, 40, 30, 0]),
        (50, False, [40, 30, 0]),
        (50, True, [50, 50, 40, 30, 0]),
        (30, False, [0]),
        (0, True, [0]),
        (0, False, []),
        (2**64 - 1, True, [50, 50, 40, 30, 0]),
    ],
)
def test_snapshots_before_a_version_come_newest_first(
    version: int, inclusive: bool, versions: list[int]
) -> None:
    found = SNAPSHOTS.snapshots_before(version, inclusive=inclusive)
    assert [entry.version for entry in found] == versions


def test_the_state_is_the_newest_of_each_kind_and_the_line_of_the_rust_tool() -> None:
    state = MetadataView(
        [
            epochs(0, 3000),
            epochs(2500, 3316),
            epochs(3301, 3310),
            StateSnapshotEntry(3305, 417205473, "a"),
            StateSnapshotEntry(3305, 417205472, "b"),
            StateSnapshotEntry(3300, 417205499, "late version, early epoch"),
            transactions(0, 417000000),
            transactions(416999000, 416999999),
        ]
    ).state()
    assert state == StorageState(3316, 3305, 417205473, 417000000)
    assert str(state) == (
        "latest_epoch_ending_epoch: 3316, latest_state_snapshot_epoch: 3305, "
        "latest_state_snapshot_version: 417205473, latest_transaction_version: 417000000"
    )


def test_the_state_of_nothing_has_no_number() -> None:
    state = MetadataView([IdentityEntry("id")]).state()
    assert state == StorageState(None, None, None, None)
    assert str(state) == (
        "latest_epoch_ending_epoch: none, latest_state_snapshot_epoch: none, "
        "latest_state_snapshot_version: none, latest_transaction_version: none"
    )


def test_version_and_epoch_0_are_numbers_of_the_state() -> None:
    state = MetadataView([epochs(0, 0), StateSnapshotEntry(0, 0, "m"), transactions(0, 0)]).state()
    assert state == StorageState(0, 0, 0, 0)
    assert "none" not in str(state)


def test_a_view_with_problems_is_not_complete_and_names_the_first_by_file_and_place() -> None:
    problems = [
        FormatError("metadata file is empty", file="metadata/a.meta"),
        ManifestError("metadata line 1 has reversed epochs", file="metadata/b.meta", offset=9),
        FormatError("metadata line 2 does not parse", file="metadata/b.meta", offset=100),
    ]
    view = MetadataView([transactions(0, 9)], reversed(problems))
    assert view.problems == tuple(problems)
    assert covered(view, 0, 9) == ["0-9"]
    with pytest.raises(FormatError) as refusal:
        view.require_complete()
    assert refusal.value is problems[0]


def test_a_view_without_problems_is_complete() -> None:
    view = MetadataView([])
    view.require_complete()
    assert view.problems == ()
