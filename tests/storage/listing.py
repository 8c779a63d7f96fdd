"""Lists what an origin has, all pages of it."""

from __future__ import annotations

from functools import partial

from restore.storage.origin import Origin
from restore.storage.paging import files_of_pages


async def list_names(origin: Origin, folder: str) -> list[str]:
    """The names of all objects directly in a folder, without trying again."""
    return list(await list_tags(origin, folder))


async def list_tags(origin: Origin, folder: str) -> dict[str, str]:
    """The same, with their tags."""
    return await files_of_pages(partial(origin.list_page, folder), folder=folder)
