"""Sample backups, made once for all tests of a process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from restore.sample.backup import write_sample
from restore.sample.spec import SampleBackup, SampleSpec


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleBackup:
    """A small backup of everything: four epochs, snapshots at several, a tail and a head after them."""
    return asyncio.run(write_sample(SampleSpec(), tmp_path_factory.mktemp("sample") / "backup"))


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> SampleBackup:
    """The same of another chain."""
    return asyncio.run(write_sample(SampleSpec(seed=2), tmp_path_factory.mktemp("other") / "backup"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where a database may go."""
    return tmp_path / "db"
