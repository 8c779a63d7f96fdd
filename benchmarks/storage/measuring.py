"""Runs one program, and measures it from outside.

Programs of ours tell the bytes and the seconds of their reading as one JSON line (`Reading`): so the start of
the interpreter and imports, 0.3 s for aiohttp, do not count as reading. Of all other programs the whole run
counts. The peak of memory is always the whole process's, as the kernel knows it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

POLL_SECONDS = 0.02
"""Between two looks at a child's descriptors; their number changes more slowly."""

MOST_SECONDS = 900.0
"""A run that takes longer hangs, and is killed; the slowest takes a minute."""

TAIL_BYTES = 2000
"""Of what a program that failed wrote to stderr."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    Attributes:
        size: bytes that it read, unpacked where it unpacks.
        seconds: that the reading took.
        cpu_seconds: of the process and its children meanwhile.
        peak_bytes: resident at most, in the largest process.
        peak_descriptors: open at once in the process, as far as was seen.
    """

    size: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    peak_descriptors: int


class Reading:
    """The block in which a program reads: prints its figures at the end."""

    def __init__(self) -> None:
        self.size = 0

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._cpu_began = _cpu_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            seconds = time.monotonic() - self._began
            cpu_seconds = _cpu_seconds() - self._cpu_began
            print(json.dumps({"size": self.size, "seconds": seconds, "cpu_seconds": cpu_seconds}))


def measure(command: Sequence[str], environment: Mapping[str, str], *, size: int, tells: bool) -> Measured:
    """Runs a command to a good end.

    Args:
        command: to run.
        environment: all of it.
        size: bytes that it has to read.
        tells: it is one of ours, and prints a `Reading`.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output if tells else subprocess.DEVNULL,
            stderr=messages,
            env=environment,
        )
        too_long = threading.Timer(MOST_SECONDS, process.kill)
        too_long.start()
        with _Descriptors(process.pid) as descriptors:
            # `wait4` gives the peak of this one child; RUSAGE_CHILDREN would give the largest of all so far.
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        too_long.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            length = messages.seek(0, os.SEEK_END)
            messages.seek(max(0, length - TAIL_BYTES))
            sys.exit(f"{' '.join(command)} exited {process.returncode}:\n{messages.read().decode()}")
        output.seek(0)
        told = json.loads(output.read()) if tells else {}
    measured = Measured(
        told.get("size", size),
        told.get("seconds", seconds),
        told.get("cpu_seconds", usage.ru_utime + usage.ru_stime),
        usage.ru_maxrss << 10,
        descriptors.peak,
    )
    if measured.size != size:
        sys.exit(f"{' '.join(command)} read {measured.size} bytes of {size}")
    return measured


class _Descriptors:
    """Looks at a child's descriptors during a block."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._folder = Path(f"/proc/{pid}/fd")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            try:
                self.peak = max(self.peak, sum(1 for _ in self._folder.iterdir()))
            except OSError:  # it has ended
                return


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
