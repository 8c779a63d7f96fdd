"""URLs of places."""

from __future__ import annotations

import pytest

from restore.errors import UsageError
from restore.storage.place import Place, check_endpoint, parse_place


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket/some/prefix", Place("s3", "bucket", "some/prefix")),
        ("s3://bucket/some/prefix/", Place("s3", "bucket", "some/prefix")),
        ("s3://bucket", Place("s3", "bucket", "")),
        ("s3://bucket/", Place("s3", "bucket", "")),
        ("s3://my.bucket-1/e1", Place("s3", "my.bucket-1", "e1")),
        ("s3://bucket/50%25", Place("s3", "bucket", "50%25")),
        ("gs://bucket/e1", Place("gs", "bucket", "e1")),
        ("https://host/path/e1/", Place("https", "host", "path/e1")),
        ("http://127.0.0.1:8080/a%20b", Place("http", "127.0.0.1:8080", "a%20b")),
        ("http://[::1]:8080", Place("http", "[::1]:8080", "")),
        ("file:///some/folder", Place("file", "", "/some/folder")),
        ("file://localhost/some/folder", Place("file", "", "/some/folder")),
        ("file:///some%20folder", Place("file", "", "/some folder")),
    ],
)
def test_a_url_names_a_place(url: str, place: Place) -> None:
    assert parse_place(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "", "bucket/prefix", "/some/folder", "ftp://host/path", "s3:/bucket", "s3://", "s3:///prefix", "gs://",
        "https://", "https:///path", "http://host:port/", "http://host:99999/", "http://[::1/", "file://host/folder",
        "file:folder", "file://", "s3://bucket/a//b", "gs://bucket//b/c//d", "https://host/path?query", "https://host/#part",
        "s3://bucket/prefix?versionId=1", "s3://some bucket/e1", "s3://bucket:99/e1", "s3://a..b/e1", "gs://../e1",
        "https://a..b/", f"https://{'a' * 64}/", "https://\u00fc.example/", "https://xn--/", "file:///some/%00",
    ],
)  # fmt: skip
def test_what_is_no_place_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_place(url)
    assert refusal.value.exit_code == 2
    assert url in str(refusal.value)
    assert "file:///folder" in refusal.value.hint


@pytest.mark.parametrize("url", ["https://host/a\nb", "https://host/\x1b[31m", "s3://\udcff/e1"])
def test_what_cannot_be_printed_is_refused_and_not_printed(url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_place(url)
    assert str(refusal.value).isprintable()


def test_a_path_is_quoted_where_it_has_to_be() -> None:
    assert parse_place("https://host/a b/%20/\u00fc").prefix == "a%20b/%20/%C3%BC"
    assert parse_place("s3://bucket/a b/%20/\u00fc").prefix == "a b/%20/\u00fc"


@pytest.mark.parametrize(
    "text",
    ["", "host", "http://", "ftp://host", "http://name@host", "http://host:99999", "http://[::1", "http://a..b",
     "http://host/?query", "http://host/#fragment", f"http://{'a' * 64}", "127.0.0.1:1"],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        check_endpoint(text)


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:1", "https://host/path", "http://[::1]:9000", "http://a_b"]
)
def test_an_endpoint_is_a_url(text: str) -> None:
    assert str(check_endpoint(text)).rstrip("/") == text


@pytest.mark.parametrize("url", ["https://name:secret@host/", "s3://secret@bucket/e1"])
def test_secrets_in_a_url_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_place(url)
    assert "secret" not in f"{refusal.value} {refusal.value.hint}"


@pytest.mark.parametrize(
    "url", ["s3://bucket/some/prefix", "s3://bucket", "https://host:1/path", "file:///some/folder"]
)
def test_a_place_is_shown_as_its_url(url: str) -> None:
    assert parse_place(url).url == url.rstrip("/")
