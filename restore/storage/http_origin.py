"""A backup behind a web server: read by ranges, listed by its indexes, never written to."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from urllib.parse import quote

from yarl import URL

from restore.errors import EmptyStorageError, MissingFileError, TransientStorageError
from restore.storage.base import FileHandle
from restore.storage.http import HttpClient
from restore.storage.http_answers import Rules, Wanted, error_of_status, etag_of, pin_of_head
from restore.storage.http_listing import parse_html_index, parse_json_index
from restore.storage.origin import Answer, Origin, Pin
from restore.storage.paging import Page

MAX_INDEX_BYTES = 32 << 20
"""An index of a quarter of a million files; a page made of nothing but links is through in ten seconds."""

_RULES = Rules(etag_of, error_of_status, follow=True)


class HttpOrigin(Origin):
    """The files below the URL `base`.

    Args:
        base: `https://host/path`, with or without a slash at its end.
        client: makes the requests.
    """

    def __init__(self, base: str, client: HttpClient) -> None:
        self._base = base.rstrip("/")
        self._client = client

    @property
    def identity(self) -> str:
        """The URL, without a user's name or password."""
        return str(URL(self._base, encoded=True).with_user(None))

    def get(
        self, handle: FileHandle, *, start: int, length: int, pin: Pin | None, fresh: bool
    ) -> AbstractAsyncContextManager[Answer]:
        """One range of a file; see `Origin`."""
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        if pin is not None and pin.tag is not None and pin.tag.startswith('"'):  # weak ones never match
            headers["If-Match"] = pin.tag
        wanted = Wanted(handle, start, length, pin)
        return self._client.get_range(self._url(handle), headers, wanted=wanted, fresh=fresh, rules=_RULES)

    async def head(self, handle: FileHandle) -> Pin:
        """Which content a file has; see `Origin`."""
        response = await self._client.request("HEAD", self._url(handle), handle=handle, rules=_RULES)
        return pin_of_head(response.headers, handle)

    async def list_page(self, folder: str, token: str) -> Page:  # noqa: ARG002  an index has one page
        """The files of a folder, from its index; see `Origin`."""
        try:
            response = await self._client.request(
                "GET",
                self._url(f"{folder}/"),
                handle=folder,
                rules=_RULES,
                headers={"Accept": "application/json, text/html"},
                max_bytes=MAX_INDEX_BYTES,
            )
        except MissingFileError as error:
            raise EmptyStorageError("storage holds no backup", file=f"{self.identity}/{folder}/") from error
        announced = response.headers.get("Content-Length")
        if announced is not None and announced != str(len(response.body)):
            raise TransientStorageError("index of the folder was cut short", file=folder)
        if response.headers.get("Content-Type", "").startswith("application/json"):
            return Page(parse_json_index(response.body, file=folder), "")
        return Page(parse_html_index(response.body.decode(errors="replace"), file=folder), "")

    def _url(self, handle: str) -> URL:
        return URL(f"{self._base}/{quote(handle)}", encoded=True)
