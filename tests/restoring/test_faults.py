"""Whole restores over a link that fails: they end in the rows of a local one, or say that they cannot.

What a fault does to a restore is told in the time of retries, which runs faster here, and with a shorter
patience for silence; the rates are higher than those of the world, so that each small restore has some.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest

from benchmarks.faults import FaultPlan, FaultServer, Kind
from benchmarks.packing import pack
from benchmarks.rows import row_digests
from restore.coordinator import bootstrap
from restore.errors import DataError, ForeignTargetError, TransientStorageError
from restore.flow.retry import Retry
from restore.flow.stop import run
from restore.report.events import Event, Hedged, Retried, Throttled
from restore.report.result import Result
from restore.sample.spec import SampleBackup
from restore.storage import http, race, transfer
from restore.storage.gzipped import Gzipped
from restore.storage.http import HttpClient
from restore.storage.http_origin import HttpOrigin
from restore.storage.remote import RemoteStorage
from restore.target.mark import load_finished
from tests.restoring.commands import request_of, restore_request, restore_sample

FASTER = 50
"""Pauses between tries pass so many times as fast."""

STALL_SECONDS = 0.5
"""In place of 10: a loopback that moves brings something in this time."""

PART_BYTES = 8 << 10
"""In place of 16 MiB: the larger files of the sample come in several requests."""


@dataclass
class Link:
    """A restore over a link that fails as a plan says.

    Attributes:
        events: what it told.
        faults: those that were chosen, after it.
    """

    root: Path
    plan: FaultPlan
    events: list[Event] = field(default_factory=list)
    faults: Counter[Kind] = field(default_factory=Counter)

    def restore(self, sample: SampleBackup, target: Path) -> Result:
        return run(lambda: self._restore(sample, target))

    async def _restore(self, sample: SampleBackup, target: Path) -> Result:
        report = self.events.append
        requests = count().__next__  # bursts are counted in requests, so that each restore has some
        async with (
            FaultServer(self.root, self.plan, clock=requests) as server,
            HttpClient(report=report) as client,
        ):
            origin = HttpOrigin(server.url, client)
            remote = RemoteStorage(origin, report=report, retry=Retry(report, sleep=_sleep, clock=_clock))
            request = request_of(sample.root, sample.genesis_waypoint, target)
            try:
                return await bootstrap(replace(request, storage=Gzipped(remote, packs=False)), report)
            except ExceptionGroup as group:  # two chunks that fail in the same tick; either is right
                raise group.exceptions[0] from None
            finally:
                self.faults = server.counters.faults

    def told(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds / FASTER)


def _clock() -> float:
    return asyncio.get_running_loop().time() * FASTER


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "STALL_SECONDS", STALL_SECONDS)
    monkeypatch.setattr(http, "IDLE_SECONDS", STALL_SECONDS)
    monkeypatch.setattr(transfer, "PART_BYTES", PART_BYTES)


@pytest.fixture(scope="module")
def packed(sample: SampleBackup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample as it would be published."""
    folder = tmp_path_factory.mktemp("packed") / "backup"
    pack(sample.root, folder)
    return folder


