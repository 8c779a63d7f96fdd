"""One request for a range of an object in a bucket, whose answer may be that the object is empty."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from restore.errors import CorruptAnswerError
from restore.storage.http_answers import Wanted
from restore.storage.origin import Answer, Pin


class RangeRequest(AbstractAsyncContextManager[Answer]):
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
