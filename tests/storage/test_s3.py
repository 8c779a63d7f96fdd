"""Objects in a bucket of S3, with scripted answers: ranges, errors, writing, moving."""

from __future__ import annotations

import hashlib
import io
from base64 import b64encode

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
from restore.flow.retry import Retry
from restore.report.events import silent
from restore.storage.origin import Pin
from restore.storage.remote import RemoteStorage
from restore.storage.s3 import S3Origin
from restore.storage.s3_errors import _DENIED, _HOPELESS, _THROTTLED, _TRANSIENT
from tests.flow.steps import settle
from tests.storage.listing import list_names
from tests.storage.s3_script import HANDLE, OBJECT, Bench, bench, failed, tell
from tests.storage.scripted_http import Reply, reply

__all__ = ["bench"]

NEW = "/some-bucket/the/prefix/xyz.0000/two.chunk"

COPIED = reply(200, b'<CopyObjectResult xmlns="http://any"><ETag>"1"</ETag></CopyObjectResult>')


def part(data: bytes, *, tag: str | None = '"1"', of: int = 100) -> Reply:
    headers = {"Content-Range": f"bytes 10-{9 + len(data)}/{of}"}
    return reply(206, data, headers if tag is None else {**headers, "ETag": tag})


async def read(origin: S3Origin, pin: Pin | None, *, start: int = 10, length: int = 20) -> bytes:
    async with origin.get(HANDLE, start=start, length=length, pin=pin, fresh=False) as answer:
        data = bytearray(answer.end - answer.start)
        position = 0
        while position < len(data):
            position += await answer.read_into(memoryview(data)[position:])
        return bytes(data)


async def test_a_range_is_asked_for_and_pinned(bench: Bench) -> None:
    bench.answers(part(b"x" * 20), part(b"y" * 20))
    assert await read(bench.origin, None) == b"x" * 20
    assert await read(bench.origin, Pin('"1"', 100)) == b"y" * 20
    assert bench.asked == [("GET", OBJECT)] * 2
    first, second = (request.headers for request in bench.server.requests)
    assert first["range"] == second["range"] == "bytes=10-29"
    assert second["if-match"] == '"1"'
    assert not {"if-match", "authorization", "x-amz-date"} & first.keys()


async def test_all_that_is_asked_for_is_signed(bench: Bench) -> None:
    bench.answers(part(b"x" * 20))
    await read(bench.signed, Pin('"1"', 100))
    names = "host;if-match;range;x-amz-content-sha256;x-amz-date"
    assert f"/us-east-1/s3/aws4_request, SignedHeaders={names}, " in bench.last.headers["authorization"]
    assert bench.last.headers["x-amz-content-sha256"] == hashlib.sha256(b"").hexdigest()


async def test_a_name_is_quoted_letter_by_letter(bench: Bench) -> None:
    bench.answers(tell(5))
    await bench.origin.head("naïve/a b+c%25?d=e&f#g~(h)*!.chunk")
    assert bench.last.target == (
        "/some-bucket/the/prefix/na%C3%AFve/a%20b%2Bc%2525%3Fd%3De%26f%23g~%28h%29%2A%21.chunk"
    )


@pytest.mark.parametrize(
    "answer",
    [
        part(b"x" * 20, tag='"2"'),
        part(b"x" * 20, tag=None),
        part(b"x" * 20, of=101),
        failed(412, "PreconditionFailed"),
        failed(416, "InvalidRange"),
        reply(200, b"x" * 100, {"ETag": '"1"'}),
        reply(200, b"x" * 20, {"ETag": '"1"', "Content-Range": "bytes 0-19/100"}),
    ],
)
async def test_what_is_not_of_the_pin_is_refused(bench: Bench, answer: Reply) -> None:
    bench.answers(answer)
    with pytest.raises(CorruptAnswerError) as refusal:
        await read(bench.origin, Pin('"1"', 100))
    assert refusal.value.file == HANDLE


