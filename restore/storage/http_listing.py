"""The index of a folder, as web servers show it: JSON (nginx if told to, Caddy if asked), or a page of links.

A page that is no index is an error: a listing that failed must never look like an empty one.
"""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import msgspec

from restore.errors import StorageUnavailableError, TransientStorageError

_TITLES = ("index of", "directory listing")
"""How the pages of nginx, Apache, lighttpd and Python's own server begin."""


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
    page = _Page()
    page.feed(text)
    page.close()
    if not page.is_index:
        raise StorageUnavailableError(
            "server does not list its folders",
            file=file,
            expected="an index page",
            found=repr(page.heading[:80]),
            hint="switch the listing of folders on (nginx: autoindex on; autoindex_format json;)",
        )
    if not page.is_whole:
        raise TransientStorageError("index of the folder was cut short", file=file)
    return [name for link in page.links if (name := _file_name(link)) is not None]


def _file_name(link: str) -> str | None:
    try:
        parts = urlsplit(link)
    except ValueError:  # no URL at all
        return None
    name = unquote(parts.path).removeprefix("./")
    if parts.scheme or parts.netloc or parts.query or not name or "/" in name or name in {".", ".."}:
        return None  # another place, another order of the same page, or a folder
    return name


class _Page(HTMLParser):
    """Collects the links of a page, and what it calls itself."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.heading = ""
        self.is_whole = False
        self._in_heading = False

    @property
    def is_index(self) -> bool:
        """Whether its title or first heading says so."""
        return any(title in self.heading.lower() for title in _TITLES)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes a link, or the begin of a heading."""
        self._in_heading = tag in {"title", "h1"}
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]

    def handle_data(self, data: str) -> None:
        """Notes a heading."""
        if self._in_heading:
            self.heading += data

    def handle_endtag(self, tag: str) -> None:
        """Notes the end of a heading, and of the page."""
        self._in_heading = False
        self.is_whole = self.is_whole or tag == "html"
