"""The S3 side beyond objects: listings page by page, writes, copies, and Amazon's own client at work."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.faults import FaultPlan, FaultServer, serve_in_thread
from benchmarks.faults.folder import Entry
from benchmarks.faults.s3_listing import Wish, page_of
from tests.faults.conftest import LARGE, SMALL
from tests.faults.raw import S3_NAMESPACE, RawClient, fill

KEYS = ["a", "a/1", "a/2", "b", "c/d/e", "z"]
NAMESPACE = {"s3": S3_NAMESPACE}


class Page:
    """A page of a listing, parsed."""

    def __init__(self, text: bytes) -> None:
        found = ET.fromstring(text)
        self.keys = [str(key.text) for key in found.iterfind("s3:Contents/s3:Key", NAMESPACE)]
        self.sizes = [int(str(size.text)) for size in found.iterfind("s3:Contents/s3:Size", NAMESPACE)]
        self.tags = [str(tag.text) for tag in found.iterfind("s3:Contents/s3:ETag", NAMESPACE)]
        self.prefixes = [
            str(prefix.text) for prefix in found.iterfind("s3:CommonPrefixes/s3:Prefix", NAMESPACE)
        ]
        self.is_truncated = found.findtext("s3:IsTruncated", "", NAMESPACE)
        self.count = int(found.findtext("s3:KeyCount", "", NAMESPACE))
        self.token = found.findtext("s3:NextContinuationToken", None, NAMESPACE)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A bucket with keys in folders; `a` cannot be a file and a folder, so it is one level down."""
    fill(tmp_path, {f"bucket/k/{key}" if key != "a" else "bucket/k/a.": key.encode() for key in KEYS})
    return tmp_path


async def list_page(client: RawClient, query: str) -> Page:
    head, body = await client.get(f"/s3/bucket?list-type=2&{query}")
    assert head.status == 200
    return Page(body)


@pytest.mark.parametrize(
    ("query", "names", "prefixes"),
    [
        ("", ["k/a.", "k/a/1", "k/a/2", "k/b", "k/c/d/e", "k/z"], []),
        ("prefix=k/a", ["k/a.", "k/a/1", "k/a/2"], []),
        ("prefix=k/a/", ["k/a/1", "k/a/2"], []),
        ("prefix=none", [], []),
        ("prefix=k/&delimiter=/", ["k/a.", "k/b", "k/z"], ["k/a/", "k/c/"]),
        ("delimiter=/", [], ["k/"]),
        ("start-after=k/a/1", ["k/a/2", "k/b", "k/c/d/e", "k/z"], []),
    ],
)
async def test_a_listing_has_what_was_asked_for(
    keys: Path, query: str, names: list[str], prefixes: list[str]
) -> None:
    async with FaultServer(keys, FaultPlan()) as server, RawClient(server) as client:
        page = await list_page(client, query)
        assert (page.keys, page.prefixes) == (names, prefixes)
        assert (page.is_truncated, page.token, page.count) == ("false", None, len(names) + len(prefixes))
        assert page.sizes == [(keys / "bucket" / name).stat().st_size for name in names]
        for name, tag in zip(page.keys, page.tags, strict=True):
            assert (await client.get(f"/s3/bucket/{name}"))[0].headers["etag"] == tag


@pytest.mark.parametrize("delimiter", ["", "/"])
async def test_pages_together_are_the_listing(keys: Path, delimiter: str) -> None:
    async with FaultServer(keys, FaultPlan(), page_size=2) as server, RawClient(server) as client:
        found: list[str] = []
        query = f"prefix=k/&delimiter={delimiter}"
        token: str | None = ""
        while token is not None:
            page = await list_page(client, f"{query}&continuation-token={quote(token)}" if token else query)
            assert page.count <= 2
            assert page.is_truncated == ("true" if page.token else "false")
            found += sorted(page.keys + page.prefixes)
            token = page.token
        expected = ["k/a.", "k/a/", "k/b", "k/c/", "k/z"] if delimiter else None
        assert found == (expected or ["k/a.", "k/a/1", "k/a/2", "k/b", "k/c/d/e", "k/z"])
        assert (await list_page(client, "max-keys=1")).count == 1
        assert (await list_page(client, "max-keys=9")).count == 2


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 10))
def test_pages_of_any_names_are_all_of_them_once_and_in_order(names: list[str], size: int) -> None:
    entries = sorted(
        (Entry(name, is_folder=False, path=Path()) for name in names),
        key=lambda entry: entry.name.encode("utf-8", "surrogatepass"),
    )
    query = {"max-keys": str(size)}
    found: list[Entry] = []
    while True:
        page, token = page_of(entries, Wish.of(query, 1000))
        found += page
        if not token:
            break
        query["continuation-token"] = token
    assert found == entries


async def test_keys_are_percent_encoded_where_that_is_asked_for(root: Path) -> None:
    fill(root, {"bucket/a b&c<": b""})
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        assert (await list_page(client, "prefix=a")).keys == ["a b&c<"]
        assert (await list_page(client, "prefix=a&encoding-type=url")).keys == ["a%20b%26c%3C"]


