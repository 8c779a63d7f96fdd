"""What a whole command holds at most, at 1 to 64 downloads at once: read from the kernel, from outside.

| over     | descriptors           | children | memory beyond that of one download, and beyond the budget |
| -------- | --------------------- | -------- | --------------------------------------------------------- |
| HTTP     | 2 for each open file  | none     | 128 KiB for each open file, and buffers that wait:        |
|          |                       |          | as many bytes as were in use at once, so the budget       |
| commands | 4 for each child      | N + 2    | 1 MiB for each child                                      |

Files are open as many at once as there are downloads, or 16 small ones. Bounds that nothing comes near to
would prove nothing: transfers are held up until all of them wait, and over HTTP are asked for twice.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.faults import FaultPlan
from restore.catalog.mirror import SMALL_FILES_AT_ONCE
from restore.cli.reading import CHILDREN_BESIDE
from restore.sample.spec import SampleSpec
from tests.restoring.remote import (
    Published,
    Reached,
    Way,
    nothing_but_the_loopback,
    publish,
    reached,
    write_config,
)
from tests.restoring.watching import Watched, watch

MANY = SampleSpec(
    state_items=60_000,
    epochs=1,
    transactions=12,
    tail_epochs=0,
    head_transactions=2,
    snapshot_chunks=160,
    snapshot_interval_epochs=0,
    transactions_per_backup=100,
)
"""Chunks of 180 KB: more than twice 64, so that as many are held as may be."""

CHUNKS = r"/state_epoch_.*\.chunk$"
FIRST_CHUNK = r"/state_epoch_.*/0-\.chunk$"

DOWNLOADS = (1, 4, 16, 64)

BUDGET = 4 << 20
"""Bytes: far less than the chunks that 64 downloads hold."""

AT_REST = 14
"""Descriptors of a run that reads no file: the standard streams, the event loop's, and those for signals."""

BESIDE = 14
"""Descriptors: six of the metadata cache, a listing's connection, what a child needs while it is started, and
what other systems add."""

HELD_UP_SECONDS = 1.0
"""Long after a transfer that is late is asked for again: after a quarter of a second."""

CONNECTION_BYTES = 64 << 10
"""Of a connection's buffer."""

READER_BYTES = 1 << 20
"""Of the buffer between a command and its reader."""

SLACK = 4 << 20
"""Bytes: what allocator and interpreter take more or less from run to run."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(MANY, tmp_path_factory.mktemp("bounds"), "many")


def verify(
    flags: list[str], folder: Path, *, downloads: int, budget: int = BUDGET, gate: Gate | None = None
) -> Watched:
    """Verifies the state that `flags` name, and looks at the process meanwhile."""
    folder.mkdir()
    bounds = ["--concurrent-downloads", str(downloads), "--memory-budget", str(budget)]
    arguments = ["verify", *flags, *bounds, "--start-version", "max"]
    watched = watch(
        arguments, nothing_but_the_loopback(), folder, on_look=gate.look if gate else lambda _: None
    )
    assert watched.exit_code == 0
    return watched


class Gate:
    """Holds commands up until so many of them are there.

    They open a FIFO for reading, which takes until it is open for writing: from then on nobody waits.
    """

    def __init__(self, file: Path, children: int) -> None:
        os.mkfifo(file)
        self._file = file
        self._children = children
        self._open: int | None = None

    def look(self, watched: Watched) -> None:
        if self._open is None and watched.children >= self._children:
            self._open = os.open(self._file, os.O_RDWR)

    def close(self) -> None:
        if self._open is not None:
            os.close(self._open)


# HTTP


def over_http(many: Published, folder: Path, faults: FaultPlan, *, downloads: int, budget: int) -> Watched:
    with reached(many, folder / "no.yaml", faults) as served:
        return verify(
            served.flags(Way.HTTP), folder / f"{downloads} {budget}", downloads=downloads, budget=budget
        )


@pytest.fixture(scope="module")
def one_at_a_time(many: Published, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """One download at a time, and a budget that has room for nothing but the oldest chunk."""
    return over_http(many, tmp_path_factory.mktemp("one"), FaultPlan(), downloads=1, budget=1)


def most_memory_over_http(one: Watched, downloads: int) -> int:
    files = max(downloads, SMALL_FILES_AT_ONCE)
    return one.memory_bytes + 2 * BUDGET + 2 * CONNECTION_BYTES * files + SLACK


@pytest.mark.parametrize("downloads", DOWNLOADS)
def test_connections_and_memory_over_http_keep_to_their_bounds(
    many: Published, one_at_a_time: Watched, tmp_path: Path, downloads: int
) -> None:
    late = FaultPlan(latency=HELD_UP_SECONDS, first=2 * downloads, only=CHUNKS)
    watched = over_http(many, tmp_path, late, downloads=downloads, budget=BUDGET)
    files = max(downloads, SMALL_FILES_AT_ONCE)
    # Not all of them are late at the same moment; most are.
    assert AT_REST + 1.5 * downloads <= watched.descriptors <= AT_REST + BESIDE + 2 * files
    assert watched.children == 0
    assert watched.memory_bytes <= most_memory_over_http(one_at_a_time, downloads)


def test_the_budget_is_what_keeps_the_memory_over_http_to_its_bound(
    many: Published, one_at_a_time: Watched, tmp_path: Path
) -> None:
    """The first chunk comes last, so that those behind it would all be held."""
    late, downloads = FaultPlan(latency=2 * HELD_UP_SECONDS, only=FIRST_CHUNK), DOWNLOADS[-1]
    bounded = over_http(many, tmp_path, late, downloads=downloads, budget=BUDGET)
    unbounded = over_http(many, tmp_path, late, downloads=downloads, budget=1 << 30)
    bound = most_memory_over_http(one_at_a_time, downloads)
    assert bounded.memory_bytes <= bound < unbounded.memory_bytes


# Commands


def behind_commands(many: Published, folder: Path, *, downloads: int, budget: int) -> Watched:
    gate = Gate(folder / "gate", downloads)
    try:
        config = write_config(folder / "adapter.yaml", many.folder, at_chunks=f": < {folder / 'gate'}")
        flags = Reached(many, "", "", config).flags(Way.COMMAND)
        return verify(flags, folder / "run", downloads=downloads, budget=budget, gate=gate)
    finally:
        gate.close()


@pytest.fixture(scope="module")
def one_child_at_a_time(many: Published, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return behind_commands(many, tmp_path_factory.mktemp("one"), downloads=1, budget=1)


@pytest.mark.parametrize("downloads", DOWNLOADS)
def test_children_descriptors_and_memory_of_commands_keep_to_their_bounds(
    many: Published, one_child_at_a_time: Watched, tmp_path: Path, downloads: int
) -> None:
    watched = behind_commands(many, tmp_path, downloads=downloads, budget=BUDGET)
    children = downloads + CHILDREN_BESIDE
    assert downloads <= watched.children <= children
    assert AT_REST + 4 * downloads <= watched.descriptors <= AT_REST + BESIDE + 4 * children
    most = one_child_at_a_time.memory_bytes + BUDGET + READER_BYTES * children + SLACK
    assert watched.memory_bytes <= most
