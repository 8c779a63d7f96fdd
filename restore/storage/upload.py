"""Sends a body from a file, watched as long as it moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from restore.storage.base import FileHandle
from restore.storage.http import HttpClient, Response
from restore.storage.http_answers import Rules

_SENT_BYTES = 64 << 10
"""Sent at once: slower than this in `http.IDLE_SECONDS` is no link to send a backup over."""


async def upload(
    client: HttpClient,
    method: str,
    url: URL,
    *,
    handle: FileHandle,
    rules: Rules,
    headers: Mapping[str, str],
    source: IO[bytes],
    size: int,
    description: Mapping[str, str] | None = None,
) -> Response:
    """A request with the next `size` bytes of `source` as its body, and its answer.

    Args:
        client: makes the request.
        method: of the request.
        url: of the request.
        handle: the object, for errors.
        rules: what the server's answers mean.
        headers: of the request.
        source: the file.
        size: how many bytes of it.
        description: goes before them, as JSON, in a body of two parts; None for a body of the bytes alone.

    Raises:
        RestoreError: as `HttpClient.request`.

    Bounds: `_SENT_BYTES` of the body in memory.
    """

    def body(moved: Callable[[], None]) -> aiohttp.Payload:
        content = _Body(source, size, moved)
        if description is None:
            return content
        parts = aiohttp.MultipartWriter("related")
        parts.append_json(description)
        parts.append_payload(content)
        return parts

    return await client.request(method, url, handle=handle, rules=rules, headers=headers, body=body)


class _Body(aiohttp.Payload):
    """The bytes of a file from where it stands; aiohttp's own payload would close the file.

    Args:
        source: the file.
        size: how many.
        moved: called as they are sent.
    """

    def __init__(self, source: IO[bytes], size: int, moved: Callable[[], None]) -> None:
        super().__init__(source, content_type="application/octet-stream")
        self._source = source
        self._size = size  # aiohttp announces it
        self._moved = moved
        self._begun = False

    @property
    def consumed(self) -> bool:
        """Whether it was sent, be it in part.

        aiohttp then leaves it to us to try again, who know that a lost answer may have been a good one.
        """
        return self._begun

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002
        """Not of use: the bytes are no text."""
        raise TypeError("a body is bytes")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Sends them."""
        self._begun = True
        left = self._size or 0
        # Not in a thread: it was just written, so this copies memory, and nobody reads on once cancelled.
        while piece := self._source.read(min(_SENT_BYTES, left)):
            await writer.write(piece)
            left -= len(piece)
            self._moved()
