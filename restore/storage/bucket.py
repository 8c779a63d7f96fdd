"""What origins in buckets share: a prefix before all keys, and ranges of objects that may be empty."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType

from restore.errors import CorruptAnswerError, MissingFileError
from restore.storage.base import FileHandle
from restore.storage.http_answers import Wanted
from restore.storage.origin import Answer, Origin, Pin


class BucketOrigin(Origin):
    """The objects below `prefix` in a bucket.

    Args:
        prefix: of all keys; slashes around it are left out.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.strip("/")

    def get(
        self, handle: FileHandle, *, start: int, length: int, pin: Pin | None, fresh: bool
    ) -> AbstractAsyncContextManager[Answer]:
        """One range of an object; see `Origin`."""
        wanted = Wanted(handle, start, length, pin)
        return _RangeRequest(partial(self._begin, wanted, fresh=fresh), partial(self.head, handle), wanted)

    @abstractmethod
    async def _begin(self, wanted: Wanted, *, fresh: bool) -> AbstractAsyncContextManager[Answer]:
        """Prepares the request for a range: what is left is to enter its block."""

    async def _is_there(self, handle: FileHandle) -> bool:
        try:
            await self.head(handle)
        except MissingFileError:
            return False
        return True

    def _key(self, handle: str) -> str:
        """The key of an object, or of a folder without the slash behind it."""
        return f"{self._prefix}/{handle}" if self._prefix else handle


class _RangeRequest(AbstractAsyncContextManager[Answer]):
    """The block of one request for a range; a class, since a generator would cost small objects more.

    Args:
        begin: makes the request, signed, when the block is entered.
        head: tells which content the object has.
        wanted: what the answer has to be.
    """

    __slots__ = ("_begin", "_head", "_request", "_wanted")

    def __init__(
        self,
        begin: Callable[[], Awaitable[AbstractAsyncContextManager[Answer]]],
        head: Callable[[], Awaitable[Pin]],
        wanted: Wanted,
    ) -> None:
        self._begin = begin
        self._head = head
        self._wanted = wanted
        self._request: AbstractAsyncContextManager[Answer] | None = None

    async def __aenter__(self) -> Answer:
        request = await self._begin()
        try:
            answer = await request.__aenter__()
        except CorruptAnswerError:
            # An empty object has no range at all; that it is empty, the refusal does not say.
            pin = await self._head() if self._wanted.start == 0 else None
            if pin is None or pin.size or self._wanted.pin not in {None, pin}:
                raise
            return _EmptyAnswer(pin)
        self._request = request
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._request is not None:
            await self._request.__aexit__(kind, error, traceback)


class _EmptyAnswer(Answer):
    def __init__(self, pin: Pin) -> None:
        self.pin = pin
        self.start = self.end = 0

    async def read_into(self, view: memoryview) -> int:  # noqa: ARG002
        return 0
