"""The fixture that each test measures with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.parts.work import OURS, Part, Work


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kernel: the C extension does the work, where it is used")


@pytest.fixture
def part(benchmark: BenchmarkFixture) -> Part:
    """Measures `function` as one way of a work."""

    def measure(
        work: Work, function: Callable[[], Any], *, way: str = OURS, must_ratio: float | None = None
    ) -> None:
        benchmark.group = f"{work.part}: {work.text}"
        benchmark.extra_info = {**asdict(work), "way": way, "must_ratio": must_ratio}
        benchmark(function)

    return measure
