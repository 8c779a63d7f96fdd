"""Files of metadata are paid for while they are read, and until they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore.catalog import mirror_source
from restore.catalog.mirror import load_view
from restore.flow.budget import Budget
from restore.report.events import Advanced, Event
from tests.catalog.metadata import Observed, save, versions

FILE_BYTES = 2 << 20
"""Nearly, of each file: a folder's reader takes 1 MiB at once."""

FILES = 12


async def test_large_files_are_read_within_a_budget_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Observed(tmp_path)
    line = len((tmp_path / await save(storage, "0.meta", versions(100_000, 100_001))).read_bytes())
    lines = FILE_BYTES // line
    for number in range(1, FILES):
        entries = (versions(100_000 + number * lines + one, 900_000) for one in range(lines))
        await save(storage, f"{number}.meta", *entries)
    budgets: list[Budget] = []

    class Watched(Budget):
        def __init__(self, name: str, total: int) -> None:
            super().__init__(name, total)
            budgets.append(self)

    monkeypatch.setattr(mirror_source, "Budget", Watched)
    monkeypatch.setattr(mirror_source, "METADATA_BYTES", 2 * FILE_BYTES)

    def report(event: Event) -> None:
        if isinstance(event, Advanced):  # it came, and is not written yet
            assert budgets[0].statistics().used >= event.size

    await load_view(storage, concurrency=FILES, report=report)
    (found,) = (budget.statistics() for budget in budgets)
    assert FILE_BYTES < found.peak <= 3 * FILE_BYTES
    assert (found.used, found.leases) == (0, 0)
