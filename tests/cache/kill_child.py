"""A process that works in a mirror and is killed after one of its file operations; and its driver.

One process imports everything once, and is forked for each job: a line of JSON says what to do, and another
one what the fork did.

An operation that failed changed nothing and does not count. Nor does what only looks; nor the two locks that
the probe takes with a function of its own: on the disk nothing changes between them.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import msgspec
import uvloop

from cache.lock import Locks
from cache.mirror import Mirror
from cache.prune import prune
from cache.source import Event, Fetched
from cache.sync import SyncOptions
from tests.cache.model import ModelSource, check, mirror_folder, use_small_bounds

ROOT = Path(__file__).resolve().parents[2]

OPERATIONS: tuple[tuple[ModuleType, tuple[str, ...]], ...] = (
    (os, ("open", "write", "pwrite", "ftruncate", "truncate", "fsync", "fdatasync", "close", "utime")),
    (os, ("mkdir", "rmdir", "link", "symlink", "rename", "replace", "unlink", "remove", "chmod")),
    (fcntl, ("flock", "lockf")),
)
"""What changes files or locks, by the names that Python gives it."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a fork does.

    Attributes:
        root: the folder of mirrors.
        action: "sync" brings the mirror up to date, reads it and keeps a summary; "prune" removes all that
            is retired.
        files: of the source.
        now: the time, in Unix seconds.
        on_uvloop: whether uvloop is its event loop, else that of asyncio.
        kill_after: the number of the operation after which it is killed, from 1; None for never.
        torn: whether that operation, if it writes, writes only half.
    """

    root: str
    action: Literal["sync", "prune"]
    files: dict[str, bytes]
    now: float
    on_uvloop: bool = False
    kill_after: int | None = None
    torn: bool = False


class Done(msgspec.Struct, frozen=True):
    """What a fork did.

    Attributes:
        operations: names of those that took place.
        fetched: names of the files that were fetched.
        status: exit code, or the signal that ended it, negative.
    """

    operations: list[str]
    fetched: list[str]
    status: int


class Child:
    """Drives the child."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def do(self, job: Job) -> Done:
        """Has a job done, or begun."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(job) + b"\n")
        self._process.stdin.flush()
        done = msgspec.json.decode(self._process.stdout.readline(), type=Done)
        assert done.status in (0, -signal.SIGKILL)
        return done


@contextmanager
def running() -> Iterator[Child]:
    """A child during the block."""
    argv = [sys.executable, "-m", "tests.cache.kill_child"]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Child(process)


class _Log:
    """Says through a pipe what happens, since whoever is killed says nothing afterwards."""

    def __init__(self, descriptor: int, job: Job) -> None:
        self._descriptor = descriptor
        self._job = job
        self._operations = 0
        self._write = os.write

    def say(self, what: str, name: str) -> None:
        self._write(self._descriptor, f"{what} {name}\n".encode())

    def hear(self, event: Event) -> None:
        if isinstance(event, Fetched):
            self.say("fetched", event.name)

    def counting(self, module: ModuleType, name: str) -> Callable[..., Any]:
        """The function of that name, but that it is counted and perhaps the last thing that happens."""
        original = getattr(module, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            is_last = self._operations + 1 == self._job.kill_after
            if is_last and self._job.torn and name == "write":
                descriptor, data = args
                args = (descriptor, data[: len(data) // 2])
            result = original(*args, **kwargs)
            self._operations += 1
            self.say("operation", name)
            if is_last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted


def _serve() -> None:
    use_small_bounds(setattr)
    for line in sys.stdin.buffer:
        done = _fork(msgspec.json.decode(line, type=Job))
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
        sys.stdout.buffer.flush()


def _fork(job: Job) -> Done:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _work(job, _Log(writing, job))
        except BaseException:  # noqa: BLE001 - a fork never goes on as if it were its parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as log:
        said = [line.split() for line in log]
    _, status = os.waitpid(pid, 0)
    return Done(
        operations=[name for what, name in said if what == "operation"],
        fetched=[name for what, name in said if what == "fetched"],
        status=os.waitstatus_to_exitcode(status),
    )


def _work(job: Job, log: _Log) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if job.on_uvloop else None) as runner:
        runner.get_loop()  # its own descriptors are no business of the mirror
        for module, names in OPERATIONS:
            for name in names:
                setattr(module, name, log.counting(module, name))
        runner.run(_sync(job, log) if job.action == "sync" else _prune(job))


async def _sync(job: Job, log: _Log) -> None:
    # One at a time: what was fetched and is not written yet is one batch at most, and always the same.
    options = SyncOptions(concurrency=1, accept_empty=True, tell=log.hear, now=lambda: job.now)
    async with Mirror(Path(job.root), ModelSource(job.files), options).synced() as snapshot:
        await check(snapshot, job.files)


async def _prune(job: Job) -> None:
    folder = mirror_folder(Path(job.root))
    assert await prune(folder, Locks(folder.path), grace_seconds=0, now=lambda: job.now) is not None


if __name__ == "__main__":
    _serve()
