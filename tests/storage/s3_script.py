"""What a scripted server answers as S3 does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from restore.report.events import silent
from restore.storage.http import HttpClient
from restore.storage.s3 import S3Origin
from restore.storage.signing import Signer
from tests.storage.scripted_http import Reply, Request, ScriptedServer, reply

HANDLE = "abc.0000/one.chunk"
OBJECT = "/some-bucket/the/prefix/abc.0000/one.chunk"


@dataclass
class Bench:
    """An origin over a scripted server."""

    server: ScriptedServer
    origin: S3Origin
    signed: S3Origin
    """The same bucket, with signatures."""

    def answers(self, *replies: Reply) -> None:
        self.server.replies = list(replies)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Method and target of each request."""
        return [(request.method, request.target) for request in self.server.requests]

    @property
    def last(self) -> Request:
        return self.server.requests[-1]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with ScriptedServer([]) as server, HttpClient(report=silent) as client:

        def origin(signer: Signer | None) -> S3Origin:
            return S3Origin(
                "some-bucket", "/the/prefix/", client, signer=signer, endpoint=server.url, path_style=True
            )

        yield Bench(server, origin(None), origin(Signer(Credentials("KEY", "SECRET"))))


def failed(status: int, code: str, more: str = "", headers: Mapping[str, str] | None = None) -> Reply:
    """An error."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>words</Message>{more}</Error>"
    return reply(status, body.encode(), {"x-amz-request-id": "A1B2", **(headers or {})})


def tell(size: int, *, tag: str = '"1"') -> Reply:
    """The answer to a HEAD."""
    return reply(200, b"", {"ETag": tag}, length=size)
