"""Where a backup lies, as a URL says it: `s3://bucket/prefix`, `gs://…`, `https://host/path`, `file:///folder`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args
from urllib.parse import quote, unquote, urlsplit

from yarl import URL

from restore.errors import UsageError

Scheme: TypeAlias = Literal["file", "http", "https", "s3", "gs"]

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

BUCKETS: tuple[Scheme, ...] = ("s3", "gs")
"""Those whose first part names a bucket; only they have credentials and an endpoint."""

_BUCKET = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")

_UNQUOTED = "/%:@!$&'()*+,;=~"
"""Characters of a path that are left as they are; a percent sign begins one that is quoted."""

_FORMS_HINT = "give s3://bucket/prefix, gs://bucket/prefix, https://host/path or file:///folder"


@dataclass(frozen=True, slots=True)
class Place:
    """A backup's place.

    Attributes:
        scheme: how it is reached.
        bucket: bucket, or host with its port; empty for a folder.
        prefix: folder below it, without slashes at its ends (a local folder's begins with one).
        endpoint: URL of the service, where it is not the usual one.
        region: of the bucket, where it is known.
        anonymous: whether requests are unsigned; None where that depends on there being credentials.
        path_style: whether the bucket is named in the path; None where that depends on bucket and endpoint.
    """

    scheme: Scheme
    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None
    anonymous: bool | None = None
    path_style: bool | None = None

    @property
    def url(self) -> str:
        """The URL, without a slash at its end."""
        between = "/" if self.bucket else ""
        return f"{self.scheme}://{self.bucket}{between}{self.prefix}".rstrip("/")


def parse_place(text: str) -> Place:
    """The place of a URL.

    Raises:
        UsageError: it is no URL of a place, or has parts that a place cannot have.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port  # read, since it is checked only then
    except ValueError as error:
        raise _wrong(text, str(error)) from error
    scheme = next((known for known in SCHEMES if known == parts.scheme), None)
    if scheme is None:
        raise _wrong(text, f"begins with {parts.scheme}:" if parts.scheme else "no scheme")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "storage URL must not hold a name or password",
            hint="they would show in logs; buckets take the credentials of their own tools, web servers none",
        )
    if parts.query or parts.fragment:
        raise _wrong(text, "has a query or a fragment")
    if not text.isprintable():
        raise _wrong(ascii(text), "has characters that cannot be")
    if scheme == "file":
        folder = unquote(parts.path)
        if parts.netloc not in {"", "localhost"} or not folder.startswith("/") or "\0" in folder:
            raise _wrong(text, "no absolute folder")
        return Place(scheme, "", folder)
    if not parts.netloc:
        raise _wrong(text, "no bucket" if scheme in BUCKETS else "no host")
    # Behind a bucket stands a key, letter by letter; behind a host a path as the server reads it.
    prefix = text.split("://", 1)[1].partition("/")[2]
    if scheme not in BUCKETS:
        if not _is_host(parts.hostname or ""):
            raise _wrong(text, "no name of a host")
        return Place(scheme, parts.netloc, quote(prefix, safe=_UNQUOTED).strip("/"))
    if not _BUCKET.fullmatch(parts.netloc):
        raise _wrong(text, "no name of a bucket")
    if "//" in prefix.strip("/"):
        raise _wrong(text, "has an empty part")
    return Place(scheme, parts.netloc, prefix.strip("/"))


def check_endpoint(text: str) -> URL:
    """The URL of a service that holds buckets.

    Raises:
        UsageError: it is none, or has parts that an endpoint cannot have.
    """
    try:
        url = URL(text)
    except ValueError as error:
        raise UsageError("endpoint is no URL of a storage", found=error) from error
    if url.user or url.password:
        raise UsageError(
            "endpoint must not hold a name or password",
            hint="they would show in logs; give credentials in the ways of the storage's own tools",
        )
    host = url.raw_host or ""
    if url.scheme not in {"http", "https"} or not _is_host(host) or url.query_string or url.fragment:
        raise UsageError("endpoint is no URL of a storage", expected="https://host", found=text)
    return url


def _is_host(name: str) -> bool:
    """Whether a name can be looked up: in ASCII, and no part of it empty or too long."""
    try:
        name.encode("idna").decode("idna")
    except UnicodeError:
        return False
    return name != "" and name.isascii()


def _wrong(text: str, found: str) -> UsageError:
    return UsageError("storage URL cannot be used", found=f"{text} ({found})", hint=_FORMS_HINT)
