"""What goes wrong below HTTP: the typed errors of what aiohttp, connections and the system raise."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from restore.errors import RestoreError, StorageUnavailableError, TransientStorageError
from restore.storage.base import FileHandle
from restore.storage.http_head import BadHeadError

FAILURES = (aiohttp.ClientError, OSError, EOFError, BadHeadError)
"""All that they raise."""


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
                "server's certificate or encryption is not to be trusted", file=handle, found=error
            )
        case aiohttp.InvalidURL() | aiohttp.TooManyRedirects() | aiohttp.NonHttpUrlRedirectClientError():
            return StorageUnavailableError("server leads nowhere", file=handle, found=type(error).__name__)
        case TimeoutError():
            return TransientStorageError("server does not answer", file=handle)
        case EOFError():
            return TransientStorageError("connection closed early", file=handle)
    return TransientStorageError("connection failed", file=handle, found=str(error) or type(error).__name__)
