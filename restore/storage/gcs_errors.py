"""What an error of Google Cloud Storage means: by the reason in its body, and by its status.

| status, reason                      | class                                                       |
| ----------------------------------- | ----------------------------------------------------------- |
| 404                                 | MissingFileError                                            |
| 404 of a listing                    | EmptyStorageError: at the place that was named is no bucket |
| 400, 403, those of `_PAYER_MISSING` | AccessDeniedError: somebody has to pay                      |
| 403, those of `_THROTTLED`          | ThrottledError                                              |
| any other 401, 403                  | AccessDeniedError                                           |
| 429, 503                            | ThrottledError                                              |
| 408, 500, 502, 504                  | TransientStorageError                                       |
| 412, 416                            | CorruptAnswerError: the object changed                      |
| any other                           | StorageUnavailableError                                     |

The answer to a failed download has no reason, only words; then the status decides.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from restore.errors import (
    AccessDeniedError,
    EmptyStorageError,
    RestoreError,
    ThrottledError,
    TransientStorageError,
)
from restore.storage.base import FileHandle
from restore.storage.http_answers import error_of_status, retry_after
from restore.storage.json_answer import parse_json

_PAYER_MISSING = frozenset({"required", "userProjectMissing", "userProjectInvalid", "userProjectDenied"})
"""`required` is what a request lacks; ours lack nothing but who pays."""

_THROTTLED = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"})
"""The usual status is 429, and these come with 403 too."""

_PAYER_HINT = (
    "whoever reads this bucket pays: set the project that does, "
    "gcloud auth application-default set-quota-project PROJECT"
)

_DENIED_HINT = (
    "check what the bucket allows these credentials, or give some: gcloud auth application-default login, or "
    "GOOGLE_APPLICATION_CREDENTIALS; without the right to list, a file that is missing is refused too"
)


class _Detail(msgspec.Struct):
    reason: str = ""


class _Error(msgspec.Struct):
    errors: list[_Detail] = []


class _Body(msgspec.Struct):
    error: _Error


def error_of(status: int, headers: Mapping[str, str], body: bytes, handle: FileHandle) -> RestoreError:
    """The error of an answer that is none of 2xx."""
    reason = reason_of(body)
    asked = headers.get("X-GUploader-UploadID")
    found = " ".join(filter(None, (f"status {status}", reason, asked and f"(request {asked})")))
    if status in {400, 403} and reason in _PAYER_MISSING:
        return AccessDeniedError("storage refuses access", file=handle, found=found, hint=_PAYER_HINT)
    if status == 403 and reason in _THROTTLED:
        return ThrottledError(
            "storage asks to slow down", retry_after=retry_after(headers), file=handle, found=found
        )
    error = error_of_status(status, headers, body, handle)
    error.found = found
    if isinstance(error, AccessDeniedError):
        error.hint = _DENIED_HINT
    return error


def error_of_listing(
    status: int, headers: Mapping[str, str], body: bytes, handle: FileHandle, *, bucket: str
) -> RestoreError:
    """The error of a listing: what is not there is the bucket, since an empty folder is listed too."""
    error = error_of(status, headers, body, handle)
    if status != 404:
        return error
    return EmptyStorageError(
        "bucket does not exist",
        file=f"gs://{bucket}",
        found=error.found,
        hint="check the bucket's name, and the endpoint if it is not Google's",
    )


def reason_of(body: bytes) -> str:
    """The reason of an error; empty where there is none."""
    try:
        details = parse_json(body, _Body, file="").error.errors
    except TransientStorageError:  # words, a proxy's page, nothing
        return ""
    return details[0].reason if details else ""
