"""Google Cloud Storage with scripted answers: errors, pages, demands, moves, tokens."""

from __future__ import annotations

import hashlib
import io
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from restore.errors import (
    AccessDeniedError,
    CorruptAnswerError,
    EmptyStorageError,
    ManifestError,
    MissingFileError,
    RestoreError,
    StorageUnavailableError,
    ThrottledError,
    TransientStorageError,
)
from restore.report.events import silent
from restore.storage.gcs import GcsOrigin
from restore.storage.http import HttpClient
from restore.storage.origin import Answer, Pin
from tests.storage.listing import list_names, list_tags
from tests.storage.scripted_http import Reply, Request, ScriptedServer, reply

HANDLE = "abc.0000/one.chunk"
FULL = f"the/prefix/{HANDLE}"
OBJECT = "/storage/v1/b/some-bucket/o/the%2Fprefix%2Fabc.0000%2Fone.chunk"


def described(size: int, *, generation: str = "7", kind: str = "storage#object") -> Reply:
    return json_reply({"kind": kind, "generation": generation, "size": str(size)})


def json_reply(value: Any, *, status: int = 200) -> Reply:
    return reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def failed(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Reply:
    body = {"error": {"code": status, "message": "words", "errors": [{"reason": reason, "domain": "global"}]}}
    return reply(status, json.dumps(body).encode(), headers)


def part(data: bytes, *, generation: str | None = "7", of: int = 100) -> Reply:
    headers = {"Content-Range": f"bytes 10-{9 + len(data)}/{of}"}
    if generation is not None:
        headers["X-Goog-Generation"] = generation
    return reply(206, data, headers)


class Bench:
    """An origin over a scripted server."""

    def __init__(self, server: ScriptedServer, client: HttpClient) -> None:
        self.server = server
        self.origin = GcsOrigin("some-bucket", "/the/prefix/", client, tokens=None, endpoint=server.url)

    def answers(self, *replies: Reply) -> None:
        self.server.replies = list(replies)

    async def read(self, pin: Pin | None, *, start: int = 10, length: int = 20) -> bytes:
        async with self.origin.get(HANDLE, start=start, length=length, pin=pin, fresh=False) as answer:
            return await read_all(answer)

    async def put(self, *, replace: bool) -> None:
        await self.origin.put(HANDLE, io.BytesIO(b"data"), 4, replace=replace)

    @property
    def asked(self) -> list[tuple[str, str]]:
        return [(request.method, request.target) for request in self.server.requests]


async def read_all(answer: Answer) -> bytes:
    data = bytearray(answer.end - answer.start)
    position = 0
    while position < len(data):
        position += await answer.read_into(memoryview(data)[position:])
    return bytes(data)


def query_of(request: Request) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(request.target).query).items()}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with ScriptedServer([]) as server, HttpClient(report=silent) as client:
        yield Bench(server, client)


async def test_a_range_is_asked_for_as_it_is_stored_and_pinned(bench: Bench) -> None:
    bench.answers(part(b"x" * 20), part(b"y" * 20))
    assert await bench.read(None) == b"x" * 20
    assert await bench.read(Pin("7", 100)) == b"y" * 20
    first, second = bench.server.requests
    assert first.target == f"{OBJECT}?alt=media"
    assert query_of(second) == {"alt": "media", "ifGenerationMatch": "7"}
    for request in (first, second):
        assert request.headers["range"] == "bytes=10-29"
        assert request.headers["accept-encoding"] == "gzip"
        assert "authorization" not in request.headers


@pytest.mark.parametrize(
    "answer",
    [
        part(b"x" * 20, generation="8"),
        part(b"x" * 20, generation=None),
        part(b"x" * 20, of=101),
        failed(412, "conditionNotMet"),
        reply(412),
        reply(416),
        reply(200, b"x" * 100, {"X-Goog-Generation": "7"}),
    ],
)
async def test_what_is_not_of_the_pin_is_refused(bench: Bench, answer: Reply) -> None:
    bench.answers(answer)
    with pytest.raises(CorruptAnswerError) as refusal:
        await bench.read(Pin("7", 100))
    assert refusal.value.file == HANDLE


async def test_an_empty_object_has_no_range(bench: Bench) -> None:
    bench.answers(reply(416), described(0))
    async with bench.origin.get(HANDLE, start=0, length=20, pin=None, fresh=False) as answer:
        assert (answer.pin, answer.start, answer.end) == (Pin("7", 0), 0, 0)
        assert await answer.read_into(memoryview(bytearray(5))) == 0
    bench.answers(reply(416), described(5))
    with pytest.raises(CorruptAnswerError):
        await bench.read(None, start=0)