@pytest.fixture(scope="module")
def rows(sample: SampleBackup, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The rows that a restore of the local files ends in."""
    target = tmp_path_factory.mktemp("local") / "db"
    restore_sample(sample, target)
    return row_digests(target)


SURVIVED: dict[str, tuple[FaultPlan, set[Kind], set[type[Event]]]] = {
    "nothing goes wrong": (FaultPlan(), set(), set()),
    "stalls": (
        FaultPlan(seed=1, stall=0.05, stall_before_headers=0.02),
        {Kind.STALL, Kind.STALL_BEFORE_HEADERS},
        {Hedged},
    ),
    "resets": (FaultPlan(seed=1, reset=0.1), {Kind.RESET}, {Retried}),
    "ends before the end": (FaultPlan(seed=1, truncate=0.05), {Kind.TRUNCATE}, {Retried}),
    "bursts of 503": (
        FaultPlan(burst_every=40, burst_seconds=5),
        {Kind.UNAVAILABLE},
        {Retried, Throttled},
    ),
    "latency": (FaultPlan(latency=0.005, jitter=0.01), set(), set()),
    "all together": (
        FaultPlan(
            seed=1,
            stall=0.03,
            reset=0.1,
            truncate=0.05,
            burst_every=60,
            burst_seconds=5,
            latency=0.005,
            jitter=0.01,
        ),
        {Kind.STALL, Kind.RESET, Kind.TRUNCATE, Kind.UNAVAILABLE},
        {Hedged, Retried, Throttled},
    ),
    "drips": (FaultPlan(seed=1, drip=0.05, drip_rate=2000), {Kind.DRIP}, {Hedged}),
    "slow headers": (
        FaultPlan(seed=1, slow_headers=0.05, slow_headers_seconds=0.45),
        {Kind.SLOW_HEADERS},
        {Hedged},
    ),
    "listings that end early": (FaultPlan(partial_list=1, first=3), {Kind.PARTIAL_LIST}, {Retried}),
    "a listing with doubles": (FaultPlan(duplicate=1), {Kind.DUPLICATE}, set()),
}
"""By name: what goes wrong, the faults that must have been there, and what must have been told of them."""

CHUNK = r"/state_epoch_2_.*/105-\.chunk$"
"""A file of several parts."""

SPOILED: dict[str, FaultPlan] = {
    "flipped bits": FaultPlan(flip=1, at=0.5),
    "shifted bytes": FaultPlan(shifted=1),
    "wrong ranges": FaultPlan(wrong_range=1),
    "ignored ranges": FaultPlan(ignore_range=1),
    "another object": FaultPlan(changed_etag=1, changed_content=True),
    "bombs": FaultPlan(gzip_bomb=1, bomb_bytes=256 << 20),
}
"""By name: what makes of one file something that it is not."""


@pytest.mark.parametrize("name", SURVIVED)
def test_a_restore_over_a_failing_link_ends_in_the_rows_of_a_local_one(
    packed: Path, sample: SampleBackup, target: Path, rows: dict[str, str], name: str
) -> None:
    plan, faults, told = SURVIVED[name]
    link = Link(packed, plan)
    link.restore(sample, target)
    assert row_digests(target) == rows
    assert set(link.faults) == faults
    assert all(link.told(kind) for kind in told)


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_spoiled_each_time_is_refused_and_never_written(
    packed: Path, sample: SampleBackup, target: Path, rows: dict[str, str], name: str
) -> None:
    with pytest.raises(DataError) as caught:
        Link(packed, replace(SPOILED[name], only=CHUNK)).restore(sample, target)
    assert re.search(CHUNK, f"/{caught.value.file}")
    with pytest.raises(ForeignTargetError, match="not finished"):
        load_finished(target)
    # What was written before can be relied on: the same target is finished over a sound link.
    Link(packed, FaultPlan()).restore(sample, target)
    assert row_digests(target) == rows


@pytest.mark.parametrize("name", ["flipped bits", "wrong ranges", "ignored ranges", "another object"])
def test_what_is_spoiled_once_is_fetched_again(
    packed: Path, sample: SampleBackup, target: Path, rows: dict[str, str], name: str
) -> None:
    # The first request of an object cannot find it replaced; and the bytes are the same, so that they hold.
    plan = replace(SPOILED[name], only=CHUNK, first=2, changed_content=False)
    link = Link(packed, plan)
    link.restore(sample, target)
    assert row_digests(target) == rows
    assert link.faults.total() > 0


@pytest.mark.parametrize("seed", range(4))
def test_anything_spoiled_anywhere_is_in_no_database(
    packed: Path, sample: SampleBackup, target: Path, rows: dict[str, str], seed: int
) -> None:
    plan = FaultPlan(
        seed=seed,
        flip=0.01,
        shifted=0.005,
        wrong_range=0.02,
        ignore_range=0.02,
        changed_etag=0.01,
        gzip_bomb=0.002,
    )
    link = Link(packed, plan)
    try:
        link.restore(sample, target)
    except DataError:
        with pytest.raises(ForeignTargetError):
            load_finished(target)
        Link(packed, FaultPlan()).restore(sample, target)
    assert link.faults.total() > 0
    assert row_digests(target) == rows


def test_a_stale_listing_is_the_backup_of_yesterday(
    packed: Path, sample: SampleBackup, target: Path, tmp_path: Path
) -> None:
    first, last = sample.spec.backup_ranges()[-1]
    newest = f"metadata/transaction_{first}-{last}.meta"
    os.utime(packed / newest, (2e9, 2e9))
    Link(packed, FaultPlan(stale_list=1)).restore(sample, target)
    yesterday = tmp_path / "yesterday"
    shutil.copytree(sample.root, yesterday)
    (yesterday / newest).unlink()
    local = tmp_path / "local"
    result = restore_request(request_of(yesterday, sample.genesis_waypoint, local))
    assert result.target_version == first - 1
    assert row_digests(target) == row_digests(local)


def test_listings_that_always_end_early_are_no_empty_backup(
    packed: Path, sample: SampleBackup, target: Path
) -> None:
    with pytest.raises(TransientStorageError) as caught:
        Link(packed, FaultPlan(partial_list=1)).restore(sample, target)
    assert caught.value.exit_code == 30
