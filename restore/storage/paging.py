"""All pages of a listing, or an error: one that failed on the way must never look like a shorter one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from restore.errors import StorageUnavailableError, TransientStorageError

MAX_PAGE_BYTES = 8 << 20
"""A page has 1,000 names at most, of 1,024 bytes, each quoted to three or six: three quarters of this."""

MAX_PAGES = 1000
"""A million files; nobody has so many, and a server that never comes to the end is noticed."""

MAX_NAMES = 1_000_000
MAX_CHARACTERS = 128 << 20
"""Of all names: as many as those pages have, each as long as names of ours can be."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a folder's listing.

    Attributes:
        names: of the objects directly in the folder.
        token: asks for the next page; empty on the last one.
    """

    names: list[str]
    token: str


async def names_of_pages(ask: Callable[[str], Awaitable[Page]], *, folder: str) -> list[str]:
    """The names of all pages, each once.

    Args:
        ask: gets the page of a token; of an empty one, the first.
        folder: what is listed, for errors.

    Raises:
        TransientStorageError: a page leads to one that was here.
        StorageUnavailableError: there is no end.
    """
    names: dict[str, None] = {}
    characters = 0
    tokens = {""}
    token = ""
    for _ in range(MAX_PAGES):
        page = await ask(token)
        names |= dict.fromkeys(page.names)
        characters += sum(map(len, page.names))
        if len(names) > MAX_NAMES or characters > MAX_CHARACTERS:
            raise StorageUnavailableError(
                "listing is too long",
                file=folder,
                expected=f"{MAX_NAMES} names of {MAX_CHARACTERS} characters in all",
            )
        if not page.token:
            return list(names)
        if page.token in tokens:
            raise TransientStorageError("listing goes in circles", file=folder)
        token = page.token
        tokens.add(token)
    raise StorageUnavailableError("listing does not end", file=folder, expected=f"{MAX_PAGES} pages")


def name_in_folder(key: str, prefix: str, *, folder: str) -> str | None:
    """The name of the object `key` of a listing; None where it lies deeper, or is the folder's own mark.

    Raises:
        TransientStorageError: it lies elsewhere.
    """
    if not key.startswith(prefix):
        raise TransientStorageError("listing has a file of another folder", file=folder, found=key)
    name = key.removeprefix(prefix)
    return name if name and "/" not in name else None