ERRORS = [
    (404, "notFound", MissingFileError),
    (404, "", MissingFileError),
    (400, "required", AccessDeniedError),
    (400, "userProjectMissing", AccessDeniedError),
    (403, "userProjectDenied", AccessDeniedError),
    (400, "invalid", StorageUnavailableError),
    (401, "authError", AccessDeniedError),
    (403, "forbidden", AccessDeniedError),
    (403, "insufficientPermissions", AccessDeniedError),
    (403, "rateLimitExceeded", ThrottledError),
    (403, "userRateLimitExceeded", ThrottledError),
    (403, "quotaExceeded", ThrottledError),
    (429, "rateLimitExceeded", ThrottledError),
    (429, "", ThrottledError),
    (503, "backendError", ThrottledError),
    (408, "", TransientStorageError),
    (500, "internalError", TransientStorageError),
    (502, "", TransientStorageError),
    (504, "", TransientStorageError),
    (412, "conditionNotMet", CorruptAnswerError),
    (416, "requestedRangeNotSatisfiable", CorruptAnswerError),
    (307, "", StorageUnavailableError),
    (405, "methodNotAllowed", StorageUnavailableError),
]


@pytest.mark.parametrize("status, reason, kind", ERRORS)
async def test_status_and_reason_decide(
    bench: Bench, status: int, reason: str, kind: type[RestoreError]
) -> None:
    headers = {"X-GUploader-UploadID": "a1b2", "Retry-After": "7"}
    for request in (lambda: bench.read(Pin("7", 100)), lambda: bench.origin.head(HANDLE)):
        bench.answers(failed(status, reason, headers))
        with pytest.raises(RestoreError) as refusal:
            await request()
        assert type(refusal.value) is kind
        assert refusal.value.file == HANDLE
        assert refusal.value.found == " ".join(filter(None, (f"status {status}", reason, "(request a1b2)")))
        if isinstance(refusal.value, ThrottledError):
            assert refusal.value.retry_after == 7


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error": 5}', b'{"error": {"errors": []}}', b"\xff"]
)
async def test_an_error_without_a_reason_goes_by_its_status(bench: Bench, body: bytes) -> None:
    bench.answers(reply(403, body))
    with pytest.raises(AccessDeniedError) as refusal:
        await bench.origin.head(HANDLE)
    assert refusal.value.found == "status 403"


async def test_who_must_pay_is_told_how(bench: Bench) -> None:
    bench.answers(failed(400, "required"), failed(403, "forbidden"))
    hints = []
    for _ in range(2):
        with pytest.raises(AccessDeniedError) as refusal:
            await bench.origin.head(HANDLE)
        hints.append(str(refusal.value.hint))
    assert "set-quota-project" in hints[0]
    assert "GOOGLE_APPLICATION_CREDENTIALS" in hints[1]


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, b""),
        reply(200, b"{}"),
        reply(200, b'{"kind": "storage#object", "generation": "7"'),
        described(5, kind="storage#bucket"),
        json_reply({"kind": "storage#object", "generation": "7", "size": "many"}),
        json_reply({"kind": "storage#object", "size": "5"}),
    ],
)
async def test_a_description_that_is_none_is_no_answer(bench: Bench, answer: Reply) -> None:
    bench.answers(answer)
    with pytest.raises(TransientStorageError) as refusal:
        await bench.origin.head(HANDLE)
    assert refusal.value.file == HANDLE


def page(*names: str, token: str | None = None, **others: object) -> Reply:
    items = [{"name": name, "size": "5", "unknown": {}} for name in names]
    listing: dict[str, object] = {"kind": "storage#objects", **others}
    if items:
        listing["items"] = items
    if token is not None:
        listing["nextPageToken"] = token
    return json_reply(listing)


async def test_all_pages_are_asked_for(bench: Bench) -> None:
    folder = "the/prefix/metadata/"
    bench.answers(
        page(f"{folder}b.meta", f"{folder}a.meta", token="more/+ ="),
        page(token="yet more", prefixes=[f"{folder}deeper/"]),
        # The folder's own mark, what lies deeper, and one that came before are not names of it.
        page(folder, f"{folder}deeper/x.meta", f"{folder}a.meta", f"{folder}naïve ☃.meta"),
    )
    names = await list_names(bench.origin, "metadata")
    assert sorted(names) == ["a.meta", "b.meta", "naïve ☃.meta"]
    asked = [query_of(request) for request in bench.server.requests]
    assert [query.pop("pageToken", None) for query in asked] == [None, "more/+ =", "yet more"]
    fields = "kind,nextPageToken,items(name,generation)"
    assert asked == [{"prefix": folder, "delimiter": "/", "fields": fields}] * 3


async def test_the_generation_of_an_object_is_its_tag(bench: Bench) -> None:
    items = [{"name": "the/prefix/metadata/a", "generation": "7"}, {"name": "the/prefix/metadata/b"}]
    bench.answers(json_reply({"kind": "storage#objects", "items": items}))
    assert await list_tags(bench.origin, "metadata") == {"a": "7", "b": ""}


@pytest.mark.parametrize("answers", [[page()], [page("the/prefix/metadata/")], [page(token="a"), page()]])
async def test_an_empty_listing_has_no_names(bench: Bench, answers: list[Reply]) -> None:
    bench.answers(*answers)
    assert await list_names(bench.origin, "metadata") == []


NAME = "the/prefix/metadata/a.meta"


