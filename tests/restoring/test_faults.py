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

from benchmarks.faults import Apart, FaultPlan, FaultServer, Kind, serve_in_process
from benchmarks.packing import pack
from benchmarks.processes import measure
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
from restore.storage.origin import Origin
from restore.storage.remote import RemoteStorage
from restore.storage.s3 import open_s3
from restore.target.mark import load_finished
from tests.faults.raw import Side
from tests.restoring.commands import request_of, restore_request, restore_sample

PLACE = "/bucket/backup"
"""Of the backup below the server's root."""

FASTER = 50
"""Pauses between tries pass so many times as fast."""

STALL_SECONDS = 0.5
"""In place of 10: a loopback that moves brings something in this time."""

PART_BYTES = 8 << 10
"""In place of 16 MiB: the larger files of the sample come in several requests."""


@dataclass(frozen=True)
class Published:
    """A packed sample, and what a restore of it ends in.

    Attributes:
        sample: as it was before.
        root: what is served.
        rows: digests of the rows of a local restore.
    """

    sample: SampleBackup
    root: Path
    rows: dict[str, str]


@dataclass
class Link:
    """A restore of what is published, over a link that fails as a plan says.

    Attributes:
        side: of the server.
        events: what it told.
        faults: those that were chosen, once it has ended.
    """

    published: Published
    plan: FaultPlan
    side: Side = Side.PLAIN
    events: list[Event] = field(default_factory=list)
    faults: Counter[Kind] = field(default_factory=Counter)

    def restore(self, target: Path) -> Result:
        return run(lambda: self._restore(target))

    async def _restore(self, target: Path) -> Result:
        sample, report = self.published.sample, self.events.append
        requests = count().__next__  # bursts are counted in requests, so that each restore has some
        async with (
            FaultServer(self.published.root, self.plan, clock=requests) as server,
            HttpClient(report=report) as client,
        ):
            origin = await self._origin(server, client)
            remote = RemoteStorage(origin, report=report, retry=Retry(report, sleep=_sleep, clock=_clock))
            request = request_of(sample.root, sample.genesis_waypoint, target)
            try:
                return await bootstrap(replace(request, storage=Gzipped(remote, packs=False)), report)
            except ExceptionGroup as group:  # two chunks that fail in the same tick; either is right
                raise group.exceptions[0] from None
            finally:
                self.faults = server.counters.faults

    async def _origin(self, server: FaultServer, client: HttpClient) -> Origin:
        if self.side is Side.PLAIN:
            return HttpOrigin(server.url + PLACE, client)
        _, bucket, prefix = PLACE.split("/")
        return await open_s3(
            bucket,
            prefix,
            client,
            endpoint=server.s3_endpoint,
            region="us-east-1",
            path_style=True,
            anonymous=True,
        )

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


@pytest.fixture(autouse=True)
def nothing_but_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)


