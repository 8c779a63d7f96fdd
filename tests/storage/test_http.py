"""Requests over HTTP: what a server may answer, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from yarl import URL

from restore.errors import (
    AccessDeniedError,
    CorruptAnswerError,
    MissingFileError,
    RestoreError,
    StorageUnavailableError,
    ThrottledError,
    TransientStorageError,
)
from restore.report.events import Event, Live
from restore.storage import http
from restore.storage.http import HttpClient, Response
from restore.storage.http_answers import Rules, error_of_status, etag_of, retry_after
from restore.storage.http_origin import HttpOrigin
from restore.storage.origin import Answer, Pin
from tests.flow.steps import settle_until
from tests.storage.scripted_http import Reply, ScriptedServer, reply

HANDLE = "abc.0000/one.chunk"
PIN = Pin('"1"', 100)
RULES = Rules(etag_of, error_of_status, follow=True)


def part(
    first: int = 10, end: int = 30, *, size: int | str = 100, tag: str = '"1"', status: int = 206
) -> Reply:
    """The range of an object whose bytes are their places."""
    headers = {"Content-Range": f"bytes {first}-{end - 1}/{size}", "ETag": tag}
    return reply(status, bytes(range(first, end)), headers)


async def read_all(answer: Answer) -> bytes:
    data = bytearray(answer.end - answer.start)
    position = 0
    while position < len(data):
        position += await answer.read_into(memoryview(data)[position:])
    return bytes(data)


class Bench:
    """An origin over a scripted server."""

    def __init__(self, server: ScriptedServer, client: HttpClient, events: list[Event]) -> None:
        self.server = server
        self.client = client
        self.events = events
        self.origin = HttpOrigin(f"{server.url}/backup/", client)

    def answers(self, *replies: Reply) -> None:
        self.server.replies = list(replies)

    async def read(
        self, pin: Pin | None = PIN, *, start: int = 10, length: int = 20, fresh: bool = False
    ) -> bytes:
        async with self.origin.get(HANDLE, start=start, length=length, pin=pin, fresh=fresh) as answer:
            assert answer.start == start
            return await read_all(answer)

    async def small(self, method: str) -> Response:
        return await self.client.request(method, URL(self.server.url), handle=HANDLE, rules=RULES)

    @property
    def connections(self) -> list[int]:
        """Which connection each request came on."""
        return [request.connection for request in self.server.requests]


async def until(condition: Callable[[], object]) -> None:
    """Returns when `condition` holds; what it waits for takes some turns of the loop and of the network."""
    async with asyncio.timeout(10):
        await settle_until(lambda: bool(condition()))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    events: list[Event] = []
    async with ScriptedServer([]) as server, HttpClient(report=events.append) as client:
        yield Bench(server, client, events)


async def test_a_range_is_asked_for_and_pinned(bench: Bench) -> None:
    untagged = reply(206, bytes(20), {"Content-Range": "bytes 10-29/100"})
    bench.answers(part(), part(), part(tag='W/"1"'), untagged)
    for pin in (None, PIN, Pin('W/"1"', 100), Pin(None, 100)):
        assert len(await bench.read(pin)) == 20
    for request in bench.server.requests:
        assert (request.method, request.target) == ("GET", "/backup/abc.0000/one.chunk")
        assert request.headers["range"] == "bytes=10-29"
        assert request.headers["accept-encoding"] == "identity"
    # A weak tag matches nothing, as servers see it; it is compared here.
    assert [request.headers.get("if-match") for request in bench.server.requests] == [None, '"1"', None, None]


STATUSES = [
    (404, MissingFileError),
    (410, MissingFileError),
    (401, AccessDeniedError),
    (403, AccessDeniedError),
    (408, TransientStorageError),
    (500, TransientStorageError),
    (502, TransientStorageError),
    (504, TransientStorageError),
    (599, TransientStorageError),
    (429, ThrottledError),
    (503, ThrottledError),
    (412, CorruptAnswerError),
    (416, CorruptAnswerError),
    (400, StorageUnavailableError),
    (405, StorageUnavailableError),
    (204, StorageUnavailableError),
    (304, StorageUnavailableError),
]


@pytest.mark.parametrize("status, kind", STATUSES)
async def test_the_status_decides(bench: Bench, status: int, kind: type[RestoreError]) -> None:
    bench.answers(reply(status, headers={"Retry-After": "7"}))
    with pytest.raises(RestoreError) as refusal:
        await bench.read()
    assert type(refusal.value) is kind
    assert (refusal.value.file, refusal.value.found) == (HANDLE, f"status {status}")
    if isinstance(refusal.value, ThrottledError):
        assert refusal.value.retry_after == 7
    if kind is StorageUnavailableError:
        assert "asking again cannot help" in refusal.value.hint


@pytest.mark.parametrize("status, kind", [row for row in STATUSES if row[0] >= 300])
async def test_the_status_decides_of_a_small_request_too(
    bench: Bench, status: int, kind: type[RestoreError]
) -> None:
    bench.answers(reply(status), reply(status))
    for request in (bench.origin.head(HANDLE), bench.small("GET")):
        with pytest.raises(RestoreError) as refusal:
            await request
        assert type(refusal.value) is kind
        assert refusal.value.file == HANDLE


@pytest.mark.parametrize(
    "answer",
    [
        part(11, 31),
        part(10, 31),
        part(10, 29),
        part(0, 20),
        part(size=101),
        part(size=99),
        part(size="*"),
        part(tag='"2"'),
        part(tag='W/"1"'),
        part(11, 31, status=200),
        reply(206, bytes(20)),
        reply(206, bytes(20), {"Content-Range": "bytes 10-29"}),
        reply(206, bytes(20), {"Content-Range": "bytes */100"}),
        reply(206, bytes(20), {"Content-Range": "items 10-29/100", "ETag": '"1"'}),
        reply(206, bytes(20), {"Content-Range": "bytes 10-29/100"}),
        reply(206, bytes(19), {"Content-Range": "bytes 10-29/100", "ETag": '"1"'}),
        reply(206, bytes(21), {"Content-Range": "bytes 10-29/100", "ETag": '"1"'}),
        reply(206, bytes(20), {"Content-Range": "bytes 10-29/100", "ETag": '"1"', "Content-Encoding": "br"}),
        reply(206, bytes(20), {"Content-Type": "multipart/byteranges; boundary=x"}),
        reply(200, bytes(100), {"ETag": '"1"'}),
        reply(200, bytes(20), {"ETag": '"1"'}),
        reply(416, headers={"Content-Range": "bytes */0"}),
    ],
)
async def test_what_was_not_asked_for_is_refused(bench: Bench, answer: Reply) -> None:
    bench.answers(answer)
    with pytest.raises(CorruptAnswerError) as refusal:
        await bench.read()
    assert refusal.value.file == HANDLE


async def test_the_range_may_end_where_the_object_does(bench: Bench) -> None:
    bench.answers(part(90, 100), part(10, 30, status=200))
    assert await bench.read(start=90, length=50) == bytes(range(90, 100))
    assert await bench.read() == bytes(range(10, 30))  # a 200, but one that tells the range


async def test_a_small_object_may_come_whole(bench: Bench) -> None:
    whole = reply(200, bytes(range(100)), {"ETag": '"1"'})
    bench.answers(whole, whole, whole, reply(200, b"", {"ETag": '"1"'}))
    assert await bench.read(None, start=0, length=100) == bytes(range(100))
    assert await bench.read(PIN, start=0, length=200) == bytes(range(100))
    with pytest.raises(CorruptAnswerError, match="whole file") as refusal:
        await bench.read(None, start=0, length=99)
    assert "ranges" in str(refusal.value.hint)
    assert await bench.read(None, start=0, length=20) == b""


async def test_a_whole_object_of_unknown_length_is_refused(bench: Bench) -> None:
    bench.answers(*[reply(200, bytes(20), {"ETag": '"1"'}, length=None, end="close")] * 2)
    with pytest.raises(CorruptAnswerError):
        await bench.read(None, start=0)


async def test_an_empty_object_has_no_range(bench: Bench) -> None:
    bench.answers(reply(416, headers={"Content-Range": "bytes */0", "ETag": '"1"'}))
    async with bench.origin.get(HANDLE, start=0, length=20, pin=None, fresh=False) as answer:
        assert (answer.pin, answer.start, answer.end) == (Pin('"1"', 0), 0, 0)


def chunked(*chunks: bytes) -> Reply:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    headers = {"Content-Range": "bytes 10-29/100", "ETag": '"1"', "Transfer-Encoding": "chunked"}
    return reply(206, body, headers, length=None)


async def test_an_answer_may_come_in_chunks(bench: Bench) -> None:
    answer = chunked(bytes(range(10, 15)), bytes(range(15, 30)), b"")
    # Seen for the first time it is asked for again, and from then on the ordinary way.
    bench.answers(answer, answer, answer, part())
    for _ in range(3):
        assert await bench.read() == bytes(range(10, 30))
    assert not bench.server.replies


@pytest.mark.parametrize(
    "answer, kind",
    [
        (chunked(bytes(21), b""), CorruptAnswerError),
        (chunked(bytes(19), b""), TransientStorageError),
        (Reply([*chunked(bytes(10)).pieces, b"no size\r\n"]), TransientStorageError),
        (Reply([part().pieces[0][:-1]], "close"), TransientStorageError),
        (Reply([part().pieces[0][:-1]], "reset"), TransientStorageError),
        (Reply([part().pieces[0][:-20]], "close"), TransientStorageError),
        (Reply([part().pieces[0][:40]], "close"), TransientStorageError),
        (Reply([], "close"), TransientStorageError),
        (Reply([], "reset"), TransientStorageError),
        (Reply([b"SSH-2.0-OpenSSH_9.2\r\n"], "close"), TransientStorageError),
        (Reply([b"HTTP/1.1 206 " + b"x" * 200_000 + b"\r\n\r\n"], "close"), TransientStorageError),
    ],
)
async def test_a_body_that_is_not_as_announced_is_an_error(
    bench: Bench, answer: Reply, kind: type[RestoreError]
) -> None:
    bench.server.replies = lambda _: answer  # aiohttp asks again by itself where a used connection was closed
    with pytest.raises(kind) as refusal:
        await bench.read()
    assert refusal.value.file == HANDLE


async def test_nobody_there_is_an_error_that_may_pass(bench: Bench) -> None:
    async with ScriptedServer([]) as gone:
        url = gone.url
    origin = HttpOrigin(url, bench.client)
    with pytest.raises(TransientStorageError) as refusal:
        await origin.head(HANDLE)
    assert refusal.value.file == HANDLE
    assert f"{refusal.value.found}".startswith(f"{url.removeprefix('http://')}: ")
    assert "host and port" in refusal.value.hint
    with pytest.raises(TransientStorageError):
        async with origin.get(HANDLE, start=0, length=20, pin=None, fresh=True):
            pass


@pytest.mark.parametrize("text, seconds", [("0", 0), ("120", 120), (" 7 ", 7), ("9" * 50, 999_999_999)])
def test_a_server_s_wish_is_a_number(text: str, seconds: float) -> None:
    assert retry_after({"Retry-After": text}) == seconds


def test_a_server_s_wish_is_a_date() -> None:
    for ahead, least, most in ((1000, 900, 1000), (-1000, 0, 0)):
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
        seconds = retry_after({"Retry-After": date})
        assert seconds is not None
        assert least <= seconds <= most
    assert retry_after({"Retry-After": "Fri, 31 Dec 1999 23:59:59 -0000"}) == 0


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-1", "1.5", "²", "Fri, 99 Dec 1999 23:59:59 GMT", f"Fri, 31 Dec {9**99} 23:59:59 GMT"],
)
def test_another_wish_is_none(text: str) -> None:
    assert retry_after({"Retry-After": text}) is None
    assert retry_after({}) is None


async def test_a_redirect_is_followed_with_what_was_asked(bench: Bench) -> None:
    async with ScriptedServer([part(), reply(200, b"", {"ETag": '"1"'}, length=100)]) as other:
        # The first is seen, then followed.
        bench.answers(*[reply(302, headers={"Location": f"{other.url}/elsewhere"})] * 3)
        assert await bench.read() == bytes(range(10, 30))
        assert await bench.origin.head(HANDLE) == PIN
        assert [request.target for request in other.requests] == ["/elsewhere"] * 2
        assert other.requests[0].headers["range"] == "bytes=10-29"
        assert other.requests[0].headers["if-match"] == '"1"'


async def test_a_place_is_named_without_passwords(bench: Bench) -> None:
    origin = HttpOrigin(bench.server.url.replace("//", "//user:secret@"), bench.client)
    assert origin.identity == bench.server.url


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "http://", "/again", ""])
async def test_a_redirect_that_leads_nowhere_is_no_file(bench: Bench, location: str) -> None:
    bench.server.replies = lambda _: reply(301, headers={"Location": location} if location else None)
    with pytest.raises(StorageUnavailableError) as refusal:
        await bench.read()
    assert type(refusal.value) is StorageUnavailableError
    assert len(bench.server.requests) <= http.MAX_REDIRECTS + 1


async def test_a_redirect_to_a_folder_is_no_file(bench: Bench) -> None:
    folder, index = reply(301, headers={"Location": "/folder/"}), reply(200, b"<html>", {"ETag": '"1"'})
    bench.answers(folder, folder, index, folder, reply(200, length=6))
    with pytest.raises(MissingFileError):
        await bench.read(None, start=0)
    with pytest.raises(MissingFileError):
        await bench.origin.head(HANDLE)


async def test_connections_are_used_again_unless_a_fresh_one_is_asked_for(bench: Bench) -> None:
    bench.answers(*[part()] * 5)
    for fresh in (False, False, True, True, False):
        await bench.read(fresh=fresh)
    *first, last = bench.connections
    assert first == [1, 1, 2, 3]
    assert last in {1, 2, 3}


async def test_a_connection_whose_answer_is_not_read_to_its_end_is_closed(bench: Bench) -> None:
    whole = part().pieces[0]
    begun = Reply([whole[:-5]], "wait")
    bench.answers(begun, part(), Reply([part(11, 31).pieces[0][:-5]], "wait"), part())
    async with bench.origin.get(HANDLE, start=10, length=20, pin=PIN, fresh=False):
        pass
    await bench.read()
    with pytest.raises(CorruptAnswerError):
        await bench.read()
    await bench.read()
    assert bench.connections == [1, 2, 2, 3]
    await until(lambda: bench.server.open == 1)


async def test_a_length_that_is_not_told_is_no_length(bench: Bench) -> None:
    bench.answers(reply(200, length=None, end="close"))
    with pytest.raises(TransientStorageError, match="length"):
        await bench.origin.head(HANDLE)


async def test_more_connections_than_ever_are_told(bench: Bench) -> None:
    bench.answers(part(), part(), part(), part())
    for _ in range(2):
        async with bench.origin.get(HANDLE, start=10, length=20, pin=PIN, fresh=False):
            pass
    async with (
        bench.origin.get(HANDLE, start=10, length=20, pin=PIN, fresh=False),
        bench.origin.get(HANDLE, start=10, length=20, pin=PIN, fresh=False),
    ):
        pass
    assert bench.events == [Live("connections", count) for count in (1, 2)]


@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_the_environment_s_proxy_is_asked_but_for_what_it_excepts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("http_proxy", scheme + bench.server.url.removeprefix("http://"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    bench.answers(part(), part())
    origin = HttpOrigin("http://storage.invalid/backup", bench.client)
    async with origin.get(HANDLE, start=10, length=20, pin=PIN, fresh=False) as answer:
        assert await read_all(answer) == bytes(range(10, 30))
    await bench.read()
    assert [request.target for request in bench.server.requests] == [
        "http://storage.invalid/backup/abc.0000/one.chunk",
        "/backup/abc.0000/one.chunk",
    ]


async def test_a_request_that_is_cancelled_closes_its_connection(bench: Bench) -> None:
    bench.server.replies = lambda _: Reply([], "wait")
    reading = asyncio.create_task(bench.read())
    await until(lambda: bench.server.requests)
    reading.cancel()
    await asyncio.wait((reading,))
    await until(lambda: not bench.server.open)
