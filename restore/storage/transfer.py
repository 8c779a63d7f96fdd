"""Brings one part of an object here, whatever the link does.

A part is a range of at most `PART_BYTES`. Its bytes go straight into its buffer, at their place, and stay
there whatever happens: every further request asks only for what is missing. Two requests at once (`race.py`)
write the same bytes to the same places, as the pin sees to, so the part has one buffer, and is complete when
either has come to its end.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from restore.errors import CorruptAnswerError
from restore.flow.rate import Rate
from restore.flow.retry import Retry
from restore.storage.base import FileHandle, Payer
from restore.storage.buffers import Buffers, buffer_bytes
from restore.storage.origin import Origin, Pin
from restore.storage.race import Course, Race

PART_BYTES = 16 << 20
"""Most bytes of one request: a stall or a hedge costs no more; at 100 MB/s latency is small beside it."""


@dataclass(frozen=True, slots=True)
class Means:
    """What all transfers of one storage share.

    Attributes:
        origin: answers requests.
        retry: tries them again.
        course: watches them.
        rate: the bandwidth limit, where there is one.
        buffers: where bytes go.
    """

    origin: Origin
    retry: Retry
    course: Course
    rate: Rate | None
    buffers: Buffers


class Part:
    """A range of one object.

    Args:
        means: what all transfers share.
        file: the object.
        age: the place of its file in the order of opening.
        start: its first byte.
        pin: which content; None for an object's first part, whose answer tells.
        payer: pays for the buffer.

    Attributes:
        filled: how many of its bytes are here, without a gap.
        pin: as above, and known once `fetch` has ended.

    Bounds: one buffer, which the payer pays for from the first answer until `close`.
    """

    def __init__(
        self, means: Means, file: FileHandle, *, age: int, start: int, pin: Pin | None, payer: Payer
    ) -> None:
        self.file = file
        self.age = age
        self.filled = 0
        self.pin = pin
        self._means = means
        self.start = start
        self._payer = payer
        self._buffer: memoryview | None = None
        self._allocating = asyncio.Lock()
        self._tries = 0

    @property
    def length(self) -> int | None:
        """Bytes of the part; None until the object's size is known."""
        return None if self.pin is None else max(0, min(PART_BYTES, self.pin.size - self.start))

    async def fetch(self) -> memoryview:
        """The part's bytes; valid until `close`.

        Raises:
            RestoreError: as `Origin.get`, after retries.

        Cancellation: every request has ended, and its connection is closed; what is here stays until `close`.
        """
        if self.length != 0:
            await self._means.retry.run(self._try, file=self.file, progress=lambda: self.filled)
        return (self._buffer or memoryview(b""))[: self.filled]

    def close(self, *, handed_out: bool) -> None:
        """Lets go of the buffer. Idempotent.

        Args:
            handed_out: whoever has the bytes now gives them back to the payer.
        """
        if self._buffer is not None:
            self._payer.give_back(len(self._buffer) - (self.filled if handed_out else 0))
            self._means.buffers.give_back(self._buffer)
            self._buffer = None

    async def request(self, race: Race, *, fresh: bool) -> None:
        """Asks for what is missing; see `race.Goal`."""
        position = self.filled
        length = (PART_BYTES if self.length is None else self.length) - position
        async with self._means.origin.get(
            self.file, start=self.start + position, length=length, pin=self.pin, fresh=fresh
        ) as answer:
            view = await self._make_room(answer.pin, race)
            end = answer.end - self.start
            if end != self.length:
                raise CorruptAnswerError(
                    "answer is of another range", file=self.file, expected=self.length, found=end
                )
            while position < end:
                count = await answer.read_into(view[position:end])
                position += count
                self.filled = max(self.filled, position)
                race.moved(count)
                if self._means.rate is not None:
                    await race.pausing(self._means.rate.spend(count))

    async def _try(self) -> None:
        self._tries += 1
        await Race(self._means.course, self).run(fresh=self._tries > 1)

    async def _make_room(self, pin: Pin, race: Race) -> memoryview:
        """The part's buffer; made when the first answer has told the object's size."""
        async with self._allocating:
            if self.pin is None:
                self.pin = pin
            elif pin != self.pin:
                raise CorruptAnswerError(
                    "object changed while it was read", file=self.file, expected=self.pin, found=pin
                )
            if self._buffer is None:
                length = self.length or 0
                await race.pausing(self._payer.take(buffer_bytes(length)))
                self._buffer = self._means.buffers.lend(length)
            return self._buffer