@pytest.mark.parametrize(
    "answers, kind",
    [
        ([reply(200, b"{}")], TransientStorageError),
        ([reply(200, b'{"kind": "storage#objects", "items": [{"name": "the/pre')], TransientStorageError),
        ([json_reply({"kind": "storage#object", "items": []})], TransientStorageError),
        ([json_reply({"kind": "storage#objects", "items": [{}]})], TransientStorageError),
        (
            [json_reply({"kind": "storage#objects", "items": [{"name": NAME, "generation": 7}]})],
            TransientStorageError,
        ),
        ([page("the/prefix/metadat")], TransientStorageError),
        ([page("metadata/a.meta")], TransientStorageError),
        ([page(NAME, token="a"), page(NAME, token="a")], TransientStorageError),
        ([page(NAME, token="a"), page(NAME, token="b"), page(NAME, token="a")], TransientStorageError),
        ([page(NAME, token="a"), failed(500, "internalError")], TransientStorageError),
        ([page(NAME, token="a"), failed(410, "gone")], MissingFileError),
        ([failed(404, "notFound")], EmptyStorageError),
        ([failed(403, "forbidden")], AccessDeniedError),
    ],
)
async def test_a_listing_that_fails_is_never_a_shorter_one(
    bench: Bench, answers: list[Reply], kind: type[RestoreError]
) -> None:
    bench.answers(*answers)
    with pytest.raises(kind):
        await list_names(bench.origin, "metadata")
    assert bench.server.replies == []


async def test_an_object_is_written_with_its_name_and_checksum(bench: Bench) -> None:
    for replace in (False, True):
        bench.answers(json_reply({"kind": "storage#object"}))
        await bench.put(replace=replace)
    kept, replaced = bench.server.requests
    for request in (kept, replaced):
        assert (request.method, urlsplit(request.target).path) == (
            "POST",
            "/upload/storage/v1/b/some-bucket/o",
        )
        kind, _, boundary = request.headers["content-type"].partition("; boundary=")
        assert kind == "multipart/related"
        _, description, data, end = request.body.split(f"--{boundary}".encode())
        assert json.loads(description.partition(b"\r\n\r\n")[2]) == {
            "name": FULL,
            "md5Hash": b64encode(hashlib.md5(b"data").digest()).decode(),
        }
        assert data.endswith(b"\r\n\r\ndata\r\n")
        assert end == b"--\r\n"
    assert query_of(kept)["ifGenerationMatch"] == "0"
    assert "ifGenerationMatch" not in query_of(replaced)


@pytest.mark.parametrize(
    "answer, kind",
    [
        (failed(412, "conditionNotMet"), ManifestError),
        (failed(503, "backendError"), ThrottledError),
        (failed(401, "authError"), AccessDeniedError),
        (failed(400, "invalid"), StorageUnavailableError),
        (Reply([], "reset"), TransientStorageError),
    ],
)
async def test_a_failed_writing_says_why(bench: Bench, answer: Reply, kind: type[RestoreError]) -> None:
    bench.answers(answer)
    with pytest.raises(kind) as refusal:
        await bench.put(replace=False)
    assert refusal.value.file == HANDLE


class Bucket:
    """Enough of a bucket for a move, whose answers may get lost."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.lost: list[str] = []

    def __call__(self, request: Request) -> Reply:
        source, _, target = urlsplit(request.target).path.partition("/copyTo/b/some-bucket/o/")
        name = unquote(source.rpartition("/")[2])
        if name not in self.names:
            return failed(404, "notFound")
        if request.method == "POST":
            self.names.add(unquote(target))
        if request.method == "DELETE":
            self.names.remove(name)
        if request.method in self.lost:
            self.lost.remove(request.method)
            return Reply([], "reset")
        return described(5)


OLD, NEW = "metadata/a.meta", "metadata_backup/a.meta"


@pytest.mark.parametrize("lost", [[], ["POST"], ["DELETE"], ["POST", "DELETE"]])
async def test_a_move_is_done_whichever_answer_is_lost(bench: Bench, lost: list[str]) -> None:
    bench.server.replies = bucket = Bucket(f"the/prefix/{OLD}")
    bucket.lost = list(lost)
    for _ in range(len(lost) + 1):
        with suppress(TransientStorageError):
            await bench.origin.move(OLD, NEW)
    assert bucket.lost == []
    assert bucket.names == {f"the/prefix/{NEW}"}
    await bench.origin.move(OLD, NEW)


async def test_what_is_not_there_cannot_be_moved(bench: Bench) -> None:
    bench.server.replies = Bucket("the/prefix/other")
    with pytest.raises(MissingFileError) as refusal:
        await bench.origin.move(OLD, NEW)
    assert refusal.value.file == OLD


async def test_a_place_at_google_is_named_as_its_tools_do() -> None:
    async with HttpClient(report=silent) as client:
        assert GcsOrigin("b", "", client, tokens=None).identity == "gs://b"
        assert GcsOrigin("b", "/x/y/", client, tokens=None).identity == "gs://b/x/y"
        local = GcsOrigin("b", "x", client, tokens=None, endpoint="http://127.0.0.1:1/")
        assert local.identity == "http://127.0.0.1:1/b/x"
