"""A process of a pool, which does what its requests say."""

from __future__ import annotations

import os
import signal

from restore.flow.serving import LENGTH, serve


def answer(request: bytes) -> bytes:
    """The request, and the number of this process; some requests get no answer."""
    if request == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    if request == b"halt":
        os.kill(os.getpid(), signal.SIGSTOP)
    if request == b"half":
        os.write(1, LENGTH.pack(100) + b"half of it")
        os._exit(0)
    if request == b"raise":
        raise ValueError
    return b"%s from %d" % (request, os.getpid())


if __name__ == "__main__":
    serve(answer)
