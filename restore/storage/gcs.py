"""Objects in a bucket of Google Cloud Storage, over its JSON API.

Which content an object has is told by its generation, which every writing changes. A request for a range
demands it (`ifGenerationMatch`), so that a newer content is an error and not another file's absence.

Stored bytes are asked for as they are (`Accept-Encoding: gzip`): an object with that encoding in its metadata
would otherwise be unpacked by the server, without ranges and without a length.

An object is written by one request, its description and its bytes in one body, and is visible when it is
whole; the storage checks the bytes against the MD5 of the description.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import IO
from urllib.parse import quote, urlencode

from yarl import URL

from restore.errors import MissingFileError, RestoreError, UsageError
from restore.flow.threads import in_thread
from restore.storage.base import PIECE_BYTES, FileHandle
from restore.storage.bucket import BucketOrigin
from restore.storage.gcs_answers import LISTING_FIELDS, OBJECT_FIELDS, page_of, pin_of
from restore.storage.gcs_auth import Tokens, find_tokens
from restore.storage.gcs_errors import error_of, error_of_listing
from restore.storage.http import HttpClient, Response
from restore.storage.http_answers import MAX_ERROR_BYTES, Rules, Wanted
from restore.storage.origin import Answer, Pin, file_exists
from restore.storage.paging import MAX_PAGE_BYTES, Page
from restore.storage.place import check_endpoint
from restore.storage.upload import upload

ENDPOINT = "https://storage.googleapis.com"

ENDPOINT_VARIABLE = "STORAGE_EMULATOR_HOST"
"""Where Google's own libraries look for another endpoint: a URL, or a host and a port."""


async def open_gcs(
    bucket: str, prefix: str, client: HttpClient, *, endpoint: str | None, anonymous: bool | None
) -> GcsOrigin:
    """A bucket, reached as told, else as the environment says.

    Args:
        bucket: its name.
        prefix: of its objects: the backup's folder.
        client: makes the requests.
        endpoint: URL of the storage; None for what STORAGE_EMULATOR_HOST says, else Google's.
        anonymous: whether requests are made in nobody's name; None for: if there are no credentials. Over a
            connection that is not encrypted they always are.

    Raises:
        UsageError: the credentials that are asked for are missing, or cannot be used.

    Cancellation: waits for the search for credentials.
    """
    endpoint = endpoint or _endpoint_set()
    encrypted = endpoint is None or endpoint.startswith("https://")
    tokens = await find_tokens() if encrypted and anonymous is not True else None
    if anonymous is False and tokens is None:
        raise UsageError(
            "no credentials for Google Cloud Storage"
            if encrypted
            else "credentials need an encrypted endpoint",
            file=f"gs://{bucket}",
            found=endpoint,
            hint="run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
        )
    return GcsOrigin(bucket, prefix, client, tokens=tokens, endpoint=endpoint)


def _endpoint_set() -> str | None:
    told = os.environ.get(ENDPOINT_VARIABLE)
    return told if not told or "://" in told else f"http://{told}"


def _error_of_put(status: int, headers: Mapping[str, str], body: bytes, handle: FileHandle) -> RestoreError:
    if status == 412:
        return file_exists(handle)
    return error_of(status, headers, body, handle)


def _generation_of(headers: Mapping[str, str]) -> str | None:
    return headers.get("X-Goog-Generation")


def _md5_of(source: IO[bytes]) -> str:
    """The MD5 of what is left of a file, as descriptions have it; the file stands where it stood."""
    start = source.tell()
    md5 = hashlib.md5(usedforsecurity=False)
    while piece := source.read(PIECE_BYTES):
        md5.update(piece)
    source.seek(start)
    return b64encode(md5.digest()).decode()


def _with_query(url: str, query: Mapping[str, str]) -> URL:
    return URL(f"{url}?{urlencode(query)}" if query else url, encoded=True)


def _quoted(name: str) -> str:
    return quote(name, safe="")


_RULES = Rules(_generation_of, error_of, follow=False)
_RULES_OF_PUT = Rules(_generation_of, _error_of_put, follow=False)


