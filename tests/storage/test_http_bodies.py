"""Bodies on their way to their buffers: nothing lost, nothing twice, no connection mixed up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from restore.errors import TransientStorageError
from restore.report.events import silent
from restore.storage.http import HttpClient
from restore.storage.http_origin import HttpOrigin
from restore.storage.origin import Answer
from tests.contracts.reading import content
from tests.flow.steps import settle, settle_until
from tests.storage.scripted_http import End, Reply, ScriptedServer, reply

SIZE = 1_000_000
DATA = content(SIZE)
BEGUN = 100_000
"""Bytes of a body that come at once."""


def whole(data: bytes = DATA) -> Reply:
    headers = {"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}", "ETag": '"1"'}
    return reply(206, data, headers)


def held(proceed: asyncio.Event, *, rest: bytes = DATA[BEGUN:], end: End = "keep") -> Reply:
    """The same, of which only `BEGUN` bytes come before `proceed` is set; then `rest`."""
    message = whole().pieces[0]
    return Reply([message[: len(message) - SIZE + BEGUN], rest], end, proceed)


class Reading:
    """A read into `buffer` that tells when the first `BEGUN` bytes are there."""

    def __init__(self, origin: HttpOrigin, size: int = SIZE) -> None:
        self.buffer = bytearray(size)
        self.began = asyncio.Event()
        self.position = 0
        self._origin = origin

    def open(self) -> AbstractAsyncContextManager[Answer]:
        return self._origin.get("one", start=0, length=len(self.buffer), pin=None, fresh=False)

    async def read_to(self, answer: Answer, end: int) -> None:
        while self.position < end:
            count = await answer.read_into(memoryview(self.buffer)[self.position :])
            assert count > 0
            self.position += count

    async def run(self) -> bytearray:
        async with self.open() as answer:
            assert answer.end == len(self.buffer)
            await self.read_to(answer, min(BEGUN, answer.end))
            self.began.set()
            await self.read_to(answer, answer.end)
        return self.buffer


class Bench:
    """An origin over a scripted server."""

    def __init__(self, server: ScriptedServer, client: HttpClient) -> None:
        self.server = server
        self.origin = HttpOrigin(server.url, client)

    def answers(self, *replies: Reply) -> None:
        self.server.replies = list(replies)

    async def start(self) -> tuple[Reading, asyncio.Task[bytearray]]:
        """Begins to read an answer that is held back."""
        reading = Reading(self.origin)
        task = asyncio.create_task(reading.run())
        await reading.began.wait()
        await settle()
        return reading, task

    @property
    def connections(self) -> list[int]:
        """Which connection each request came on."""
        return [request.connection for request in self.server.requests]


async def until(condition: Callable[[], object]) -> None:
    """Returns when `condition` holds; what it waits for takes some turns of the loop and of the network."""
    async with asyncio.timeout(10):
        await settle_until(lambda: bool(condition()))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with ScriptedServer([]) as server, HttpClient(report=silent) as client:
        yield Bench(server, client)


@pytest.mark.parametrize("size", [1, 20_000, 70_000, 300_000, SIZE])
async def test_every_byte_comes_to_its_place_on_one_connection(bench: Bench, size: int) -> None:
    bench.answers(*[whole(DATA[:size])] * 4)
    for _ in range(4):
        assert await Reading(bench.origin, size).run() == DATA[:size]
    assert set(bench.connections) == {1}


async def test_a_body_that_comes_in_two_parts_is_one(bench: Bench) -> None:
    proceed = asyncio.Event()
    bench.answers(held(proceed), whole(DATA[:1000]))
    reading, task = await bench.start()
    assert reading.buffer[:BEGUN] == DATA[:BEGUN]
    proceed.set()
    assert await task == DATA
    assert await Reading(bench.origin, 1000).run() == DATA[:1000]
    assert bench.connections == [1, 1]


async def test_a_long_body_may_come_in_chunks(bench: Bench) -> None:
    headers = {"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}", "Transfer-Encoding": "chunked"}
    chunks = b"".join(b"%x\r\n%s\r\n" % (100_000, DATA[at : at + 100_000]) for at in range(0, SIZE, 100_000))
    answer = reply(206, chunks + b"0\r\n\r\n", headers, length=None)
    bench.server.replies = lambda _: answer
    assert await Reading(bench.origin).run() == DATA


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("sent", [0, 1, 500_000, SIZE - BEGUN - 1])
async def test_a_connection_that_ends_early_is_an_error_and_what_came_stays(
    bench: Bench, end: End, sent: int
) -> None:
    proceed = asyncio.Event()
    bench.answers(held(proceed, rest=DATA[BEGUN : BEGUN + sent], end=end), whole())
    reading, task = await bench.start()
    proceed.set()
    with pytest.raises(TransientStorageError) as refusal:
        await task
    assert refusal.value.file == "one"
    came = BEGUN + sent if end == "close" else reading.position  # what a reset overtakes is lost
    assert reading.position == came >= BEGUN
    assert reading.buffer[:came] == DATA[:came]
    assert await Reading(bench.origin).run() == DATA
    assert bench.connections == [1, 2]


async def test_an_answer_left_early_closes_its_connection_and_leaves_the_buffer_alone(bench: Bench) -> None:
    proceed = asyncio.Event()
    bench.answers(held(proceed), whole())
    reading = Reading(bench.origin)
    async with reading.open() as answer:
        await reading.read_to(answer, BEGUN)
    before = bytes(reading.buffer)
    proceed.set()
    await until(lambda: not bench.server.open)
    await settle()
    assert reading.buffer == before
    assert await Reading(bench.origin).run() == DATA
    assert bench.connections == [1, 2]


async def test_a_read_that_is_cancelled_closes_its_connection(bench: Bench) -> None:
    proceed = asyncio.Event()
    bench.answers(held(proceed))
    reading, task = await bench.start()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    proceed.set()
    await until(lambda: not bench.server.open)
    assert reading.buffer == DATA[:BEGUN] + bytes(SIZE - BEGUN)


FORGED = reply(206, b"\0" * SIZE, {"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}", "ETag": '"1"'})


@pytest.mark.parametrize("garbage", [b"x", b"garbage " * 10_000, FORGED.pieces[0]])
async def test_what_follows_a_body_is_never_the_next_answer(bench: Bench, garbage: bytes) -> None:
    proceed = asyncio.Event()
    bench.answers(held(proceed, rest=DATA[BEGUN:] + garbage), whole())
    _, task = await bench.start()
    proceed.set()
    assert await task == DATA
    # At once: the bytes behind may still be with the system.
    assert await Reading(bench.origin).run() == DATA
    assert bench.connections == [1, 2]


async def test_many_bodies_at_once_do_not_mix(bench: Bench) -> None:
    bodies = {f"/{number}": content(200_000 + number, seed=number) for number in range(8)}
    bench.server.replies = lambda request: whole(bodies[request.target])

    async def read(name: str, data: bytes) -> None:
        for _ in range(5):
            buffer, position = bytearray(len(data)), 0
            async with bench.origin.get(name, start=0, length=len(data), pin=None, fresh=False) as answer:
                while position < len(data):
                    position += await answer.read_into(memoryview(buffer)[position:])
            assert buffer == data

    await asyncio.gather(*(read(name.strip("/"), data) for name, data in bodies.items()))


async def test_a_body_that_ends_while_nobody_reads_is_there_when_somebody_does(bench: Bench) -> None:
    proceed = asyncio.Event()
    bench.answers(held(proceed))
    reading = Reading(bench.origin)
    async with reading.open() as answer:
        await reading.read_to(answer, BEGUN)
        proceed.set()
        await settle()
        await reading.read_to(answer, SIZE)
        assert await answer.read_into(memoryview(bytearray(1))) == 0
    assert reading.buffer == DATA
