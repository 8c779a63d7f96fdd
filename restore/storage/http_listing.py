"""The index of a folder, as web servers show it: JSON (nginx if told to, Caddy if asked), or a page of links.

A page that is no index is an error: a listing that failed must never look like an empty one. Pages are
searched for tags, not parsed as a browser would: a page may be made to keep a real parser busy for hours.
"""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import unquote, urlsplit

import msgspec

from restore.errors import StorageUnavailableError, TransientStorageError

_TITLES = ("index of", "directory listing")
"""How the pages of nginx, Apache, lighttpd and Python's own server begin."""

_TAG = re.compile(r"<(?P<name>/?[a-z][a-z0-9]*)(?P<attributes>[^<>]*)>(?P<text>[^<]*)", re.IGNORECASE)
"""A tag, and the text behind it; each character is looked at once or twice, whatever the page."""

_LINK = re.compile(r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))""", re.IGNORECASE)


class _Entry(msgspec.Struct):
    name: str
    type: str = "file"  # nginx's way
    is_dir: bool = False  # Caddy's


def parse_json_index(body: bytes, *, file: str) -> list[str]:
    """The names of the files in nginx's `autoindex_format json`, or in what Caddy answers.

    Raises:
        TransientStorageError: the body was cut short, or is something else.
    """
    try:
        entries = msgspec.json.decode(body, type=list[_Entry])
    except msgspec.MsgspecError as error:
        raise TransientStorageError("index of the folder does not parse", file=file, found=error) from error
    return [entry.name for entry in entries if entry.type == "file" and not entry.is_dir]


def parse_html_index(text: str, *, file: str) -> list[str]:
    """The names of the files that an index page links to: relative links without a query or a folder.

    Raises:
        StorageUnavailableError: it is no index.
        TransientStorageError: it was cut short.
    """
    headings, names, is_whole = [], [], False
    for tag in _TAG.finditer(text):
        match tag["name"].lower():
            case "title" | "h1":
                headings.append(tag["text"])
            case "a" if link := _LINK.search(tag["attributes"]):
                names.append(_file_name(link[1] or link[2] or link[3] or ""))
            case "/html":
                is_whole = True
    if not any(title in heading.lower() for heading in headings for title in _TITLES):
        raise StorageUnavailableError(
            "server does not list its folders",
            file=file,
            expected="an index page",
            found=repr("".join(headings)[:80]),
            hint="switch the listing of folders on (nginx: autoindex on; autoindex_format json;)",
        )
    if not is_whole:
        raise TransientStorageError("index of the folder was cut short", file=file)
    return [name for name in names if name]


def _file_name(link: str) -> str:
    """The name of the file that a link leads to; empty if that is none of the folder."""
    try:
        parts = urlsplit(unescape(link))
    except ValueError:  # no URL at all, or a character of a number that has thousands of digits
        return ""
    name = unquote(parts.path).removeprefix("./")
    if parts.scheme or parts.netloc or parts.query or "/" in name or name in {".", ".."}:
        return ""  # another place, another order of the same page, or a folder
    return name
