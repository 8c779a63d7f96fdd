"""Where a bucket is reached: endpoint, style of its URLs, region.

Amazon's regions have endpoints of their own, and a signature names the region too. Whoever asks in the wrong
one is told the right one, by a redirect or by AuthorizationHeaderMalformed; it is taken over once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from yarl import URL

from restore.errors import RestoreError, StorageUnavailableError, TransientStorageError, UsageError
from restore.storage.base import FileHandle
from restore.storage.place import check_endpoint
from restore.storage.s3_errors import code_of, region_of

DEFAULT_REGION = "us-east-1"
"""Amazon's first, which knows where all other buckets are; other storages take it as the name of theirs."""

_REDIRECTS = frozenset({301, 307, 308})

_REGION = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""It becomes a part of hosts and of headers."""

_MALFORMED = frozenset({"AuthorizationHeaderMalformed", ""})
"""Codes of a 400 that tells a region; a HEAD is answered without one."""


class Address:
    """The way to one bucket.

    Args:
        bucket: its name.
        endpoint: the storage's URL; None for Amazon's.
        region: what is known of it.
        path_style: whether the bucket is named in the path, or else in the host.

    Attributes:
        region: the bucket's.
        url: the bucket's, without a slash at its end.

    Raises:
        UsageError: the endpoint is no URL of a storage, or the region no name of one.
    """

    def __init__(self, bucket: str, *, endpoint: str | None, region: str, path_style: bool) -> None:
        self.bucket = bucket
        self.endpoint = None if endpoint is None else check_endpoint(endpoint)
        self.path_style = path_style
        self._has_moved = False
        if not _REGION.fullmatch(region):
            raise UsageError("region cannot be used", expected="letters, digits and hyphens", found=region)
        self._set(region)

    @property
    def identity(self) -> str:
        """The bucket's URL as users write it; with an endpoint where that is not Amazon's."""
        return f"s3://{self.bucket}" if self.endpoint is None else self.url

    def error_of_move(
        self, status: int, headers: Mapping[str, str], body: bytes, handle: FileHandle
    ) -> RestoreError | None:
        """The error of an answer that tells another region, which is taken over; None if this tells none.

        A request that was under way meanwhile is told the same, and has to be made again as well.
        """
        region = headers.get("x-amz-bucket-region") or region_of(body)
        is_redirect = status in _REDIRECTS
        tells_region = is_redirect or (status == 400 and code_of(body) in _MALFORMED)
        if not (tells_region and _REGION.fullmatch(region)):
            return None
        if region == self.region and not self._has_moved:
            return None
        if (region != self.region and self._has_moved) or (is_redirect and self.endpoint is not None):
            return StorageUnavailableError(
                "bucket lies in another region",
                file=handle,
                expected=self.region,
                found=region,
                hint="give the region that was found, and its endpoint or none",
            )
        self._has_moved = True
        self._set(region)
        return TransientStorageError("bucket lies in another region", file=handle, found=region)

    def _set(self, region: str) -> None:
        self.region = region
        base = self.endpoint or URL(f"https://s3.{region}.amazonaws.com")
        if self.path_style:
            self.url = f"{base}".rstrip("/") + f"/{self.bucket}"
        else:
            self.url = f"{base.with_host(f'{self.bucket}.{base.host}')}".rstrip("/")
