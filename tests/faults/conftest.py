"""A folder of objects, and both sides that they are served from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.storage import content
from tests.faults.raw import Side, fill

SMALL = content(1000)
LARGE = content(300_000)
"""Longer than what goes out together with its head, so it is sent by sendfile."""

OBJECTS = {"small": SMALL, "large": LARGE}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bucket with a small and a large object."""
    fill(tmp_path, {f"bucket/{name}": data for name, data in OBJECTS.items()})
    return tmp_path


@pytest.fixture(params=["plain", "s3"])
def side(request: pytest.FixtureRequest) -> Side:
    """Each side in turn."""
    return Side(request.param)