class GcsOrigin(BucketOrigin):
    """The objects below `prefix` in `bucket`.

    Args:
        bucket: its name.
        prefix: of all names, without the slash behind it.
        client: makes the requests.
        tokens: in whose name; None for nobody's.
        endpoint: URL of the storage; None for Google's.

    Raises:
        UsageError: the endpoint is no URL of a storage.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        client: HttpClient,
        *,
        tokens: Tokens | None,
        endpoint: str | None = None,
    ) -> None:
        super().__init__(prefix)
        self._endpoint = f"{check_endpoint(ENDPOINT if endpoint is None else endpoint)}".rstrip("/")
        self._place = f"gs://{bucket}" if endpoint is None else f"{self._endpoint}/{bucket}"
        self._bucket = _quoted(bucket)
        self._objects = f"{self._endpoint}/storage/v1/b/{self._bucket}/o"
        self._client = client
        self._tokens = tokens
        self._rules_of_listing = Rules(_generation_of, partial(error_of_listing, bucket=bucket), follow=False)

    @property
    def identity(self) -> str:
        """`gs://bucket/prefix`, or the endpoint's URL with both where that is not Google's."""
        return f"{self._place}/{self._prefix}".rstrip("/")

    async def head(self, handle: FileHandle) -> Pin:
        """Which content an object has; see `Origin`."""
        response = await self._request("GET", self._url_of(handle), {"fields": OBJECT_FIELDS}, handle=handle)
        return pin_of(response.body, file=handle)

    async def list_page(self, folder: str, token: str) -> Page:
        """A page of the objects of a folder; see `Origin`."""
        prefix = f"{self._key(folder)}/"
        query = {"prefix": prefix, "delimiter": "/", "fields": LISTING_FIELDS}
        if token:
            query["pageToken"] = token
        response = await self._request(
            "GET", self._objects, query, handle=folder, rules=self._rules_of_listing, max_bytes=MAX_PAGE_BYTES
        )
        return page_of(response.body, prefix=prefix, file=folder)

    async def put(self, handle: FileHandle, source: IO[bytes], size: int, *, replace: bool) -> None:
        """Writes an object; see `Origin`."""
        md5 = await in_thread(_md5_of, source)
        query = {"uploadType": "multipart", "fields": "kind"}
        if not replace:
            query["ifGenerationMatch"] = "0"
        await upload(
            self._client,
            "POST",
            _with_query(f"{self._endpoint}/upload/storage/v1/b/{self._bucket}/o", query),
            handle=handle,
            rules=_RULES_OF_PUT,
            headers=await self._headers(),
            source=source,
            size=size,
            description={"name": self._key(handle), "md5Hash": md5},
        )

    async def move(self, handle: FileHandle, to: FileHandle) -> None:
        """Copies an object, then deletes it where it was; see `Origin`.

        One that is gone, and is where it should go, has been moved: by a try whose answer was lost.
        """
        url = f"{self._url_of(handle)}/copyTo/b/{self._bucket}/o/{_quoted(self._key(to))}"
        try:
            await self._request("POST", url, {"fields": "kind"}, handle=handle)
        except MissingFileError:
            if not await self._is_there(to):
                raise
            return
        with suppress(MissingFileError):
            await self._request("DELETE", self._url_of(handle), {}, handle=handle)

    async def _begin(self, wanted: Wanted, *, fresh: bool) -> AbstractAsyncContextManager[Answer]:
        query = {"alt": "media"}
        if wanted.pin is not None and wanted.pin.tag is not None:
            query["ifGenerationMatch"] = wanted.pin.tag
        headers = {
            **await self._headers(),
            "Range": f"bytes={wanted.start}-{wanted.start + wanted.length - 1}",
            "Accept-Encoding": "gzip",
        }
        url = _with_query(self._url_of(wanted.handle), query)
        return self._client.get_range(url, headers, wanted=wanted, fresh=fresh, rules=_RULES)

    async def _request(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        *,
        handle: FileHandle,
        rules: Rules = _RULES,
        max_bytes: int = MAX_ERROR_BYTES,
    ) -> Response:
        return await self._client.request(
            method,
            _with_query(url, query),
            handle=handle,
            rules=rules,
            headers=await self._headers(),
            max_bytes=max_bytes,
        )

    async def _headers(self) -> Mapping[str, str]:
        return {} if self._tokens is None else await self._tokens.headers()

    def _url_of(self, handle: FileHandle) -> str:
        return f"{self._objects}/{_quoted(self._key(handle))}"
