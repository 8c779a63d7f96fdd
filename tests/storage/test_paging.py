"""What a listing tells of files: tags, and all pages of them."""

from __future__ import annotations

from hashlib import sha256

import pytest

from restore.errors import StorageUnavailableError
from restore.report.events import silent
from restore.storage import paging
from restore.storage.paging import MAX_TAG_CHARACTERS, Page, content_tag, files_of_pages
from restore.storage.remote import RemoteStorage
from tests.storage.scripted import ScriptedOrigin


def test_a_tag_is_all_that_is_told_or_nothing() -> None:
    assert content_tag("7") == "7"
    assert content_tag('"a"', "5") == '"a" 5'
    assert content_tag("a ☃", "5") == "a ☃ 5"
    for told in ((), ("",), ("", "5"), ('"a"', "")):
        assert content_tag(*told) == ""


def test_a_tag_of_many_characters_or_strange_ones_is_a_digest() -> None:
    longest = "x" * MAX_TAG_CHARACTERS
    assert content_tag(longest) == longest
    for told in (f"{longest}x", f"{longest}y", "a\nb", "a\x1b[31m", "a\x00", "\u2028", "a\x7f"):
        assert content_tag(told) == sha256(told.encode()).hexdigest()
    assert content_tag("a\udc80") != content_tag("a\udc81")


async def test_where_two_pages_have_a_name_the_later_tag_counts() -> None:
    pages = {"": Page({"a": "1", "b": "1"}, "next"), "next": Page({"a": "2", "c": "1"}, "")}

    async def ask(token: str) -> Page:
        return pages[token]

    assert await files_of_pages(ask, folder="metadata") == {"a": "2", "b": "1", "c": "1"}


async def test_a_storage_sorts_what_its_origin_lists_in_any_order() -> None:
    origin = ScriptedOrigin({f"metadata/{name}": b"" for name in ("b", "c", "a")})
    tags = await RemoteStorage(origin, report=silent).list_metadata()
    assert list(tags) == ["metadata/a", "metadata/b", "metadata/c"]


async def test_names_and_tags_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(_token: str) -> Page:
        return Page({"ab": "123", "c": tag}, "")

    monkeypatch.setattr(paging, "MAX_CHARACTERS", 10)
    tag = "1234"
    assert await files_of_pages(ask, folder="metadata") == {"ab": "123", "c": "1234"}
    tag = "12345"
    with pytest.raises(StorageUnavailableError, match="too long") as refusal:
        await files_of_pages(ask, folder="metadata")
    assert refusal.value.file == "metadata"
