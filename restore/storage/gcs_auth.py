"""The user's Google credentials: found where Google's own tools look for them, renewed before they expire.

google-auth knows the places: the file that GOOGLE_APPLICATION_CREDENTIALS names, the one that
`gcloud auth application-default login` writes, the metadata server of Google's machines. It is imported only
here and only when it is needed, since that takes 0.3 s.
"""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from restore.errors import AccessDeniedError, TransientStorageError, UsageError
from restore.flow.threads import in_thread

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
"""What tokens are good for: objects, not buckets and who may use them."""

ANSWER_SECONDS = 10
"""Until somebody who lends tokens has to answer; a signal waits for it."""

_FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"


class Credentials(Protocol):
    """What google-auth's credentials of all kinds do."""

    @property
    def token_state(self) -> Any:
        """Whether there is a token, and for how long: its `name` is FRESH, STALE (minutes) or INVALID."""

    def refresh(self, request: Any) -> None:
        """Fetches a token; waits for the network."""

    def apply(self, headers: dict[str, str]) -> None:
        """Adds the token, and the project that pays, if one is set."""


class Tokens:
    """Lets requests be made in the name of `credentials`."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._renewing = asyncio.Lock()
        self._headers: Mapping[str, str] = {}

    async def headers(self) -> Mapping[str, str]:
        """What is sent with a request: a token that is good for some minutes more, and who pays, if anybody.

        Raises:
            AccessDeniedError: the credentials are not accepted.
            TransientStorageError: nobody gave a token; another try may go well.

        Cancellation: waits for a token that is being fetched.
        """
        if not self._headers or not self._is_fresh():
            async with self._renewing:
                if not self._is_fresh():
                    await in_thread(_renew, self._credentials)
                headers: dict[str, str] = {}
                self._credentials.apply(headers)
                self._headers = headers
        return self._headers

    def _is_fresh(self) -> bool:
        return bool(self._credentials.token_state.name == "FRESH")


async def find_tokens() -> Tokens | None:
    """Tokens for the user's credentials; None if there are none.

    Raises:
        UsageError: there are some, and they cannot be used.

    Cancellation: waits for the search. Outside of Google's machines it may take some seconds to see that
        there is no metadata server; NO_GCE_CHECK=true in the environment spares that.
    """
    credentials = await in_thread(_find)
    return None if credentials is None else Tokens(credentials)


def _find() -> Credentials | None:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

    # It would tell on the terminal what it does not find, and which project nobody asked for.
    logging.getLogger("google.auth").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"google\.")
    try:
        with _requests() as request:
            credentials: Credentials = google.auth.default(scopes=[SCOPE], request=request)[0]
    except (GoogleAuthError, OSError) as error:
        file = _named_file()
        if isinstance(error, DefaultCredentialsError) and file is None:
            return None
        raise UsageError(
            "credentials for Google cannot be used",
            file=file,
            found=error,
            hint=f"check {_FILE_VARIABLE}, or run gcloud auth application-default login",
        ) from error
    return credentials


def _named_file() -> str | None:
    """The file of credentials that is set, or that is where it is looked for without being set."""
    if named := os.environ.get(_FILE_VARIABLE):
        return named
    folder = Path(os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    usual = folder / "application_default_credentials.json"
    return str(usual) if usual.is_file() else None


def _renew(credentials: Credentials) -> None:
    from google.auth.exceptions import GoogleAuthError, TransportError

    try:
        with _requests() as request:
            credentials.refresh(request)
    except TransportError as error:
        raise TransientStorageError("nobody gives a token for the storage", found=error) from error
    except GoogleAuthError as error:
        if error.retryable:
            raise TransientStorageError("nobody gives a token for the storage", found=error) from error
        raise AccessDeniedError(
            "credentials for the storage are not accepted",
            found=error,
            hint="log in again: gcloud auth application-default login",
        ) from error


@contextmanager
def _requests() -> Iterator[Any]:
    """Makes google-auth's requests, on connections that are closed at the block's end."""
    from google.auth.transport.requests import Request

    request = Request()
    with closing(request.session):
        yield partial(request, timeout=ANSWER_SECONDS)
