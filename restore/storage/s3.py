"""Objects in a bucket of S3, at Amazon or elsewhere.

Which content an object has is told by its ETag, in every answer alike. An object is written by one PUT, which
takes 5 GiB (chunks have 128 MiB at most), and is visible when it is whole; the storage checks its bytes
against Content-MD5, which every kind of server does, and the signature covers their SHA-256.

That no object is replaced is looked up first and then also demanded (If-None-Match): some servers ignore the
demand, and with them two writers of one object at the same moment may both succeed.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import IO
from urllib.parse import quote

from yarl import URL

from restore.errors import (
    MissingFileError,
    RestoreError,
    UsageError,
)
from restore.flow.threads import in_thread
from restore.storage.aws_settings import load_aws_settings
from restore.storage.base import PIECE_BYTES, FileHandle
from restore.storage.bucket import BucketOrigin
from restore.storage.http import HttpClient, Response
from restore.storage.http_answers import MAX_ERROR_BYTES, Rules, Wanted, etag_of, pin_of_head
from restore.storage.origin import Answer, Pin, file_exists
from restore.storage.paging import MAX_PAGE_BYTES, Page
from restore.storage.s3_address import DEFAULT_REGION, Address
from restore.storage.s3_errors import error_of, result_of
from restore.storage.s3_listing import page_of, page_query
from restore.storage.signing import EMPTY_SHA256, Signer
from restore.storage.upload import upload


async def open_s3(
    bucket: str,
    prefix: str,
    client: HttpClient,
    *,
    endpoint: str | None,
    region: str | None,
    path_style: bool | None,
    anonymous: bool | None,
) -> S3Origin:
    """A bucket, reached as told, else as the user's AWS settings say.

    Args:
        bucket: its name.
        prefix: of its keys: the backup's folder.
        client: makes the requests.
        endpoint: URL of the storage; None for what the settings say, else Amazon's.
        region: of the bucket; None for what the settings say. Where Amazon knows better, it is corrected.
        path_style: whether the bucket is named in the path of URLs; None for: where the host cannot.
        anonymous: whether requests are unsigned; None for: if there are no credentials.

    Raises:
        UsageError: the settings cannot be used, or lack the credentials that are asked for.

    Cancellation: waits for the search for settings.
    """
    settings = await in_thread(partial(load_aws_settings, anonymous=anonymous is True))
    if anonymous is False and settings.credentials is None:
        raise UsageError(
            "no credentials for S3",
            file=f"s3://{bucket}",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile (aws configure)",
        )
    endpoint = endpoint or settings.endpoint
    if path_style is None:
        # Certificates hold for one label before Amazon's name; other storages often have no name for buckets.
        path_style = endpoint is not None or "." in bucket
    return S3Origin(
        bucket,
        prefix,
        client,
        signer=None if settings.credentials is None else Signer(settings.credentials),
        endpoint=endpoint,
        path_style=path_style,
        region=region or settings.region or DEFAULT_REGION,
    )


class S3Origin(BucketOrigin):
    """The objects below `prefix` in `bucket`.

    Args:
        bucket: its name.
        prefix: of all keys, without the slash behind it.
        client: makes the requests.
        signer: signs them; None for unsigned ones.
        endpoint: URL of the storage; None for Amazon's.
        path_style: whether the bucket is named in the path, or else in the host.
        region: of the bucket, as far as is known.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        client: HttpClient,
        *,
        signer: Signer | None,
        endpoint: str | None,
        path_style: bool,
        region: str = DEFAULT_REGION,
    ) -> None:
        super().__init__(prefix)
        self._address = Address(bucket, endpoint=endpoint, region=region, path_style=path_style)
        self._bucket = bucket
        self._client = client
        self._signer = signer
        self._rules = Rules(etag_of, self._error_of, follow=False)

    @property
    def identity(self) -> str:
        """`s3://bucket/prefix`, with the endpoint before it where that is not Amazon's."""
        return f"{self._address.identity}/{self._prefix}".rstrip("/")

    async def head(self, handle: FileHandle) -> Pin:
        """Which content an object has; see `Origin`."""
        response = await self._request("HEAD", self._url(handle), handle=handle)
        return pin_of_head(response.headers, handle)

    async def list_page(self, folder: str, token: str) -> Page:
        """A page of the objects of a folder; see `Origin`."""
        prefix = f"{self._key(folder)}/"
        url = URL(f"{self._address.url}/?{page_query(prefix, token)}", encoded=True)
        response = await self._request("GET", url, handle=folder, max_bytes=MAX_PAGE_BYTES)
        root = result_of(response.body, "ListBucketResult", folder, bucket=self._bucket)
        return page_of(root, bucket=self._bucket, prefix=prefix, file=folder)

    async def put(self, handle: FileHandle, source: IO[bytes], size: int, *, replace: bool) -> None:
        """Writes an object; see `Origin`."""
        if not replace and await self._is_there(handle):
            raise file_exists(handle)
        payload, md5 = await in_thread(_digests, source)
        headers = {"Content-MD5": md5} if replace else {"Content-MD5": md5, "If-None-Match": "*"}
        url = self._url(handle)
        await upload(
            self._client,
            "PUT",
            url,
            handle=handle,
            rules=Rules(etag_of, self._error_of_put, follow=False),
            headers=await self._signed("PUT", url, headers, payload=payload),
            source=source,
            size=size,
        )

    async def move(self, handle: FileHandle, to: FileHandle) -> None:
        """Copies an object, then deletes it where it was; see `Origin`.

        One that is gone, and is where it should go, has been moved: by a try whose answer was lost.
        """
        source = {"x-amz-copy-source": quote(f"/{self._bucket}/{self._key(handle)}")}
        try:
            response = await self._request("PUT", self._url(to), handle=handle, headers=source)
        except MissingFileError:
            if await self._is_there(to):
                return
            raise
        result_of(response.body, "CopyObjectResult", handle, bucket=self._bucket)
        await self._request("DELETE", self._url(handle), handle=handle)

    async def _begin(self, wanted: Wanted, *, fresh: bool) -> AbstractAsyncContextManager[Answer]:
        headers = {"Range": f"bytes={wanted.start}-{wanted.start + wanted.length - 1}"}
        if wanted.pin is not None and wanted.pin.tag is not None:
            headers["If-Match"] = wanted.pin.tag
        url = self._url(wanted.handle)
        signed = await self._signed("GET", url, headers)
        return self._client.get_range(url, signed, wanted=wanted, fresh=fresh, rules=self._rules)

    async def _request(
        self,
        method: str,
        url: URL,
        *,
        handle: FileHandle,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_ERROR_BYTES,
    ) -> Response:
        signed = await self._signed(method, url, headers or {})
        return await self._client.request(
            method, url, handle=handle, rules=self._rules, headers=signed, max_bytes=max_bytes
        )

    async def _signed(
        self, method: str, url: URL, headers: Mapping[str, str], *, payload: str = EMPTY_SHA256
    ) -> Mapping[str, str]:
        if self._signer is None:
            return headers
        return await self._signer.sign(method, url, headers, region=self._address.region, payload=payload)

    def _error_of(
        self, status: int, headers: Mapping[str, str], body: bytes, handle: FileHandle
    ) -> RestoreError:
        moved = self._address.error_of_move(status, headers, body, handle)
        return moved or error_of(status, headers, body, handle, bucket=self._bucket)

    def _error_of_put(
        self, status: int, headers: Mapping[str, str], body: bytes, handle: FileHandle
    ) -> RestoreError:
        return file_exists(handle) if status == 412 else self._error_of(status, headers, body, handle)

    def _url(self, handle: FileHandle) -> URL:
        return URL(f"{self._address.url}/{quote(self._key(handle))}", encoded=True)


def _digests(source: IO[bytes]) -> tuple[str, str]:
    """SHA-256 and MD5 of what is left of a file, as signatures and Content-MD5 have them; moves nothing."""
    position = source.tell()
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    while piece := source.read(PIECE_BYTES):
        sha256.update(piece)
        md5.update(piece)
    source.seek(position)
    return sha256.hexdigest(), b64encode(md5.digest()).decode()
