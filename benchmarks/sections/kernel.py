"""Hashing and table files, from `benchmarks.kernel` and `benchmarks.tables`: each beside what it replaces."""

from __future__ import annotations

from importlib.util import find_spec

from benchmarks.figures import Row
from benchmarks.settings import Setting, SkippedError


def rows(setting: Setting) -> list[Row]:
    """Hashing by each level that this CPU has, and writing table files."""
    if find_spec("restore.kernel._native") is None:
        raise SkippedError("the C extension is not built")
    from benchmarks import kernel, tables

    sizes = setting.sizes
    return [*kernel.rows(sizes.rounds), *tables.measure(sizes.table_rows, rounds=sizes.rounds)]
