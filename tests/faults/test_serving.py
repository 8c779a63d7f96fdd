"""What the server does where nothing goes wrong: both sides as HTTP has it."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from benchmarks.faults import FaultPlan, FaultServer
from benchmarks.faults.messages import BadRequestError, matches, parse_head, parse_range
from tests.contracts.storage import content
from tests.faults.conftest import LARGE, OBJECTS, SMALL
from tests.faults.raw import End, RawClient, Side, fill, until


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-4", (2, 5)),
        ("bytes=2-", (2, 10)),
        ("bytes=0-99", (0, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes = 2 - 4", (2, 5)),
        ("bytes=10-", (10, 10)),
        ("bytes=99-100", (10, 10)),
        ("bytes=-0", (10, 10)),
        ("bytes=4-2", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
    ],
)
def test_a_range_of_ten_bytes_is_what_it_says(asked: str, found: tuple[int, int] | None) -> None:
    assert parse_range(asked, 10) == found


def test_a_condition_names_one_tag_several_or_any() -> None:
    assert matches('"a"', '"a"')
    assert matches('"a"', '"b", "a"')
    assert matches('"a"', "*")
    assert not matches('"a"', '"b"')
    assert not matches('"a"', 'W/"a"')


@pytest.mark.parametrize("head", [b"", b"GET /", b"GET / HTTP/2", b"GET x HTTP/1.1", b"GET / HTTP/1.1\r\nno"])
def test_what_is_no_request_is_refused(head: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_head(head)


@pytest.mark.parametrize(
    ("version", "wish", "kept"),
    [("1.1", "", True), ("1.1", "close", False), ("1.0", "", False), ("1.0", "Keep-Alive", True)],
)
async def test_a_connection_is_kept_as_its_version_has_it(
    root: Path, side: Side, version: str, wish: str, kept: bool
) -> None:
    request = f"GET {side.path('small')} HTTP/{version}\r\nConnection: {wish}\r\n\r\n".encode()
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        await client.send(request)
        head, body = await client.answer()
        assert (body, head.headers["connection"]) == (SMALL, "keep-alive" if kept else "close")
        if kept:
            await client.send(request)
            assert (await client.answer())[1] == SMALL
            assert server.counters.connections == 1
        else:
            assert await client.to_end() == (b"", End.CLOSED)


async def test_requests_sent_at_once_are_answered_in_order(root: Path, side: Side) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        for name in ("small", "large", "small"):
            await client.ask(side.path(name))
        for name in ("small", "large", "small"):
            assert (await client.answer())[1] == OBJECTS[name]


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        (None, 200, 0, None),
        ("0-0", 206, 0, 1),
        ("100-", 206, 100, None),
        ("-1", 206, -1, None),
        ("5-1", 200, 0, None),
    ],
)
async def test_an_object_and_its_ranges_come_as_they_are(
    root: Path, side: Side, name: str, asked: str | None, status: int, start: int, end: int | None
) -> None:
    data = OBJECTS[name]
    lines = () if asked is None else (f"Range: bytes={asked}",)
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        head, body = await client.get(side.path(name), *lines)
        assert (head.status, body) == (status, data[start:end])
        if status == 206:
            first = start % len(data)
            assert head.headers["content-range"] == f"bytes {first}-{first + len(body) - 1}/{len(data)}"
        stat = (root / "bucket" / name).stat()
        assert parsedate_to_datetime(head.headers["last-modified"]).timestamp() == int(stat.st_mtime)


async def test_a_head_tells_what_a_get_would(root: Path, side: Side) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        whole, _ = await client.get(side.path("large"))
        await client.ask(side.path("large"), "Range: bytes=0-0", method="HEAD")
        head = await client.head()
        assert head == whole
        assert (await client.get(side.path("small")))[1] == SMALL  # no body came in between


async def test_a_range_behind_the_end_is_refused(root: Path, side: Side) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        head, body = await client.get(side.path("small"), "Range: bytes=1000-")
        assert head.status == 416
        # As at Amazon, S3 does not tell the size.
        assert head.headers.get("content-range") == ("bytes */1000" if side is Side.PLAIN else None)
        assert (b"<Code>InvalidRange</Code>" in body) is (side is Side.S3)


async def test_a_condition_is_held_to(root: Path, side: Side) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        head, _ = await client.get(side.path("small"))
        kept, body = await client.get(side.path("small"), f"If-Match: {head.headers['etag']}")
        assert (kept.status, body) == (200, SMALL)
        (root / "bucket/small").write_bytes(SMALL[::-1] + b".")
        refused, _ = await client.get(side.path("small"), f"If-Match: {head.headers['etag']}")
        assert refused.status == 412


@pytest.mark.parametrize(
    "name", ["missing", "small/below", "small/", "..", "../bucket/small", "%2e%2e/bucket/small"]
)
async def test_what_is_not_there_is_not_found(root: Path, side: Side, name: str) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        head, body = await client.get(side.path(name))
        assert head.status == 404
        assert (b"<Code>NoSuchKey</Code>" in body) is (side is Side.S3)


@pytest.mark.parametrize("name", ["a b", "a%b", "naïve", "a+b"])
async def test_names_are_percent_encoded(root: Path, side: Side, name: str) -> None:
    fill(root, {f"bucket/{name}": SMALL})
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        assert (await client.get(side.path(quote(name))))[1] == SMALL
        assert name in side.names((await client.get(side.listing))[1])


async def test_an_index_is_as_nginx_writes_it(root: Path) -> None:
    fill(root, {"bucket/folder/x": b"", "bucket/.upload-abc": b"half"})
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        head, index = await client.get("/bucket/")
        assert head.headers["content-type"] == "application/json"
        entries = json.loads(index)
        assert [(entry["name"], entry["type"], entry.get("size")) for entry in entries] == [
            ("folder", "directory", None),
            ("large", "file", len(LARGE)),
            ("small", "file", len(SMALL)),
        ]
        assert (await client.get("/missing/"))[0].status == 404
        moved, _ = await client.get("/bucket/folder")
        assert (moved.status, moved.headers["location"]) == (301, "/bucket/folder/")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_the_plain_side_is_read_only(root: Path, method: str) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        await client.ask("/bucket/small", method=method)
        head, _ = await client.answer()
        assert (head.status, head.headers["allow"]) == (405, "GET, HEAD")
    assert (root / "bucket/small").read_bytes() == SMALL


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /".ljust((64 << 10) + 1, b"x"),  # not more: what is sent behind the answer resets it
        b"PUT /s3/bucket/x HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"PUT /s3/bucket/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n",
        b"PUT /s3/bucket/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Encoding: aws-chunked\r\n\r\n",
    ],
)
async def test_nonsense_is_a_bad_request_and_ends_the_connection(root: Path, sent: bytes) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        await client.send(sent)
        head, _ = await client.answer()
        assert (head.status, head.headers["connection"]) == (400, "close")
        await client.to_end()
    assert not (root / "bucket/x").exists()


async def test_a_client_may_leave_in_the_middle_of_anything(root: Path, side: Side) -> None:
    fill(root, {"bucket/huge": content(8 << 20)})
    async with FaultServer(root, FaultPlan()) as server:
        async with RawClient(server) as client:
            await client.send(b"GET /buck")
        async with RawClient(server) as client:
            await client.ask("/s3/bucket/x", "Content-Length: 10", method="PUT")
        async with RawClient(server) as client:
            await client.ask(side.path("huge"))
            await client.body(1)
        await until(lambda: server.counters.connections == 3 and server.counters.open == 0)
        async with RawClient(server) as client:
            assert (await client.get(side.path("huge")))[1] == content(8 << 20)
