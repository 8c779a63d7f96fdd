"""Lists what an origin has, all pages of it."""

from __future__ import annotations

from functools import partial

from restore.storage.origin import Origin
from restore.storage.paging import names_of_pages


async def list_names(origin: Origin, folder: str) -> list[str]:
    """The names of all objects directly in a folder, without trying again."""
    return await names_of_pages(partial(origin.list_page, folder), folder=folder)