async def test_a_range_with_the_status_of_a_whole_is_one(bench: Bench) -> None:
    bench.answers(reply(200, b"x" * 20, {"ETag": '"1"', "Content-Range": "bytes 0-19/100"}))
    async with bench.origin.get(HANDLE, start=0, length=20, pin=None, fresh=False) as answer:
        assert (answer.pin, answer.start, answer.end) == (Pin('"1"', 100), 0, 20)


@pytest.mark.parametrize("pin", [None, Pin('"1"', 0)])
async def test_an_object_without_any_range_is_empty(bench: Bench, pin: Pin | None) -> None:
    bench.answers(failed(416, "InvalidRange"), tell(0))
    async with bench.origin.get(HANDLE, start=0, length=20, pin=pin, fresh=False) as answer:
        assert (answer.pin, answer.start, answer.end) == (Pin('"1"', 0), 0, 0)
        assert await answer.read_into(memoryview(bytearray(5))) == 0
    assert bench.asked == [("GET", OBJECT), ("HEAD", OBJECT)]


@pytest.mark.parametrize("pin, told", [(None, tell(5)), (Pin('"1"', 5), tell(0)), (Pin('"2"', 0), tell(0))])
async def test_a_range_refused_for_another_reason_is_an_error(
    bench: Bench, pin: Pin | None, told: Reply
) -> None:
    bench.answers(failed(416, "InvalidRange"), told)
    with pytest.raises(CorruptAnswerError):
        await read(bench.origin, pin, start=0)


ERRORS = [
    (404, "NoSuchKey", MissingFileError),
    (404, "NoSuchVersion", MissingFileError),
    (404, "", MissingFileError),
    *((403, code, AccessDeniedError) for code in _DENIED),
    (400, "ExpiredToken", AccessDeniedError),
    (403, "", AccessDeniedError),
    (401, "Unauthorized", AccessDeniedError),
    *((503, code, ThrottledError) for code in _THROTTLED),
    (400, "ThrottlingException", ThrottledError),
    (503, "", ThrottledError),
    (429, "Whatever", ThrottledError),
    *((400, code, TransientStorageError) for code in _TRANSIENT),
    (409, "OperationAborted", TransientStorageError),
    (500, "InternalError", TransientStorageError),
    (502, "", TransientStorageError),
    (504, "", TransientStorageError),
    (408, "", TransientStorageError),
    *((501, code, StorageUnavailableError) for code in _HOPELESS),
    (403, "InvalidObjectState", StorageUnavailableError),
    (400, "InvalidArgument", StorageUnavailableError),
    (405, "MethodNotAllowed", StorageUnavailableError),
    (301, "PermanentRedirect", StorageUnavailableError),
    (412, "PreconditionFailed", CorruptAnswerError),
    (416, "InvalidRange", CorruptAnswerError),
]


async def test_code_and_status_decide(bench: Bench) -> None:
    for status, code, kind in ERRORS:
        bench.answers(failed(status, code, headers={"Retry-After": "7"}))
        with pytest.raises(RestoreError) as refusal:
            await read(bench.origin, Pin('"1"', 100))
        error = refusal.value
        found = " ".join(filter(None, (f"status {status}", code, "(request A1B2)")))
        assert (type(error), error.file, error.found) == (kind, HANDLE, found)
        assert not isinstance(error, ThrottledError) or error.retry_after == 7


@pytest.mark.parametrize(
    "status, kind",
    [
        (404, MissingFileError),
        (403, AccessDeniedError),
        (503, ThrottledError),
        (500, TransientStorageError),
        (400, StorageUnavailableError),
    ],
)
async def test_an_answer_to_head_goes_by_its_status(
    bench: Bench, status: int, kind: type[RestoreError]
) -> None:
    bench.answers(reply(status, headers={"x-amz-request-id": "A1B2"}))
    with pytest.raises(RestoreError) as refusal:
        await bench.origin.head(HANDLE)
    assert type(refusal.value) is kind
    assert refusal.value.found == f"status {status} (request A1B2)"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"<Error>", b"<Error/>", b"<Error><Code></Code></Error>", b"\xff\xfe", b"plain",
        b"<!DOCTYPE Error [<!ENTITY c 'NoSuchKey'>]><Error><Code>&c;</Code></Error>",
        b"<?xml version='1.0' encoding='none-such'?><Error><Code>NoSuchKey</Code></Error>",
    ],
)  # fmt: skip
async def test_an_error_without_a_code_goes_by_its_status(bench: Bench, body: bytes) -> None:
    bench.answers(reply(403, body))
    with pytest.raises(AccessDeniedError) as refusal:
        await read(bench.origin, None)
    assert refusal.value.found == "status 403"


