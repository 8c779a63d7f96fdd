"""Objects behind HTTP, one request at a time; trying again and watching is the transfer's business.

An object is read by ranges, and every range is pinned to the content that the first answer named: what a
server says of another content, another range or another length is an error, and never data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import IO

from restore.errors import ManifestError, UsageError
from restore.storage.base import FileHandle
from restore.storage.paging import Page


@dataclass(frozen=True, slots=True)
class Pin:
    """Which content of an object is being read: it must be the same in every request for it.

    Attributes:
        tag: ETag as it was sent, or generation; None where the server gives none.
        size: bytes of the whole object as it is stored.
    """

    tag: str | None
    size: int


class Answer(ABC):
    """An open response that carries the bytes from `start` to `end` (exclusive) of one object."""

    pin: Pin
    start: int
    end: int

    @abstractmethod
    async def read_into(self, view: memoryview) -> int:
        """Puts the next bytes into `view`: as many as have come, at least one; 0 at the end of the response.

        Raises:
            TransientStorageError: the connection ended before the response did.
            CorruptAnswerError: more bytes than were announced.
        """


class Origin(ABC):
    """Where objects lie."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Says which place this is, the same for the same place: a URL without secrets."""

    @abstractmethod
    def get(
        self, handle: FileHandle, *, start: int, length: int, pin: Pin | None, fresh: bool
    ) -> AbstractAsyncContextManager[Answer]:
        """Requests at most `length` bytes (at least 1) from `start`.

        Args:
            handle: the object.
            start: its first byte.
            length: how many; fewer where the object ends before.
            pin: the content it must be of; None where nobody knows yet.
            fresh: on a new connection, never on one that was used.

        Raises:
            MissingFileError: there is no such object.
            AccessDeniedError: it may not be read.
            CorruptAnswerError: an answer that is not what was asked for, or of another content than `pin`.
            TransientStorageError, ThrottledError: another try may go well.
            StorageUnavailableError: none will.

        Cancellation: the connection is closed, unless the response had come to its end.
        """

    @abstractmethod
    async def head(self, handle: FileHandle) -> Pin:
        """Which content an object has now.

        Raises:
            RestoreError: as `get`.
        """

    @abstractmethod
    async def list_page(self, folder: str, token: str) -> Page:
        """A page of the names of all objects directly in `folder`, in any order.

        Args:
            folder: what is listed.
            token: empty for the first page, else as the page before it says.

        Raises:
            EmptyStorageError: the storage answered, and there is no such place.
            RestoreError: as `get`; a page that failed is never an empty one.
        """

    async def put(self, handle: FileHandle, source: IO[bytes], size: int, *, replace: bool) -> None:  # noqa: ARG002
        """Writes an object: visible when it is whole, else nothing remains.

        Args:
            handle: the object.
            source: its bytes, from where it stands.
            size: how many.
            replace: whether one that is there may be replaced.

        Raises:
            ManifestError: it is there, and may not be replaced.
            UsageError: nothing can be written here, which is so unless an origin says otherwise.
            RestoreError: as `get`.
        """
        raise _read_only(handle)

    async def move(self, handle: FileHandle, to: FileHandle) -> None:  # noqa: ARG002
        """Copies an object at the storage, then deletes it where it was.

        Raises:
            RestoreError: as `put`.
        """
        raise _read_only(handle)


def file_exists(handle: FileHandle) -> ManifestError:
    """The error of an object that is there, and may not be replaced."""
    return ManifestError("file exists", file=handle, hint="it is kept; give the new one another name")


def _read_only(handle: FileHandle) -> UsageError:
    return UsageError("storage cannot be written to", file=handle, hint="a web server is only read from")
