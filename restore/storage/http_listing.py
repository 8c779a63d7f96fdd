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
from restore.storage.json_answer import parse_json
from restore.storage.paging import content_tag

_TITLES = ("index of", "directory listing")
"""How the pages of nginx, Apache, lighttpd and Python's own server begin."""

_TAG = re.compile(r"<(?P<name>/?[a-z][a-z0-9]*)(?P<attributes>[^<>]*)>(?P<text>[^<]*)", re.IGNORECASE)
"""A tag, and the text behind it; each character is looked at once or twice, whatever the page."""

_LINK = re.compile(r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))""", re.IGNORECASE)


class _Entry(msgspec.Struct):
    name: str
    type: str = "file"  # nginx's way
    mtime: msgspec.Raw = msgspec.Raw()
    is_dir: bool = False  # Caddy's
    mod_time: msgspec.Raw = msgspec.Raw()
    size: msgspec.Raw = msgspec.Raw()  # both; taken as they are written


def parse_json_index(body: bytes, *, file: str) -> dict[str, str]:
    """The files in nginx's `autoindex_format json`, or in what Caddy answers, each with its tag.

    Raises:
        TransientStorageError: the body was cut short, or is something else.
    """
    entries = parse_json(body, list[_Entry], file=file)
    return {entry.name: _tag_of(entry) for entry in entries if entry.type == "file" and not entry.is_dir}


def _tag_of(entry: _Entry) -> str:
    written = entry.mtime or entry.mod_time
    return content_tag(str(written, errors="replace"), str(entry.size, errors="replace"))


def parse_html_index(text: str, *, file: str) -> dict[str, str]:
    """The files that an index page links to, by relative links without a query or a folder.

    What the line of a link says behind it, which is date and size where anything, is the file's tag.

    Raises:
        StorageUnavailableError: it is no index.
        TransientStorageError: it was cut short.
    """
    headings, is_whole = [], False
    files: dict[str, list[str]] = {}
    behind: list[str] = []  # the words behind the last link, if that is of this line
    for tag in _TAG.finditer(text):
        match tag["name"].lower():
            case "title" | "h1":
                headings.append(tag["text"])
            case "a" if link := _LINK.search(tag["attributes"]):
                behind = files.setdefault(_file_name(link[1] or link[2] or link[3] or ""), [])
                continue  # what follows is its name
            case "/html":
                is_whole = True
        said, line_end, _ = tag["text"].partition("\n")
        behind += said.split()
        if line_end:
            behind = []
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
    return {name: content_tag(" ".join(said)) for name, said in files.items() if name}


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