@pytest.mark.parametrize(
    "code, told",
    [
        ("AccessDenied", "requester pays"),
        ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        ("ExpiredToken", "AWS_SESSION_TOKEN"),
        ("RequestTimeTooSkewed", "clock"),
        ("InvalidObjectState", "archived"),
        ("", "public bucket"),
    ],
)
async def test_a_refusal_says_what_to_do(bench: Bench, code: str, told: str) -> None:
    bench.answers(failed(403, code))
    with pytest.raises(RestoreError) as refusal:
        await read(bench.origin, None)
    assert told in str(refusal.value.hint)


async def test_a_bucket_that_is_not_there_is_named(bench: Bench) -> None:
    for request in (lambda: read(bench.origin, None), lambda: list_names(bench.origin, "metadata")):
        bench.answers(failed(404, "NoSuchBucket"))
        with pytest.raises(EmptyStorageError, match="bucket does not exist") as refusal:
            await request()
        assert (refusal.value.file, refusal.value.exit_code) == ("s3://some-bucket", 10)


async def test_head_tells_the_content_as_a_range_does(bench: Bench) -> None:
    bench.answers(tell(100), part(b"x" * 20))
    pin = await bench.origin.head(HANDLE)
    async with bench.origin.get(HANDLE, start=10, length=20, pin=pin, fresh=False) as answer:
        assert answer.pin == pin == Pin('"1"', 100)


async def test_a_length_that_is_not_told_is_an_error(bench: Bench) -> None:
    bench.answers(reply(200, length=None, end="close"))
    with pytest.raises(TransientStorageError, match="length"):
        await bench.origin.head(HANDLE)


class TestPut:
    async def put(self, origin: S3Origin, data: bytes = b"some data", *, replace: bool = False) -> None:
        source = io.BytesIO(b"before" + data)
        source.seek(6)
        await origin.put(HANDLE, source, len(data), replace=replace)
        assert not source.closed

    async def test_an_object_is_written_where_none_is(self, bench: Bench) -> None:
        bench.answers(reply(404), reply(200))
        await self.put(bench.signed)
        assert bench.asked == [("HEAD", OBJECT), ("PUT", OBJECT)]
        headers = bench.last.headers
        assert bench.last.body == b"some data"
        assert headers["content-length"] == "9"
        assert headers["if-none-match"] == "*"
        assert headers["content-md5"] == b64encode(hashlib.md5(b"some data").digest()).decode()
        assert headers["x-amz-content-sha256"] == hashlib.sha256(b"some data").hexdigest()
        assert "content-md5;host;if-none-match;x-amz-content-sha256;" in headers["authorization"]

    async def test_an_empty_object_has_a_length(self, bench: Bench) -> None:
        bench.answers(reply(404), reply(200))
        await self.put(bench.origin, b"")
        assert (bench.last.body, bench.last.headers["content-length"]) == (b"", "0")

    async def test_an_object_that_is_there_is_kept(self, bench: Bench) -> None:
        bench.answers(tell(5))
        with pytest.raises(ManifestError) as refusal:
            await self.put(bench.origin)
        assert refusal.value.file == HANDLE
        assert bench.asked == [("HEAD", OBJECT)]

    async def test_an_object_that_appears_meanwhile_is_kept(self, bench: Bench) -> None:
        bench.answers(reply(404), failed(412, "PreconditionFailed"))
        with pytest.raises(ManifestError) as refusal:
            await self.put(bench.origin)
        assert refusal.value.file == HANDLE

    async def test_an_object_is_replaced_where_that_is_meant(self, bench: Bench) -> None:
        bench.answers(reply(200))
        await self.put(bench.origin, replace=True)
        assert bench.asked == [("PUT", OBJECT)]
        assert "if-none-match" not in bench.last.headers

    @pytest.mark.parametrize("code", ["BadDigest", "ConditionalRequestConflict"])
    async def test_what_may_go_well_next_time_is_told(self, bench: Bench, code: str) -> None:
        bench.answers(reply(404), failed(400, code))
        with pytest.raises(TransientStorageError):
            await self.put(bench.origin)

    async def test_a_body_is_not_sent_again_by_itself(self, bench: Bench) -> None:
        data = bytes(range(256)) * 3000  # more than is sent at once
        bench.answers(reply(404), Reply([], end="close"))
        with pytest.raises(TransientStorageError):
            await self.put(bench.origin, data)
        assert [request.body for request in bench.server.requests] == [b"", data]

    async def test_a_lost_answer_is_found_to_be_of_our_own_object(self, bench: Bench) -> None:
        stored = reply(200, b"some data", {"ETag": '"1"'})
        bench.answers(reply(404), Reply([], end="reset"), tell(9), stored)
        storage = RemoteStorage(bench.origin, report=silent, retry=without_pauses())
        async with storage.create_for_write("abc.0000", "one.chunk") as file:
            await file.write(b"some data")
        assert [method for method, _ in bench.asked] == ["HEAD", "PUT", "HEAD", "GET"]