@pytest.fixture(scope="module")
def published(sample: SampleBackup, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The sample as it would be published."""
    folder = tmp_path_factory.mktemp("published")
    pack(sample.root, Path(f"{folder / 'served'}{PLACE}"))
    restore_sample(sample, folder / "db")
    return Published(sample, folder / "served", row_digests(folder / "db"))


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
    published: Published, target: Path, name: str
) -> None:
    plan, faults, told = SURVIVED[name]
    link = Link(published, plan)
    link.restore(target)
    assert row_digests(target) == published.rows
    assert set(link.faults) == faults
    assert all(link.told(kind) for kind in told)


@pytest.mark.parametrize(
    "name", ["stalls", "all together", "listings that end early", "a listing with doubles"]
)
def test_a_bucket_behind_a_failing_link_is_restored_as_well(
    published: Published, target: Path, name: str
) -> None:
    plan, faults, told = SURVIVED[name]
    link = Link(published, plan, side=Side.S3)
    link.restore(target)
    assert row_digests(target) == published.rows
    assert set(link.faults) == faults
    assert all(link.told(kind) for kind in told)


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_spoiled_each_time_is_refused_and_never_written(
    published: Published, target: Path, name: str
) -> None:
    with pytest.raises(DataError) as caught:
        Link(published, replace(SPOILED[name], only=CHUNK)).restore(target)
    assert re.search(CHUNK, f"/{caught.value.file}")
    with pytest.raises(ForeignTargetError, match="not finished"):
        load_finished(target)
    # What was written before can be relied on: the same target is finished over a sound link.
    Link(published, FaultPlan()).restore(target)
    assert row_digests(target) == published.rows


@pytest.mark.parametrize("name", ["flipped bits", "wrong ranges", "ignored ranges", "another object"])
def test_what_is_spoiled_once_is_fetched_again(published: Published, target: Path, name: str) -> None:
    # The first request of an object cannot find it replaced; and the bytes are the same, so that they hold.
    plan = replace(SPOILED[name], only=CHUNK, first=2, changed_content=False)
    link = Link(published, plan)
    link.restore(target)
    assert row_digests(target) == published.rows
    assert link.faults.total() > 0


@pytest.mark.parametrize("seed", range(4))
def test_anything_spoiled_anywhere_is_in_no_database(published: Published, target: Path, seed: int) -> None:
    plan = FaultPlan(
        seed=seed,
        flip=0.01,
        shifted=0.005,
        wrong_range=0.02,
        ignore_range=0.02,
        changed_etag=0.01,
        gzip_bomb=0.002,
    )
    link = Link(published, plan)
    try:
        link.restore(target)
    except DataError:
        with pytest.raises(ForeignTargetError):
            load_finished(target)
        Link(published, FaultPlan()).restore(target)
    assert link.faults.total() > 0
    assert row_digests(target) == published.rows


def test_a_stale_listing_is_the_backup_of_yesterday(
    published: Published, target: Path, tmp_path: Path
) -> None:
    sample = published.sample
    first, last = sample.spec.backup_ranges()[-1]
    newest = f"metadata/transaction_{first}-{last}.meta"
    os.utime(Path(f"{published.root}{PLACE}") / newest, (2e9, 2e9))
    Link(published, FaultPlan(stale_list=1)).restore(target)
    yesterday = tmp_path / "yesterday"
    shutil.copytree(sample.root, yesterday)
    (yesterday / newest).unlink()
    local = tmp_path / "local"
    result = restore_request(request_of(yesterday, sample.genesis_waypoint, local))
    assert result.target_version == first - 1
    assert row_digests(target) == row_digests(local)


def test_listings_that_always_end_early_are_no_empty_backup(published: Published, target: Path) -> None:
    with pytest.raises(TransientStorageError) as caught:
        Link(published, FaultPlan(partial_list=1)).restore(target)
    assert caught.value.exit_code == 30


def test_the_command_line_restores_over_a_failing_link(published: Published, target: Path) -> None:
    with serve_in_process(published.root, FaultPlan(seed=1, reset=0.1, truncate=0.05)) as server:
        run = measure(command_of(published, target, server))
    assert row_digests(target) == published.rows
    assert run.result["retries"] >= sum(server.counters["faults"].values()) > 5


def test_a_bomb_is_refused_before_it_fills_the_memory(published: Published, target: Path) -> None:
    plan = FaultPlan(gzip_bomb=1, bomb_bytes=8 << 30, only=CHUNK)
    with serve_in_process(published.root, plan) as server:
        run = measure(command_of(published, target, server), accepted=(20, 40))
    assert run.peak_bytes < 512 << 20
    with pytest.raises(ForeignTargetError, match="not finished"):
        load_finished(target)


def command_of(published: Published, target: Path, server: Apart) -> list[str]:
    source = ["--storage", server.url + PLACE, "--memory-budget", "64M"]
    trust = ["--trust-waypoint", str(published.sample.genesis_waypoint)]
    return ["bootstrap-db", *source, *trust, "--target-db-dir", str(target)]
