"""The JSON answers of Google Cloud Storage: what an object is, and the pages of listings."""

from __future__ import annotations

from typing import Literal

import msgspec

from restore.errors import TransientStorageError
from restore.storage.json_answer import parse_json
from restore.storage.origin import Pin
from restore.storage.paging import Page, content_tag, files_in_folder

OBJECT_FIELDS = "kind,generation,size"
LISTING_FIELDS = "kind,nextPageToken,items(name,generation)"
"""What is asked for, so that answers are small; `kind` shows that an answer is one."""


class _Object(msgspec.Struct):
    kind: Literal["storage#object"]
    generation: str
    size: str


class _Item(msgspec.Struct):
    name: str
    generation: str = ""


class _Listing(msgspec.Struct, rename="camel"):
    kind: Literal["storage#objects"]
    items: list[_Item] = []
    next_page_token: str = ""


def pin_of(body: bytes, *, file: str) -> Pin:
    """Which content an object has.

    Raises:
        TransientStorageError: the answer was cut short, or is something else.
    """
    told = parse_json(body, _Object, file=file)
    if not (told.size.isascii() and told.size.isdigit()):
        raise TransientStorageError("storage answers something else", file=file, found=f"size {told.size!r}")
    return Pin(told.generation, int(told.size))


def page_of(body: bytes, *, prefix: str, file: str) -> Page:
    """A page of the listing of the objects below `prefix`.

    Raises:
        TransientStorageError: it was cut short, or is of another folder, or something else.
    """
    told = parse_json(body, _Listing, file=file)
    tags = ((item.name, content_tag(item.generation)) for item in told.items)
    return Page(files_in_folder(tags, prefix, folder=file), told.next_page_token)
