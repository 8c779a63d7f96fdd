"""Listings of a bucket, with scripted answers: all pages, or an error."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from restore.errors import (
    AccessDeniedError,
    RestoreError,
    StorageUnavailableError,
    ThrottledError,
    TransientStorageError,
)
from restore.storage import paging, s3_xml
from tests.storage.listing import list_names, list_tags
from tests.storage.s3_script import Bench, bench, failed
from tests.storage.scripted_http import Reply, reply

__all__ = ["bench"]

PREFIX = "the/prefix/metadata/"

AMAZON = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

BOMB = """<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>"""


def page(
    *keys: str,
    token: str = "",
    truncated: str | None = None,
    name: str = "some-bucket",
    prefix: str = PREFIX,
    encoding: str = "",
    namespace: str = AMAZON,
    before: str = "",
    more: str = "<Size>1</Size>",
    cut: int = 0,
) -> Reply:
    contents = "".join(f"<Contents><Key>{key}</Key>{more}</Contents>" for key in keys)
    text = (
        f"<?xml version='1.0' encoding='UTF-8'?>{before}<ListBucketResult{namespace}><Name>{name}</Name>"
        f"<Prefix>{prefix}</Prefix>{encoding and f'<EncodingType>{encoding}</EncodingType>'}"
        f"<IsTruncated>{truncated or ('true' if token else 'false')}</IsTruncated>{contents}"
        f"<CommonPrefixes><Prefix>{prefix}below/</Prefix></CommonPrefixes>"
        f"{token and f'<NextContinuationToken>{token}</NextContinuationToken>'}</ListBucketResult>"
    )
    return reply(200, text[: len(text) - cut].encode())


def key(name: str) -> str:
    return f"{PREFIX}{name}"


async def test_all_pages_are_asked_for_in_turn(bench: Bench) -> None:
    bench.answers(page(key("a"), token="1+/="), page(key("b"), key("c"), token="2"), page(key("d")))
    assert sorted(await list_names(bench.origin, "metadata")) == ["a", "b", "c", "d"]
    always = [("delimiter", "/"), ("encoding-type", "url"), ("list-type", "2"), ("prefix", PREFIX)]
    assert [parse_qsl(urlsplit(target).query) for _, target in bench.asked] == [
        always,
        [("continuation-token", "1+/="), *always],
        [("continuation-token", "2"), *always],
    ]
    assert {urlsplit(target).path for _, target in bench.asked} == {"/some-bucket/"}


async def test_only_the_objects_of_the_folder_count_and_each_once(bench: Bench) -> None:
    bench.answers(page(PREFIX, key("a"), key("a"), key("below/c"), token="1"), page(key("a"), key("b")))
    assert sorted(await list_names(bench.origin, "metadata")) == ["a", "b"]


@pytest.mark.parametrize("encoding, told", [("url", "a%2Bb+c%C3%BC%26"), ("", "a+b cü&amp;")])
async def test_keys_are_read_as_they_are_written(bench: Bench, encoding: str, told: str) -> None:
    bench.answers(page(key(told), encoding=encoding, namespace=""))
    assert await list_names(bench.origin, "metadata") == ["a+b cü&"]


@pytest.mark.parametrize(
    "told, tag",
    [
        ("<ETag>&quot;a+b&quot;</ETag><Size>5</Size>", '"a+b" 5'),
        ("<Size>5</Size><ETag>&#34;a&#34;</ETag><Owner><ID>5</ID></Owner>", '"a" 5'),
        ("<Size>5</Size><LastModified>2026-11-26T16:28:10.000Z</LastModified>", ""),
        ("<ETag>&quot;a&quot;</ETag>", ""),
        ("<ETag/><Size>5</Size>", ""),
        ("", ""),
    ],
)
async def test_etag_and_size_are_the_tag_of_an_object(bench: Bench, told: str, tag: str) -> None:
    for namespace in (AMAZON, ""):
        bench.answers(page(key("a"), more=told, namespace=namespace, encoding="url"))
        assert await list_tags(bench.origin, "metadata") == {"a": tag}


async def test_an_empty_listing_has_no_names(bench: Bench) -> None:
    for empty in (page(), page(PREFIX)):
        bench.answers(empty)
        assert await list_names(bench.origin, "metadata") == []


@pytest.mark.parametrize(
    "answer",
    [
        page(key("a"), cut=1),
        page(key("a"), cut=200),
        reply(200, b""),
        reply(200, b"<html><body>proxy</body></html>"),
        reply(200, b"<ListBucketResult/>"),
        reply(200, page().pieces[0].replace(b"<CommonPrefixes>", b"<Contents/><CommonPrefixes>")),
        page(key("a"), truncated="true"),
        page(key("a"), truncated="perhaps"),
        page(key("a"), name="other-bucket"),
        page(key("a"), prefix="the/prefix/"),
        page("elsewhere/a"),
        page(key("a"), before=BOMB),
        page(key("&b;"), before=BOMB),
        page(key("a"), before="<!DOCTYPE html>"),
        page(key("&c;")),
        page(key("a"), token="1"),  # the second page leads to itself
    ],
)
async def test_a_listing_that_is_not_whole_is_none(bench: Bench, answer: Reply) -> None:
    bench.answers(page(key("z"), token="1"), answer)
    with pytest.raises(TransientStorageError) as refusal:
        await list_names(bench.origin, "metadata")
    assert refusal.value.file == "metadata"


@pytest.mark.parametrize(
    "answer, kind",
    [
        (failed(200, "InternalError"), TransientStorageError),
        (failed(503, "SlowDown"), ThrottledError),
        (failed(403, "AccessDenied"), AccessDeniedError),
    ],
)
async def test_a_page_that_is_an_error_is_raised(
    bench: Bench, answer: Reply, kind: type[RestoreError]
) -> None:
    bench.answers(page(key("z"), token="1"), answer)
    with pytest.raises(RestoreError) as refusal:
        await list_names(bench.origin, "metadata")
    assert type(refusal.value) is kind


async def test_a_listing_has_an_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MAX_PAGES", 3)
    bench.answers(*(page(key(f"{number}"), token=f"{number}") for number in range(3)))
    with pytest.raises(StorageUnavailableError, match="does not end") as refusal:
        await list_names(bench.origin, "metadata")
    assert type(refusal.value) is StorageUnavailableError


@pytest.mark.parametrize("bound", ["MAX_NAMES", "MAX_CHARACTERS"])
async def test_all_names_together_have_a_bound(
    bench: Bench, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, bound, 4)
    pages = page(key("a"), key("b"), token="1"), page(key("c"), key("d"))
    bench.answers(*pages)
    assert len(await list_names(bench.origin, "metadata")) == 4
    bench.answers(pages[0], page(key("c"), key("d"), key("e")))
    with pytest.raises(StorageUnavailableError, match="too long") as refusal:
        await list_names(bench.origin, "metadata")
    assert type(refusal.value) is StorageUnavailableError


async def test_a_page_of_nothing_but_elements_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = page(key("a"), key("b"))
    monkeypatch.setattr(s3_xml, "MAX_ELEMENTS", names.pieces[0].count(b"</") + names.pieces[0].count(b"/>"))
    bench.answers(names)
    assert len(await list_names(bench.origin, "metadata")) == 2
    bench.answers(page(key("a"), key("b"), key("c")))
    with pytest.raises(TransientStorageError) as refusal:
        await list_names(bench.origin, "metadata")
    assert "too many elements" in str(refusal.value.found)


async def test_a_page_has_a_bound(bench: Bench) -> None:
    filler = " " * paging.MAX_PAGE_BYTES
    bench.answers(page(key("a"), before=filler))
    with pytest.raises(StorageUnavailableError, match="too long"):
        await list_names(bench.origin, "metadata")
