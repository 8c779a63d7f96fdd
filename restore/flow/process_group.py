"""A program in a session of its own: it ends together with everything that it has started.

`bash -c "a | b"` leaves `a` and `b` running when only bash is killed; so signals go to the whole group. A group
is named by the number of its first process, and a number that nobody holds may be given to another process at
any time. So that one is looked at without being reaped, signalled while its number is surely its own, and reaped
last.

Linux only: processes are watched through descriptors (Linux 5.3), and members are found in /proc.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO

from restore.errors import ResourceError, UsageError
from restore.flow.pipes import readable

POLL_SECONDS = 0.02
"""Between two looks at a group whose first process is gone: the kernel does not tell when the others are."""

LOST = 256
"""In place of an exit status that somebody else took, which no process can have."""

_running: set[ProcessGroup] = set()


class ProcessGroup:
    """A started program, and all processes that it starts in turn and that stay in its session.

    Args:
        argv: the program, found on the PATH of this process, and its arguments.
        environment: all of its variables.

    Raises:
        UsageError: there is no such program, or it cannot be run so.
        ResourceError: no memory, descriptor or process is left for it.

    Bounds: four descriptors: three pipes, and one that stands for the process.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        try:
            self._process = Popen(
                argv, bufsize=0, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
            )
        except (BlockingIOError, MemoryError) as error:
            raise _no_room(error) from error
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise _no_room(error) from error
            raise UsageError("program cannot be run", file=argv[0], found=error.strerror) from error
        _running.add(self)
        try:
            self._descriptor = os.pidfd_open(self._process.pid)
        except OSError as error:
            self.kill()
            self.reap()
            raise _no_room(error) from error

    @property
    def number(self) -> int:
        return self._process.pid
