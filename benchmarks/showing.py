"""Shows results as one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from benchmarks.figures import Band, Results, Row

HEAD = ("work", "ours", "unit", "rival or limit", "its figure", "ratio", "least..most", "promised")


def table(results: Results) -> str:
    """All rows by part, what was skipped, and what was promised and not kept."""
    is_judged = results.mode == "full"  # a short run is no measure of what was promised
    parts = [
        (part, [cells(row, is_judged=is_judged) for row in rows])
        for part, rows in groupby(results.rows, _part)
    ]
    widths = [max(map(len, column)) for column in zip(HEAD, *_all_cells(parts), strict=True)]
    lines = [f"{results.machine}, {results.mode}", "", _line(HEAD, widths)]
    for part, part_rows in parts:
        lines += ["", part, *(_line(row, widths) for row in part_rows)]
    lines += ["", *(f"not measured: {what} ({why})" for what, why in results.skipped.items())]
    missed = [row for row in results.rows if is_judged and row.keeps is False]
    lines += [f"MISSED: {row.part}: {row.work}: {_promise(row)}" for row in missed]
    return "\n".join(lines)


def cells(row: Row, *, is_judged: bool) -> tuple[str, ...]:
    """The cells of one row, as `HEAD` names them; where it is judged, whether it keeps what was promised."""
    verdict = "" if row.keeps is None or not is_judged else ": kept" if row.keeps else ": MISSED"
    ratios = row.ratios
    band = Band.of(ratios or row.ours)
    spread = f"{figure(band.least)}..{figure(band.most)}" if len(row.ours) > 1 else ""
    return (
        f"  {row.work}",
        figure(Band.of(row.ours).middle),
        row.unit,
        row.rival,
        figure(Band.of(row.rivals).middle) if row.rival else "",
        figure(band.middle) if ratios else "",
        spread,
        f"{_promise(row)}{verdict}",
    )


def figure(value: float) -> str:
    """A number with three digits that count."""
    if value >= 1000:
        digits = len(str(int(value)))
        return f"{round(value, 3 - digits):,.0f}"
    return f"{value:.3g}"


def _promise(row: Row) -> str:
    sign = "<=" if row.less_is_better else ">="
    promises = [f"{sign} {figure(row.must)}"] if row.must is not None else []
    promises += [f"ratio >= {figure(row.must_ratio)}"] if row.must_ratio is not None else []
    return ", ".join(promises)


def _part(row: Row) -> str:
    return row.part


def _all_cells(parts: Iterable[tuple[str, list[tuple[str, ...]]]]) -> list[tuple[str, ...]]:
    return [row for _, rows in parts for row in rows]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
