"""What an error of S3 means: by the code in its body, and by the status where there is none.

| code                                         | class                                                     |
| -------------------------------------------- | --------------------------------------------------------- |
| NoSuchKey, and any other 404                 | MissingFileError                                          |
| NoSuchBucket                                 | EmptyStorageError: at the place that was named is nothing |
| those of `_DENIED`, and any other 401, 403   | AccessDeniedError                                         |
| those of `_THROTTLED`, and 429, 503          | ThrottledError                                            |
| those of `_TRANSIENT`, and 408, 500, 502 ... | TransientStorageError                                     |
| those of `_HOPELESS`, and any other status   | StorageUnavailableError                                   |
| PreconditionFailed, InvalidRange (412, 416)  | CorruptAnswerError: the object changed                    |
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from xml.etree.ElementTree import Element

from restore.errors import (
    AccessDeniedError,
    EmptyStorageError,
    MissingFileError,
    RestoreError,
    StorageUnavailableError,
    ThrottledError,
    TransientStorageError,
)
from restore.storage.base import FileHandle
from restore.storage.http_answers import error_of_status, retry_after
from restore.storage.s3_xml import name_of, parse_xml

_RENEW = "the session has ended: log in again, or renew AWS_SESSION_TOKEN"
_REFUSED = (
    "check what the bucket allows these credentials, or give some: a public bucket is read without; without "
    "the right to list, a file that is missing is refused too; one whose requester pays cannot be read"
)

_DENIED: Mapping[str, str] = MappingProxyType(
    {
        "AccessDenied": _REFUSED,
        "AllAccessDisabled": _REFUSED,
        "AccountProblem": "the account of the bucket or of these credentials is closed or in arrears",
        "InvalidAccessKeyId": "unknown access key: check AWS_ACCESS_KEY_ID and profile",
        "SignatureDoesNotMatch": "check the secret: AWS_SECRET_ACCESS_KEY and profile",
        "ExpiredToken": _RENEW,
        "InvalidToken": _RENEW,
        "TokenRefreshRequired": _RENEW,
        "RequestTimeTooSkewed": "the clock of this machine is wrong by more than 15 minutes: set it",
        "RequestExpired": "the clock of this machine is wrong: set it",
    }
)
"""Refusals by their code, with what to do."""

_THROTTLED = frozenset(
    {
        "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException",
        "ThrottledException", "RequestThrottled", "RequestThrottledException", "TooManyRequests",
        "TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "ServiceUnavailable",
    }
)  # fmt: skip

_TRANSIENT = frozenset(
    {
        "InternalError", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict",
        "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch",
    }
)  # fmt: skip
"""The last three: a body that was damaged on its way there."""

_HOPELESS: Mapping[str, str] = MappingProxyType(
    {
        "InvalidObjectState": "the object is archived: have the storage bring it back first",
        "NotImplemented": "this storage lacks what is needed; use another",
    }
)


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, handle: FileHandle, *, bucket: str
) -> RestoreError:
    """The error of an answer that is none of 2xx."""
    code = code_of(body)
    asked = headers.get("x-amz-request-id")
    found = " ".join(filter(None, (f"status {status}", code, asked and f"(request {asked})")))
    if code == "NoSuchBucket":
        return EmptyStorageError(
            "bucket does not exist",
            file=f"s3://{bucket}",
            found=found,
            hint="check the bucket's name, and the endpoint if it is not Amazon's",
        )
    if code == "NoSuchKey":
        return MissingFileError("file is not there", file=handle, found=found)
    if code in _DENIED:
        return AccessDeniedError("storage refuses access", file=handle, found=found, hint=_DENIED[code])
    if code in _THROTTLED:
        return ThrottledError(
            "storage asks to slow down", retry_after=retry_after(headers), file=handle, found=found
        )
    if code in _TRANSIENT:
        return TransientStorageError("storage failed", file=handle, found=found)
    if code in _HOPELESS:
        return StorageUnavailableError(
            "storage does not do what was asked", file=handle, found=found, hint=_HOPELESS[code]
        )
    error = error_of_status(status, headers, body, handle)
    error.found = found
    if isinstance(error, AccessDeniedError):
        error.hint = _REFUSED
    return error


def result_of(body: bytes, root: str, handle: FileHandle, *, bucket: str) -> Element:
    """The root element of a 200, which should be called `root`.

    Raises:
        RestoreError: an error in its place: what takes long begins to answer before it knows.
        TransientStorageError: the text was cut short, or is something else.
    """
    element = parse_xml(body, file=handle)
    name = name_of(element)
    if name == "Error":
        raise error_of(500, {}, body, handle, bucket=bucket)
    if name != root:
        raise TransientStorageError("storage answers something else", file=handle, expected=root, found=name)
    return element


def code_of(body: bytes) -> str:
    """The code of an error; empty where there is none."""
    return _told(body, "Code")


def region_of(body: bytes) -> str:
    """The region that an error tells; empty where it tells none."""
    return _told(body, "Region")


def _told(body: bytes, name: str) -> str:
    try:
        return parse_xml(body, file="").findtext(f"{{*}}{name}", "").strip()
    except TransientStorageError:  # a proxy's page, or nothing, as after HEAD
        return ""
