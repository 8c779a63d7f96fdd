"""Bodies that are sent from files: watched, closed by nobody, refused early."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from restore.errors import AccessDeniedError, TransientStorageError
from restore.report.events import silent
from restore.storage import http
from restore.storage.http import HttpClient
from restore.storage.http_answers import Rules, error_of_status, etag_of
from restore.storage.upload import upload
from tests.flow.steps import settle_until
from tests.storage.scripted_http import Reply, ScriptedServer, reply

RULES = Rules(etag_of, error_of_status, follow=False)

LARGE = 64 << 20
"""More than sockets and buffers hold."""


@asynccontextmanager
async def silent_server(says: bytes = b"") -> AsyncIterator[str]:
    """Reads nothing; says what it is told to, and closes when its block ends."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(says)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(report=silent) as client:
        yield client


async def put(client: HttpClient, url: str, source: io.BytesIO, size: int) -> None:
    await upload(
        client,
        "PUT",
        URL(url),
        handle="file",
        rules=RULES,
        headers={"Content-MD5": "x"},
        source=source,
        size=size,
    )


async def test_a_body_begins_where_the_file_stands_and_is_as_long_as_told(client: HttpClient) -> None:
    async with ScriptedServer([reply(200)]) as server:
        source = io.BytesIO(b"before" + b"x" * 200_000 + b"behind")
        source.seek(6)
        await put(client, server.url, source, 200_000)
        assert server.requests[0].body == b"x" * 200_000
        assert server.requests[0].headers["content-md5"] == "x"
        assert source.read() == b"behind"


async def test_a_server_that_takes_nothing_is_given_up(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.2)
    async with silent_server() as url:
        source = io.BytesIO(bytes(LARGE))
        with pytest.raises(TransientStorageError, match="does not answer"):
            await put(client, url, source, LARGE)
        assert 0 < source.tell() < LARGE


async def test_a_server_that_never_answers_is_given_up(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.2)
    async with ScriptedServer([Reply([], end="wait")]) as server:
        with pytest.raises(TransientStorageError, match="does not answer"):
            await put(client, server.url, io.BytesIO(b"data"), 4)


async def test_a_body_shorter_than_told_is_given_up(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.2)
    async with ScriptedServer([reply(200)]) as server:
        with pytest.raises(TransientStorageError):
            await put(client, server.url, io.BytesIO(b"dat"), 4)


async def test_a_refusal_is_told_though_the_body_is_not_taken(client: HttpClient) -> None:
    async with silent_server(b"HTTP/1.1 403 Any\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") as url:
        with pytest.raises(AccessDeniedError):
            await put(client, url, io.BytesIO(bytes(LARGE)), LARGE)


async def test_a_cancelled_upload_reads_no_further(client: HttpClient) -> None:
    async with silent_server() as url:
        source = io.BytesIO(bytes(LARGE))
        sending = asyncio.create_task(put(client, url, source, LARGE))
        await settle_until(lambda: source.tell() > 0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        source.close()
