"""The table of the benchmarks, and the comparison of two of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.compare import compare, report, unmatched
from benchmarks.figures import SCHEMA, Results, Row, load, save
from benchmarks.showing import cells, figure, table

RATE = Row(part="hash", work="short", unit="M/s", ours=(8.0, 6.0, 9.0), rival="old", rivals=(2.0, 2.0, 3.0))
COST = Row(part="start", work="--help", unit="ms", ours=(50.0, 40.0), less_is_better=True, must=45.0)


def results(*rows: Row, mode: str = "quick") -> Results:
    return Results(schema=SCHEMA, machine="a machine", mode=mode, rows=rows, skipped={"storage": "no nginx"})


def changed(row: Row, *ours: float) -> Row:
    return msgspec.structs.replace(row, ours=ours)


def test_the_ratio_is_that_within_each_round() -> None:
    assert RATE.ratios == (4.0, 3.0, 3.0)


def test_where_less_is_better_the_ratio_says_how_many_times_as_good_we_are_all_the_same() -> None:
    row = msgspec.structs.replace(COST, rival="bare", rivals=(100.0, 120.0))
    assert row.ratios == (2.0, 3.0)


def test_without_a_rival_there_is_no_ratio() -> None:
    assert COST.ratios == ()


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        (RATE, None),
        (msgspec.structs.replace(RATE, must=8.0), True),
        (msgspec.structs.replace(RATE, must=8.1), False),
        (msgspec.structs.replace(RATE, must_ratio=3.0), True),
        (msgspec.structs.replace(RATE, must_ratio=3.1), False),
        (msgspec.structs.replace(RATE, must=8.0, must_ratio=3.1), False),
        (COST, True),
        (msgspec.structs.replace(COST, must=44.9), False),
    ],
)
def test_a_promise_is_kept_by_the_median(row: Row, kept: bool | None) -> None:
    assert row.keeps is kept


def test_rows_with_another_number_of_rounds_than_their_rival_are_a_mistake() -> None:
    row = msgspec.structs.replace(RATE, rivals=(1.0,))
    with pytest.raises(ValueError, match="zip"):
        _ = row.ratios


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (1.0, "1"), (45.67, "45.7"), (999.4, "999"), (1234.5, "1,230"), (1e6, "1,000,000")],
)
def test_figures_have_three_digits_that_count(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_row_shows_both_figures_their_ratio_its_band_and_the_promise() -> None:
    row = msgspec.structs.replace(RATE, must_ratio=6.0)
    shown = ("  short", "8", "M/s", "old", "2", "3", "3..4")
    assert cells(row, is_judged=True) == (*shown, "ratio >= 6: MISSED")
    assert cells(row, is_judged=False) == (*shown, "ratio >= 6")
    assert cells(COST, is_judged=True) == ("  --help", "45", "ms", "", "", "", "40..50", "<= 45: kept")


def test_the_table_names_every_part_once_and_what_is_missing() -> None:
    missed = msgspec.structs.replace(RATE, work="long", must=1000.0)
    lines = table(results(RATE, missed, COST, mode="full")).splitlines()
    assert lines[0] == "a machine, full"
    assert lines.count("hash") == 1
    assert [line.split()[0] for line in lines if line.startswith("  ")] == ["short", "long", "--help"]
    assert lines[-2:] == ["not measured: storage (no nginx)", "MISSED: hash: long: >= 1,000"]
    assert "MISSED" not in table(results(missed))


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "new" / "results.json"
    save(results(RATE, COST), file)
    assert load(file) == results(RATE, COST)


def test_a_file_that_holds_no_results_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"schema": 1}')
    with pytest.raises(msgspec.ValidationError):
        load(file)


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        (COST, changed(COST, 39.0, 30.0), "better"),
        (COST, changed(COST, 50.0, 60.0), ""),  # the best of the new rounds is as good as the worst old one
        (COST, changed(COST, 51.0, 60.0), "WORSE"),
        (RATE, changed(RATE, 8.0, 8.1, 12.3), ""),
        (RATE, changed(RATE, 8.1, 8.1, 12.3), "better"),  # by its ratios, which all are above 4
        (RATE, changed(RATE, 1.0, 1.0, 1.0), "WORSE"),
    ],
)
def test_what_lies_apart_from_all_old_rounds_is_flagged(old: Row, new: Row, verdict: str) -> None:
    (change,) = compare(results(old), results(new))
    assert change.verdict == verdict


def test_a_machine_that_is_slower_altogether_changes_no_row_with_a_rival() -> None:
    slower = msgspec.structs.replace(RATE, ours=(4.0, 3.0, 4.5), rivals=(1.0, 1.0, 1.5))
    (change,) = compare(results(RATE), results(slower))
    assert change.band.middle == 1.0


def test_rows_that_only_one_has_are_named() -> None:
    old, new = results(RATE), results(COST, msgspec.structs.replace(RATE, work="new"))
    assert compare(old, new) == []
    assert [row.work for row in unmatched(old, new)] == ["short", "--help", "new"]
    assert "in one of them only: start: --help" in report(old, new, [])


def test_the_command_fails_where_a_row_is_worse(tmp_path: Path) -> None:
    old, same, worse = (tmp_path / f"{name}.json" for name in ("old", "same", "worse"))
    save(results(COST, RATE), old)
    save(results(COST, RATE), same)
    save(results(changed(COST, 90.0, 95.0), RATE), worse)
    command = [sys.executable, "-m", "benchmarks.compare", str(old)]
    assert subprocess.run([*command, str(same)], stdout=subprocess.DEVNULL, check=False).returncode == 0
    finished = subprocess.run([*command, str(worse)], stdout=subprocess.PIPE, text=True, check=False)
    assert finished.returncode == 1
    assert [line for line in finished.stdout.splitlines() if "WORSE" in line] == [
        " 0.481 (0.421..0.556) WORSE  start: --help in ms"
    ]
