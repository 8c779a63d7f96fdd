"""Answers requests on stdin: what a process of a `ProcessPool` does all its life.

A request is a length (u32, big-endian) and so many bytes, and so is its answer on stdout. This module imports
as little as it can: that is a part of what the start of each process costs.
"""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable
from contextlib import suppress
from struct import Struct

LENGTH = Struct(">I")

PIPE_BYTES = 1 << 20
"""What anybody may make of a pipe. At its usual 64 KiB the other side is woken up for each of them, which
takes it longer the busier it is."""


def framed(message: bytes) -> bytes:
    """`message` with its length before it."""
    return LENGTH.pack(len(message)) + message


def serve(answer: Callable[[bytes], bytes]) -> None:
    """Answers every request on stdin, one after the other, until nobody is there to ask any more."""
    with suppress(OSError):  # no pipe, or this user has as many large ones as it may
        fcntl.fcntl(sys.stdin.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(header := requests.read(LENGTH.size)) == LENGTH.size:
        (size,) = LENGTH.unpack(header)
        request = requests.read(size)
        if len(request) < size:
            break
        answers.write(framed(answer(request)))
        answers.flush()
