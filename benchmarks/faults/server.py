"""The server: connections, and the faults that show on them."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.faults.connection import ClosedError, Connection
from benchmarks.faults.folder import Folder
from benchmarks.faults.messages import S3_ROOT, Answer, BadRequestError, Request, text_answer
from benchmarks.faults.objects import Objects, RefusedError
from benchmarks.faults.plain import PlainSide
from benchmarks.faults.plan import NO_FAULT, Asked, Fault, FaultPlan, Kind
from benchmarks.faults.s3 import S3Side
from benchmarks.faults.spoiling import first_part

_BACKLOG = 1024
"""Connections that wait to be accepted; more than any client opens at once."""

_ENDS = {Kind.STALL, Kind.RESET, Kind.TRUNCATE}
"""Faults that end an answer in the middle of its body."""


@dataclass(slots=True)
class Served:
    """One request as it was answered; in the log from the moment its fault is chosen.

    Attributes:
        method: of the request.
        path: decoded, with a slash at its begin; of an S3 listing bucket and prefix: `/s3/bucket/prefix`.
        asked: what it was for.
        range: the Range header as it was sent; None for none.
        fault: what was to go wrong; None where nothing was.
        status: of the answer; 0 while there is none.
        sent: bytes of the body that were sent so far.
    """

    method: str
    path: str
    asked: Asked
    range: str | None
    fault: Kind | None = None
    status: int = 0
    sent: int = 0


@dataclass(slots=True)
class Counters:
    """What a server did so far.

    Attributes:
        requests: that came in.
        bodies: bytes of bodies that were sent.
        connections: that were accepted.
        open: connections now.
        most_open: connections at once, at most.
        faults: how often each was chosen; at a 404, say, there is nothing to spoil, and it does not show.
    """

    requests: int = 0
    bodies: int = 0
    connections: int = 0
    open: int = 0
    most_open: int = 0
    faults: Counter[Kind] = field(default_factory=Counter)


class FaultServer:
    """Serves the files below `root` on the loopback, with faults.

    Args:
        root: `url`/a/b is root/a/b; `s3_endpoint`, bucket a, key b is the same file.
        faults: what goes wrong.
        port: to listen on; 0 for any free one.
        page_size: entries of an S3 listing's page, at most.
        clock: seconds; bursts go by it.

    Attributes:
        url: of the plain side, without a slash at its end; once it is entered.
        s3_endpoint: of the S3 side, path style; once it is entered.
        log: all requests, in the order they came in.
        counters: what it did so far.

    Leaving its block closes all connections at once, whatever they are at; what went wrong in the server
    itself is raised then.
    """

    url: str
    s3_endpoint: str

    def __init__(
        self,
        root: Path,
        faults: FaultPlan,
        *,
        port: int = 0,
        page_size: int = 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log: list[Served] = []
        self.counters = Counters()
        self._plan = faults
        self._port = port
        self._clock = clock
        folder = Folder(root)
        objects = Objects(folder, faults)
        self._plain = PlainSide(folder, objects, faults)
        self._s3 = S3Side(folder, objects, faults, page_size)
        self._concerned = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    async def __aenter__(self) -> Self:
        self._began = self._clock()
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=_BACKLOG)
        self._listener.settimeout(0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.s3_endpoint = self.url + S3_ROOT.rstrip("/")
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._failures and error is None:
            raise self._failures[0]

    def _accept(self) -> None:
        """Takes all connections that wait.

        In a callback and not in a task: cancelling one that has just been given a connection would lose it.
        """
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.settimeout(0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.counters.connections += 1
            self.counters.open += 1
            self.counters.most_open = max(self.counters.most_open, self.counters.open)
            task = asyncio.get_running_loop().create_task(self._serve(sock))
            self._tasks.add(task)
            # Closed here, since a task that is cancelled before it began runs no `finally`.
            task.add_done_callback(partial(self._ended, sock))

    def _ended(self, sock: socket.socket, task: asyncio.Task[None]) -> None:
        sock.close()
        self.counters.open -= 1
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)

    async def _serve(self, sock: socket.socket) -> None:
        """Answers the requests of one connection until it is done with."""
        connection = Connection(sock)
        try:
            persistent = True
            while persistent and (request := await connection.next_request()) is not None:
                persistent = await self._answer(request, connection)
        except (ClosedError, ConnectionError):
            pass  # the client went away, which is its right
        except BadRequestError as error:
            answer = text_answer(HTTPStatus.BAD_REQUEST, f"{error}\n", "text/plain")
            with suppress(ConnectionError):
                await connection.send(answer.head(persistent=False), answer.body, lambda _: None)

    async def _answer(self, request: Request, connection: Connection) -> bool:
        """Answers one request; says whether the connection can be used again."""
        fault = self._fault_of(request)
        served = Served(
            request.method, request.about, request.asked, request.headers.get("range"), fault.kind
        )
        self.log.append(served)
        with ExitStack() as files:
            if request.body is not None:
                files.enter_context(request.body)
            if fault.delay:
                await asyncio.sleep(fault.delay)
            if fault.kind is Kind.STALL_BEFORE_HEADERS:
                await connection.idle()
                return False
            if fault.kind is Kind.SLOW_HEADERS:
                await asyncio.sleep(self._plan.slow_headers_seconds)
            answer = self._answer_to(request, fault, files)
            served.status = answer.status
            return await self._send(answer, fault, connection, served, persistent=request.persistent)

    def _fault_of(self, request: Request) -> Fault:
        """Counts the request, and decides."""
        self.counters.requests += 1
        if not self._plan.concerns(request.about, request.asked):
            return NO_FAULT
        number = self._concerned
        self._concerned += 1
        fault = self._plan.decide(number, request.asked, elapsed=self._clock() - self._began)
        if fault.kind is not None:
            self.counters.faults[fault.kind] += 1
        return fault

    def _answer_to(self, request: Request, fault: Fault, files: ExitStack) -> Answer:
        side = self._s3 if request.is_s3 else self._plain
        if fault.kind is Kind.UNAVAILABLE:
            told = {} if self._plan.retry_after is None else {"Retry-After": str(self._plan.retry_after)}
            answer = side.error(RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "SlowDown", told))
        else:
            answer = side.answer(request, fault, files)
        return answer.without_body() if request.method == "HEAD" else answer

    async def _send(
        self, answer: Answer, fault: Fault, connection: Connection, served: Served, *, persistent: bool
    ) -> bool:
        """Sends an answer as its fault wants it; says whether the connection can be used again."""

        def sent(count: int) -> None:
            served.sent += count
            self.counters.bodies += count

        head = answer.head(persistent=persistent)
        if fault.kind not in _ENDS:
            if fault.kind is Kind.DRIP:
                await connection.drip(head, answer.body, sent, rate=self._plan.drip_rate)
            else:
                await connection.send(head, answer.body, sent)
            return persistent
        if answer.body:  # without one, only its head can be missing
            await connection.send(head, first_part(answer.body, fault.place), sent)
        if fault.kind is Kind.STALL:
            await connection.idle()
        elif fault.kind is Kind.RESET:
            await connection.reset()
        return False


@contextmanager
def serve_in_thread(
    root: Path, faults: FaultPlan, *, port: int = 0, page_size: int = 1000
) -> Iterator[FaultServer]:
    """Serves from a thread of its own, for code that is not async; see `FaultServer`."""
    server = FaultServer(root, faults, port=port, page_size=page_size)
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(server.__aenter__())
        thread = threading.Thread(target=loop.run_forever, name="faults")
        thread.start()
        try:
            yield server
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.run_until_complete(server.__aexit__(*sys.exc_info()))
