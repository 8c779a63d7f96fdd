"""Databases to start from, made once: creating 42 instances takes a second, copying them a tenth."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from restore.target.mark import SIDE_FOLDER, FinishedMark
from restore.target.store import RocksStore
from tests.target.chain import LAST, TinyChain, Wanted, build_chain, restore_chain


@pytest.fixture(scope="session")
def chain() -> TinyChain:
    """The chain of `tests.target.chain`."""
    return build_chain()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new database; to be copied, not used."""
    folder = tmp_path_factory.mktemp("empty") / "database"
    (folder / SIDE_FOLDER).mkdir(parents=True)
    RocksStore.open(folder).close()
    return folder


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> Path:
    """A new database of the test's own."""
    return Path(shutil.copytree(empty_database, tmp_path / "database"))


@dataclass(frozen=True)
class Finished:
    """A finished database, what was restored into it, and what its mark says."""

    folder: Path
    wanted: Wanted
    mark: FinishedMark


@pytest.fixture(scope="session")
def finished_database(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, chain: TinyChain
) -> Finished:
    """A database with a history: K < V < T; to be copied, not used."""
    folder = tmp_path_factory.mktemp("finished") / "database"
    shutil.copytree(empty_database, folder)
    wanted = Wanted(target=LAST, snapshot=15, history=7, first=4)
    return Finished(folder, wanted, asyncio.run(restore_chain(folder, chain, wanted)))


@pytest.fixture
def finished(tmp_path: Path, finished_database: Finished) -> Finished:
    """The same database of the test's own."""
    folder = Path(shutil.copytree(finished_database.folder, tmp_path / "finished"))
    return Finished(folder, finished_database.wanted, finished_database.mark)
