"""Each fault as a client sees it, byte for byte, from both sides of the server."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path

import pytest

from benchmarks.faults import Asked, FaultPlan, FaultServer, Kind
from tests.faults.conftest import LARGE, OBJECTS, SMALL
from tests.faults.raw import End, RawClient, Side, until

AS_MUCH = 0.5
MIDDLE = "Range: bytes=100-299"


def half(data: bytes) -> bytes:
    return data[: int(len(data) * AS_MUCH)]


async def nothing_more_comes(server: FaultServer, client: RawClient) -> bool:
    """Whether the server leaves `client` alone while it serves somebody else."""
    async with RawClient(server) as other:
        await other.ask("/", method="HEAD")
        await other.head()
    return client.is_silent()


@pytest.mark.parametrize("name", OBJECTS)
async def test_a_stall_is_silence_in_the_middle_of_a_body(root: Path, side: Side, name: str) -> None:
    data = OBJECTS[name]
    async with FaultServer(root, FaultPlan(stall=1, at=AS_MUCH, only="bucket")) as server:
        async with RawClient(server) as client:
            await client.ask(side.path(name))
            assert (await client.head()).length == len(data)
            assert await client.body(len(half(data))) == half(data)
            assert await nothing_more_comes(server, client)
            assert server.log[0].sent == len(half(data))
        await until(lambda: server.counters.open == 0)


async def test_a_stall_before_the_headers_is_silence_at_once(root: Path, side: Side) -> None:
    async with FaultServer(root, FaultPlan(stall_before_headers=1, only="bucket")) as server:
        async with RawClient(server) as client:
            await client.ask(side.path("small"))
            await until(lambda: bool(server.log))
            assert await nothing_more_comes(server, client)
            assert (server.log[0].status, server.log[0].sent) == (0, 0)
        await until(lambda: server.counters.open == 0)


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("kind", [Kind.RESET, Kind.TRUNCATE])
async def test_a_body_ends_early_by_a_reset_or_an_orderly_close(
    root: Path, side: Side, name: str, kind: Kind
) -> None:
    data = OBJECTS[name]
    plan = FaultPlan(reset=kind is Kind.RESET, truncate=kind is Kind.TRUNCATE, at=AS_MUCH)
    async with FaultServer(root, plan) as server, RawClient(server) as client:
        await client.ask(side.path(name))
        head = await client.head()
        assert (head.status, head.length) == (200, len(data))
        expected = End.RESET if kind is Kind.RESET else End.CLOSED
        assert await client.to_end() == (half(data), expected)
        assert (server.log[0].fault, server.log[0].sent) == (kind, len(half(data)))


async def test_a_write_that_is_reset_has_been_done(root: Path) -> None:
    async with FaultServer(root, FaultPlan(reset=1)) as server, RawClient(server) as client:
        await client.ask("/s3/bucket/new", method="PUT", body=SMALL)
        assert await client.to_end() == (b"", End.RESET)
    assert (root / "bucket/new").read_bytes() == SMALL


async def test_a_drip_comes_at_its_rate(root: Path, side: Side) -> None:
    loop = asyncio.get_running_loop()
    async with FaultServer(root, FaultPlan(drip=1, drip_rate=5000)) as server, RawClient(server) as client:
        began = loop.time()
        await client.ask(side.path("small"))
        assert (await client.head()).length == len(SMALL)
        assert await client.body(500) == SMALL[:500]
        assert server.log[0].sent < len(SMALL)
        assert await client.body(500) == SMALL[500:]
        assert loop.time() - began >= 0.19  # the loop's time has steps


async def test_a_delay_is_before_the_answer(root: Path, side: Side) -> None:
    loop = asyncio.get_running_loop()
    for plan in (FaultPlan(latency=0.05), FaultPlan(slow_headers=1, slow_headers_seconds=0.05)):
        async with FaultServer(root, plan) as server, RawClient(server) as client:
            began = loop.time()
            head, body = await client.get(side.path("small"))
            assert loop.time() - began >= 0.045
            assert (head.status, body) == (200, SMALL)


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("100-299", 99, 299), ("0-299", 1, 301), ("0-999", 1, 1000), ("0-", 1, 1000), ("-1", 998, 999)],
)
async def test_a_wrong_range_tells_what_it_is(
    root: Path, side: Side, asked: str, start: int, end: int
) -> None:
    async with FaultServer(root, FaultPlan(wrong_range=1)) as server, RawClient(server) as client:
        head, body = await client.get(side.path("small"), f"Range: bytes={asked}")
        assert (head.status, body) == (206, SMALL[start:end])
        assert head.headers["content-range"] == f"bytes {start}-{end - 1}/1000"


async def test_shifted_bytes_come_as_if_they_were_the_range(root: Path, side: Side) -> None:
    async with FaultServer(root, FaultPlan(shifted=1)) as server, RawClient(server) as client:
        head, body = await client.get(side.path("small"), MIDDLE)
        assert head.headers["content-range"] == "bytes 100-299/1000"
        assert body == SMALL[101:300] + SMALL[100:101]


async def test_an_ignored_range_is_the_whole_object(root: Path, side: Side) -> None:
    async with FaultServer(root, FaultPlan(ignore_range=1)) as server, RawClient(server) as client:
        head, body = await client.get(side.path("small"), MIDDLE)
        assert (head.status, body) == (200, SMALL)
        assert "content-range" not in head.headers


@pytest.mark.parametrize("name", OBJECTS)
async def test_a_flip_is_one_bit(root: Path, side: Side, name: str) -> None:
    data = OBJECTS[name]
    async with FaultServer(root, FaultPlan(flip=1)) as server, RawClient(server) as client:
        for lines, wanted in (((), data), ((MIDDLE,), data[100:300])):
            _, body = await client.get(side.path(name), *lines)
            differing = int.from_bytes(body) ^ int.from_bytes(wanted)
            assert len(body) == len(wanted)
            assert differing.bit_count() == 1


@pytest.mark.parametrize("retry_after", [None, 7])
async def test_an_unavailable_server_says_when_to_come_again(
    root: Path, side: Side, retry_after: int | None
) -> None:
    plan = FaultPlan(unavailable=1, retry_after=retry_after, first=1)
    async with FaultServer(root, plan) as server, RawClient(server) as client:
        head, body = await client.get(side.path("small"))
        assert (head.status, head.headers.get("retry-after")) == (503, retry_after and str(retry_after))
        assert (b"<Code>SlowDown</Code>" in body) is (side is Side.S3)
        assert (await client.get(side.path("small")))[1] == SMALL  # on the same connection


async def test_bursts_go_by_the_clock(root: Path, side: Side) -> None:
    now = 1000.0
    plan = FaultPlan(burst_every=10, burst_seconds=5)
    async with FaultServer(root, plan, clock=lambda: now) as server, RawClient(server) as client:
        for later, status in ((0.0, 200), (4.9, 200), (5.0, 503), (9.9, 503), (10.0, 200)):
            now = 1000.0 + later
            assert (await client.get(side.path("small")))[0].status == status


async def test_a_stale_listing_lacks_the_newest_objects(root: Path, side: Side) -> None:
    newest = root / "bucket/newest"
    newest.touch()
    os.utime(newest, (2e9, 2e9))
    async with FaultServer(root, FaultPlan(stale_list=1, first=1)) as server, RawClient(server) as client:
        _, stale = await client.get(side.listing)
        assert side.names(stale) == ["large", "small"]
        _, fresh = await client.get(side.listing)
        assert side.names(fresh) == ["large", "newest", "small"]


@pytest.mark.parametrize("place", [0.0, 0.5, 0.9999999])
async def test_a_partial_listing_does_not_look_like_a_whole_one(root: Path, side: Side, place: float) -> None:
    async with FaultServer(root, FaultPlan(partial_list=1, at=place)) as server, RawClient(server) as client:
        head, part = await client.get(side.listing)
        assert head.status == 200
        with pytest.raises(ValueError):
            side.names(part)


async def test_a_duplicate_is_on_one_page_twice(root: Path, side: Side) -> None:
    async with FaultServer(root, FaultPlan(duplicate=1, at=0.5)) as server, RawClient(server) as client:
        _, listing = await client.get(side.listing)
        assert side.names(listing) == ["large", "small", "small"]


@pytest.mark.parametrize("changed_content", [False, True])
async def test_a_replaced_object_has_another_tag_from_then_on(
    root: Path, side: Side, changed_content: bool
) -> None:
    plan = FaultPlan(changed_etag=1, first=2, changed_content=changed_content)
    async with FaultServer(root, plan) as server, RawClient(server) as client:
        first, body = await client.get(side.path("small"))
        assert body == SMALL
        other = bytes(255 - byte for byte in SMALL) if changed_content else SMALL
        for _ in range(2):  # the second is beyond the plan: what was replaced stays so
            head, body = await client.get(side.path("small"))
            assert body == other
            assert head.headers["etag"] != first.headers["etag"]
        refused, _ = await client.get(side.path("small"), f"If-Match: {first.headers['etag']}")
        assert refused.status == 412
        assert (await client.get(side.path("small"), f"If-Match: {head.headers['etag']}"))[1] == other


async def test_a_bomb_unpacks_to_what_the_plan_says(root: Path, side: Side) -> None:
    plan = FaultPlan(gzip_bomb=1, first=1, bomb_bytes=(16 << 20) + 1)
    async with FaultServer(root, plan) as server, RawClient(server) as client:
        head, bomb = await client.get(side.path("small"))
        assert len(bomb) < 64 << 10
        assert gzip.decompress(bomb) == bytes(32 << 20)
        sound, _ = await client.get(side.path("small"))
        assert sound.headers["etag"] != head.headers["etag"]


async def test_what_has_nothing_to_be_spoiled_is_left_alone(root: Path, side: Side) -> None:
    async with FaultServer(root, FaultPlan(flip=1)) as server, RawClient(server) as client:
        assert (await client.get(side.path("missing")))[0].status == 404
        (root / "bucket/empty").touch()
        assert (await client.get(side.path("empty")))[1] == b""


async def test_a_head_without_a_body_may_be_unavailable_too(root: Path, side: Side) -> None:
    async with FaultServer(root, FaultPlan(unavailable=1)) as server, RawClient(server) as client:
        await client.ask(side.path("small"), method="HEAD")
        assert (await client.head()).status == 503
        assert await nothing_more_comes(server, client)


async def test_the_log_and_the_counters_tell_what_was_done(root: Path, side: Side) -> None:
    plan = FaultPlan(flip=1, only="large")
    async with FaultServer(root, plan) as server, RawClient(server) as client:
        await client.get(side.path("small"), MIDDLE)
        await client.get(side.path("large"))
        await client.get(side.listing)
        one, two, three = server.log
        assert (one.asked, one.range, one.fault, one.sent) == (Asked.RANGE, "bytes=100-299", None, 200)
        assert (two.asked, two.range, two.fault, two.sent) == (Asked.OBJECT, None, Kind.FLIP, len(LARGE))
        assert (three.asked, three.method, three.status) == (Asked.LIST, "GET", 200)
        assert [served.path for served in server.log[:2]] == [side.path("small"), side.path("large")]
        counters = server.counters
        assert (counters.requests, counters.connections, counters.open, counters.most_open) == (3, 1, 1, 1)
        assert counters.bodies == sum(served.sent for served in server.log)
        assert counters.faults == {Kind.FLIP: 1}
