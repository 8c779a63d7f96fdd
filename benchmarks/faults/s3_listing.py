"""Pages of ListObjectsV2, and how they are written."""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from urllib.parse import quote
from xml.sax.saxutils import escape

from benchmarks.faults.folder import Entry, tag_of

XML = '<?xml version="1.0" encoding="UTF-8"?>\n'

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request for a page says.

    Attributes:
        prefix: of the keys.
        delimiter: ends common prefixes; empty for none.
        after: the page begins behind this name; empty for the first page.
        size: entries at most.
        encoding: `url` if keys are to be percent-encoded, else empty.
        token: as it was sent.
    """

    prefix: str
    delimiter: str
    after: str
    size: int
    encoding: str
    token: str

    @classmethod
    def of(cls, query: Mapping[str, str], page_size: int) -> Self:
        """What the parameters of a request say.

        Raises:
            ValueError: one of them cannot be.
        """
        token = query.get("continuation-token", "")
        size = int(query.get("max-keys", page_size))
        if size < 0:
            raise ValueError(f"max-keys is below 0: {size}")
        after = os.fsdecode(urlsafe_b64decode(token)) if token else query.get("start-after", "")
        encoding = query.get("encoding-type", "")
        if encoding not in {"", "url"}:
            raise ValueError(f"encoding-type is not url: {encoding}")
        return cls(
            query.get("prefix", ""), query.get("delimiter", ""), after, min(size, page_size), encoding, token
        )


def page_of(entries: Sequence[Entry], wish: Wish) -> tuple[list[Entry], str]:
    """The entries of a page, and the token of the next one; empty at the end."""
    after = os.fsencode(wish.after)
    behind = [entry for entry in entries if os.fsencode(entry.name) > after]
    page = behind[: wish.size]
    if not page or len(page) == len(behind):
        return page, ""
    return page, urlsafe_b64encode(os.fsencode(page[-1].name)).decode()


def page_text(bucket: str, wish: Wish, page: Sequence[Entry], next_token: str) -> str:
    """A page as S3 writes it: objects first, then common prefixes."""

    def name(text: str) -> str:
        return quote(os.fsencode(text)) if wish.encoding else escape(text)

    lines = [
        f'{XML}<ListBucketResult xmlns="{_NAMESPACE}">',
        f"<Name>{escape(bucket)}</Name><Prefix>{name(wish.prefix)}</Prefix>",
        f"<MaxKeys>{wish.size}</MaxKeys><KeyCount>{len(page)}</KeyCount>",
        f"<IsTruncated>{'true' if next_token else 'false'}</IsTruncated>",
        f"<Delimiter>{name(wish.delimiter)}</Delimiter>" if wish.delimiter else "",
        f"<EncodingType>{wish.encoding}</EncodingType>" if wish.encoding else "",
        f"<ContinuationToken>{escape(wish.token)}</ContinuationToken>" if wish.token else "",
        f"<NextContinuationToken>{next_token}</NextContinuationToken>" if next_token else "",
    ]
    for entry in page:
        if not entry.is_folder:
            stat = entry.path.stat()
            lines.append(
                f"<Contents><Key>{name(entry.name)}</Key>"
                f"<LastModified>{iso_date(stat.st_mtime)}</LastModified>"
                f"<ETag>{escape(tag_of(stat), {chr(34): '&quot;'})}</ETag><Size>{stat.st_size}</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
            )
    lines += [
        f"<CommonPrefixes><Prefix>{name(entry.name)}</Prefix></CommonPrefixes>"
        for entry in page
        if entry.is_folder
    ]
    return "\n".join([*filter(None, lines), "</ListBucketResult>"])


def iso_date(seconds: float) -> str:
    """A time as S3 writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
