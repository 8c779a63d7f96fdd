"""All pages of a listing, or an error: one that failed on the way must never look like a shorter one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from restore.errors import StorageUnavailableError, TransientStorageError

MAX_PAGE_BYTES = 8 << 20
"""A page has 1,000 names at most, of 1,024 bytes, each quoted to three or six: three quarters of this."""

MAX_PAGES = 1000
"""A million files; nobody has so many, and a server that never comes to the end is noticed."""

MAX_NAMES = 1_000_000
MAX_CHARACTERS = 128 << 20
"""Of all names and tags: as many as those pages have, twice as long as those of ours are."""

MAX_TAG_CHARACTERS = 200
"""Of a tag; those of all known storages have less than half."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a folder's listing.

    Attributes:
        files: the names of the objects directly in the folder, each with a tag made by `content_tag`.
        token: asks for the next page; empty on the last one.
    """

    files: dict[str, str]
    token: str


async def files_of_pages(ask: Callable[[str], Awaitable[Page]], *, folder: str) -> dict[str, str]:
    """The names of all pages, each with its tag; the later one, where two pages have a name.

    Args:
        ask: gets the page of a token; of an empty one, the first.
        folder: what is listed, for errors.

    Raises:
        TransientStorageError: a page leads to one that was here.
        StorageUnavailableError: there is no end.
    """
    files: dict[str, str] = {}
    characters = 0
    tokens = {""}
    token = ""
    for _ in range(MAX_PAGES):
        page = await ask(token)
        files |= page.files
        characters += sum(map(len, page.files)) + sum(map(len, page.files.values()))
        if len(files) > MAX_NAMES or characters > MAX_CHARACTERS:
            raise StorageUnavailableError(
                "listing is too long",
                file=folder,
                expected=f"{MAX_NAMES} names of {MAX_CHARACTERS} characters in all, tags included",
            )
        if not page.token:
            return files
        if page.token in tokens:
            raise TransientStorageError("listing goes in circles", file=folder)
        token = page.token
        tokens.add(token)
    raise StorageUnavailableError("listing does not end", file=folder, expected=f"{MAX_PAGES} pages")


def files_in_folder(tags: Iterable[tuple[str, str]], prefix: str, *, folder: str) -> dict[str, str]:
    """The files of a page, without those that lie deeper and the folder's own mark.

    Args:
        tags: the keys of a listing, each with its tag.
        prefix: the folder's key, with a slash at its end.
        folder: what is listed, for errors.

    Raises:
        TransientStorageError: a key lies elsewhere.
    """
    files: dict[str, str] = {}
    for key, tag in tags:
        if not key.startswith(prefix):
            raise TransientStorageError("listing has a file of another folder", file=folder, found=key)
        name = key.removeprefix(prefix)
        if name and "/" not in name:
            files[name] = tag
    return files


def content_tag(*told: str) -> str:
    """A tag of what a listing tells of a file's content; empty if any of it is missing.

    A part of it would pass for more than it says: another content may well have the same size.
    """
    if not all(told):
        return ""
    tag = " ".join(told)
    if len(tag) > MAX_TAG_CHARACTERS or not tag.isprintable():
        return sha256(tag.encode("utf-8", "backslashreplace")).hexdigest()
    return tag
