"""What goes wrong below HTTP: the typed errors of what aiohttp, connections and the system raise."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from restore.errors import RestoreError, StorageUnavailableError, TransientStorageError
from restore.storage.base import FileHandle
from restore.storage.http_head import BadHeadError

FAILURES = (aiohttp.ClientError, OSError, EOFError, BadHeadError, UnicodeError)
"""All that they raise; the last one for names of hosts that cannot be, to which a server may have led."""

_MOST_WORDS = 200
"""Characters of what a library says: it may quote a server at length."""

_TRUST_HINT = "check the name in the URL; for an authority of your own, name its certificate in SSL_CERT_FILE"

_CONNECT_HINT = "check host and port, and the way there; a restore continues where it stopped"


@contextmanager
def failures(handle: FileHandle) -> Iterator[None]:
    """Turns what they raise into typed errors."""
    try:
        yield
    except FAILURES as error:
        raise typed(error, handle) from error


def typed(error: Exception, handle: FileHandle) -> RestoreError:
    """The typed error of one of `FAILURES`."""
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return StorageUnavailableError(
                "server's certificate or encryption is not to be trusted",
                file=handle,
                found=error,
                hint=_TRUST_HINT,
            )
        case aiohttp.InvalidURL() | aiohttp.TooManyRedirects() | aiohttp.NonHttpUrlRedirectClientError():
            return StorageUnavailableError("server leads nowhere", file=handle, found=type(error).__name__)
        case UnicodeError():
            return StorageUnavailableError("name of the server cannot be looked up", file=handle, found=error)
        case aiohttp.ClientConnectorError():
            return TransientStorageError(
                "connection failed",
                file=handle,
                found=f"{error.host}:{error.port}: {error.os_error.strerror or error.os_error}",
                hint=_CONNECT_HINT,
            )
        case TimeoutError():
            return TransientStorageError("server does not answer", file=handle)
        case EOFError():
            return TransientStorageError("connection closed early", file=handle)
    found = str(error)[:_MOST_WORDS] or type(error).__name__
    return TransientStorageError("connection failed", file=handle, found=found)
