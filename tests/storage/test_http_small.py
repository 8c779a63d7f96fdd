"""Small requests over HTTP: watched, bounded, told in few words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from yarl import URL

from restore.errors import StorageUnavailableError, TransientStorageError
from restore.report.events import silent
from restore.storage import http
from restore.storage.http import HttpClient, Response
from restore.storage.http_answers import MAX_ERROR_BYTES, Rules, error_of_status, etag_of
from tests.storage.scripted_http import Reply, ScriptedServer, reply

RULES = Rules(etag_of, error_of_status, follow=True)


class Bench:
    """A client of a scripted server."""

    def __init__(self, server: ScriptedServer, client: HttpClient) -> None:
        self.server = server
        self.client = client

    async def get(self, *, max_bytes: int = MAX_ERROR_BYTES) -> Response:
        url = URL(self.server.url)
        return await self.client.request("GET", url, handle="file", rules=RULES, max_bytes=max_bytes)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with ScriptedServer([]) as server, HttpClient(report=silent) as client:
        yield Bench(server, client)


class Slowly(asyncio.Event):
    """Lets a piece of a reply go every so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def wait(self) -> Literal[True]:
        await asyncio.sleep(self._seconds)
        return True


async def test_an_answer_has_a_bound(bench: Bench) -> None:
    long = bytes(10_000_000)
    bench.server.replies = [reply(200, bytes(10)), reply(200, bytes(11)), reply(200, long), reply(500, long)]
    assert (await bench.get(max_bytes=10)).body == bytes(10)
    for _ in range(2):
        with pytest.raises(StorageUnavailableError, match="too long"):
            await bench.get(max_bytes=10)
    with pytest.raises(TransientStorageError):
        await bench.get()


@pytest.mark.parametrize("begun", [[], [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"]])
async def test_a_request_that_stops_is_given_up(
    bench: Bench, begun: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.05)
    bench.server.replies = [Reply(begun, "wait")]
    with pytest.raises(TransientStorageError, match="does not answer"):
        await bench.get()


@pytest.mark.parametrize(
    "begun", [b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n"]
)
async def test_a_request_that_brings_a_byte_now_and_then_is_given_up(
    bench: Bench, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.1)
    bench.server.replies = [Reply([begun, *[b"1"] * 500], "wait", Slowly(0.01))]
    with pytest.raises(TransientStorageError, match="does not answer"):
        await bench.get()


async def test_a_request_that_moves_is_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.5)
    block = bytes(MAX_ERROR_BYTES)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {6 * len(block)}\r\n\r\n".encode()
    bench.server.replies = [Reply([head, *[block] * 6], "keep", Slowly(0.12))]  # 0.7 seconds in all
    assert len((await bench.get(max_bytes=6 * len(block))).body) == 6 * len(block)


@pytest.mark.parametrize("location", ["http://a..b/", f"http://{'a' * 64}/"])
async def test_a_name_that_cannot_be_looked_up_is_told(bench: Bench, location: str) -> None:
    bench.server.replies = [reply(302, headers={"Location": location})]
    with pytest.raises(StorageUnavailableError, match="looked up"):
        await bench.get()


async def test_a_server_is_not_quoted_at_length(bench: Bench) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    bench.server.replies = [Reply([chunked + b"1" * 5000 + b"\r\n"], "wait")]
    with pytest.raises(TransientStorageError) as refusal:
        await bench.get()
    assert len(str(refusal.value)) < 400
