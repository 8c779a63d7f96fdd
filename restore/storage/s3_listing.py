"""The pages of ListObjectsV2.

A page that is cut short, that is of something else, or that says that there is more and not where, is an
error: a listing that failed must never look like a shorter one.
"""

from __future__ import annotations

from urllib.parse import quote, unquote_plus
from xml.etree.ElementTree import Element

from restore.errors import TransientStorageError
from restore.storage.paging import Page, content_tag, files_in_folder
from restore.storage.s3_xml import texts_of


def page_query(prefix: str, token: str) -> str:
    """The query for a page, as it is signed: sorted, and quoted.

    Args:
        prefix: the folder's key, with a slash at its end.
        token: empty for the first page.
    """
    values = {
        "continuation-token": token,
        "delimiter": "/",
        "encoding-type": "url",
        "list-type": "2",
        "prefix": prefix,
    }
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items() if value)


def page_of(root: Element, *, bucket: str, prefix: str, file: str) -> Page:
    """The page that a ListBucketResult is.

    Raises:
        TransientStorageError: it is of another folder, or contradicts itself.
    """
    is_quoted = _text(root, "EncodingType") == "url"

    def decoded(text: str) -> str:
        return unquote_plus(text) if is_quoted else text

    told = _text(root, "Name"), decoded(_text(root, "Prefix"))
    if told != (bucket, prefix):
        raise TransientStorageError(
            "listing is of another folder", file=file, expected=f"{bucket} {prefix}", found=" ".join(told)
        )
    more, token = _text(root, "IsTruncated"), _text(root, "NextContinuationToken")
    if more not in {"true", "false"} or (more == "true" and not token):
        raise TransientStorageError("listing does not say how it goes on", file=file, found=more or None)
    found = map(texts_of, root.iterfind("{*}Contents"))
    tags = (
        (decoded(told.get("Key", "")), content_tag(told.get("ETag", ""), told.get("Size", "")))
        for told in found
    )
    return Page(files_in_folder(tags, prefix, folder=file), token if more == "true" else "")


def _text(element: Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}", "")