@pytest.mark.parametrize("query", ["max-keys=-1", "max-keys=x", "encoding-type=x", "continuation-token=x"])
async def test_a_listing_that_cannot_be_is_refused(root: Path, query: str) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        head, body = await client.get(f"/s3/bucket?list-type=2&{query}")
        assert head.status == 400
        assert b"<Code>InvalidArgument</Code>" in body


@pytest.mark.parametrize("path", ["/s3/", "/s3/none?list-type=2", "/s3/none/x", "/s3/../x"])
async def test_a_bucket_has_to_be_there(root: Path, path: str) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        head, _ = await client.get(path)
        assert head.status == 404


CHUNKED = (
    b"4;chunk-signature=ab\r\n" + SMALL[:4] + b"\r\n3e4\r\n" + SMALL[4:] + b"\r\n0\r\n"
    b"x-amz-checksum-crc32: AAAAAA==\r\n\r\n"
)


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (["Content-Length: 1000"], SMALL),
        (["Content-Length: 1000", "Expect: 100-continue"], SMALL),
        (["Transfer-Encoding: chunked"], CHUNKED),
        ([f"Content-Length: {len(CHUNKED)}", "Content-Encoding: aws-chunked"], CHUNKED),
    ],
)
async def test_a_written_object_is_there_however_it_was_sent(
    root: Path, lines: list[str], body: bytes
) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        await client.ask("/s3/bucket/new/er", *lines, method="PUT")
        if "Expect: 100-continue" in lines:
            await client.continued()
        await client.send(body)
        written, _ = await client.answer()
        head, found = await client.get("/s3/bucket/new/er")
        assert (found, head.headers["etag"]) == (SMALL, written.headers["etag"])


async def test_a_write_replaces_unless_it_may_not(root: Path) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        await client.ask("/s3/bucket/small", "If-None-Match: *", method="PUT", body=b"new")
        assert (await client.answer())[0].status == 412
        assert (await client.get("/s3/bucket/small"))[1] == SMALL
        await client.ask("/s3/bucket/small", method="PUT", body=b"new")
        assert (await client.answer())[0].status == 200
        assert (await client.get("/s3/bucket/small"))[1] == b"new"


@pytest.mark.parametrize("key", ["small/below", "folder"])
async def test_what_a_folder_cannot_hold_is_a_conflict(root: Path, key: str) -> None:
    fill(root, {"bucket/folder/x": b""})
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        await client.ask(f"/s3/bucket/{key}", method="PUT", body=b"new")
        assert (await client.answer())[0].status == 409
    assert sorted(path.name for path in (root / "bucket").iterdir()) == ["folder", "large", "small"]


async def test_a_deleted_object_is_gone_and_its_empty_folders_too(root: Path) -> None:
    fill(root, {"bucket/a/b/c": b"", "bucket/a/d": b""})
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        for key in ("a/b/c", "a/b/c", "missing"):
            await client.ask(f"/s3/bucket/{key}", method="DELETE")
            assert (await client.head()).status == 204
        assert (await list_page(client, "")).keys == ["a/d", "large", "small"]
        assert not (root / "bucket/a/b").exists()
        for key in ("a/d", "large", "small"):
            await client.ask(f"/s3/bucket/{key}", method="DELETE")
            await client.head()
        assert (await list_page(client, "")).keys == []


@pytest.mark.parametrize(
    "request_line", ["POST /s3/bucket/x", "GET /s3/bucket/small?tagging", "GET /s3/bucket"]
)
async def test_what_is_not_served_says_so(root: Path, request_line: str) -> None:
    async with FaultServer(root, FaultPlan()) as server, RawClient(server) as client:
        method, path = request_line.split(" ")
        await client.ask(path, method=method)
        head, body = await client.answer()
        assert head.status in {405, 501}
        assert b"<Error><Code>" in body


@pytest.fixture
def amazon(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of Amazon's own library, on the loopback."""
    import botocore.session  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    with serve_in_thread(root, FaultPlan(), page_size=2) as server:
        client = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=server.s3_endpoint,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )
        yield client
        client.close()


def test_amazons_own_client_reads_writes_lists_copies_and_deletes(amazon: Any) -> None:
    amazon.put_object(Bucket="bucket", Key="a/b c", Body=io.BytesIO(LARGE))
    part = amazon.get_object(Bucket="bucket", Key="a/b c", Range="bytes=1000-1999")
    assert part["Body"].read() == LARGE[1000:2000]
    amazon.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": "a/b c"})
    told = amazon.head_object(Bucket="bucket", Key="copy")
    assert told["ContentLength"] == len(LARGE)
    pages = amazon.get_paginator("list_objects_v2").paginate(Bucket="bucket")
    found = {entry["Key"]: entry for page in pages for entry in page["Contents"]}
    assert list(found) == ["a/b c", "copy", "large", "small"]
    assert (found["copy"]["ETag"], found["copy"]["Size"]) == (told["ETag"], len(LARGE))
    amazon.delete_object(Bucket="bucket", Key="copy")
    with pytest.raises(amazon.exceptions.NoSuchKey):
        amazon.get_object(Bucket="bucket", Key="copy")
    with pytest.raises(amazon.exceptions.ClientError, match="PreconditionFailed"):
        amazon.get_object(Bucket="bucket", Key="small", IfMatch='"other"')