class TestMove:
    async def move(self, bench: Bench) -> None:
        await bench.signed.move(HANDLE, "xyz.0000/two.chunk")

    async def test_an_object_is_copied_then_deleted(self, bench: Bench) -> None:
        bench.answers(COPIED, reply(204))
        await self.move(bench)
        assert bench.asked == [("PUT", NEW), ("DELETE", OBJECT)]
        headers = bench.server.requests[0].headers
        assert headers["x-amz-copy-source"] == OBJECT
        assert ";x-amz-copy-source;" in headers["authorization"]

    @pytest.mark.parametrize(
        "answer, kind",
        [
            (failed(200, "InternalError"), TransientStorageError),
            (failed(200, "Whatever"), TransientStorageError),
            (failed(200, "SlowDown"), ThrottledError),
            (failed(200, "AccessDenied"), AccessDeniedError),
            (reply(200, b"<CopyObjectResult><ETag>"), TransientStorageError),
            (reply(200, b""), TransientStorageError),
            (reply(200, b"<html></html>"), TransientStorageError),
        ],
    )
    async def test_nothing_is_deleted_unless_the_copy_is_confirmed(
        self, bench: Bench, answer: Reply, kind: type[RestoreError]
    ) -> None:
        bench.answers(answer)
        with pytest.raises(RestoreError) as refusal:
            await self.move(bench)
        assert type(refusal.value) is kind
        assert bench.asked == [("PUT", NEW)]

    async def test_an_object_that_is_nowhere_cannot_be_moved(self, bench: Bench) -> None:
        bench.answers(failed(404, "NoSuchKey"), reply(404))
        with pytest.raises(MissingFileError) as refusal:
            await self.move(bench)
        assert refusal.value.file == HANDLE
        assert bench.asked == [("PUT", NEW), ("HEAD", NEW)]

    async def test_a_move_whose_answer_was_lost_is_done(self, bench: Bench) -> None:
        lost = Reply([], end="reset")  # twice: without a body, aiohttp tries again by itself
        bench.answers(COPIED, lost, lost, failed(404, "NoSuchKey"), tell(5))
        storage = RemoteStorage(bench.origin, report=silent, retry=without_pauses())
        await storage.backup_metadata_file("metadata/some.meta")
        assert [method for method, _ in bench.asked] == ["PUT", "DELETE", "DELETE", "PUT", "HEAD"]
        assert bench.last.target == "/some-bucket/the/prefix/metadata_backup/some.meta"


def without_pauses() -> Retry:
    async def sleep(_: float) -> None:
        await settle()

    return Retry(silent, sleep=sleep)
