"""A program in a session of its own: it ends together with everything that it has started.

`bash -c "a | b"` leaves `a` and `b` running when only bash is killed; so signals go to the whole group. A
group has the number of its first process, and a number that nobody holds may be given to another process at
any time. So the first process is looked at without being reaped, signals are sent while its number is surely
its own, and it is reaped last.

Linux only: a descriptor tells when a process has ended (Linux 5.3), and /proc who is in a group.
"""

from __future__ import annotations

import asyncio
import atexit
import errno
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO

from restore.errors import ResourceError, RestoreError, UsageError
from restore.flow.pipes import readable

POLL_SECONDS = 0.02
"""Between two looks at a group whose first process has ended: nothing tells when the others have."""

LOST = 256
"""In place of an exit status that somebody else took; no process can have it."""

_NO_ROOM = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

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
        except OSError as error:
            raise _cannot_start(argv[0], error) from error
        _running.add(self)
        try:
            self._descriptor = os.pidfd_open(self.number)
        except OSError as error:
            self.kill_and_reap()
            for pipe in self.pipes:
                pipe.close()
            raise _cannot_start(argv[0], error) from error

    @property
    def number(self) -> int:
        """Of the first process, and of the group."""
        return self._process.pid

    @property
    def pipes(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        """Our ends of its stdin, stdout and stderr; to be closed by whoever uses them."""
        process = self._process
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RestoreError("a program was started without pipes")
        return process.stdin, process.stdout, process.stderr

    @property
    def status(self) -> int | None:
        """Exit status of the first process, negative for a signal; None while it runs."""
        try:
            seen = os.waitid(os.P_PID, self.number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            # Somebody has begun to ignore SIGCHLD, so the kernel reaps our children. No status is not a zero.
            return LOST
        if seen is None:
            return None
        return seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status

    async def wait(self, seconds: float) -> bool:
        """Whether the first process ended within `seconds`."""
        return self.status is not None or await readable(self._descriptor, seconds=seconds)

    async def end(self, grace_seconds: float) -> None:
        """Ends the group, and reaps its first process.

        While that one runs, the group gets SIGTERM, and `grace_seconds` in which to clean up. What lives
        then, or was left behind by a program that ended by itself, is killed.

        Cancellation: shield it; half of it leaves the group running.
        """
        if self.status is None:
            loop = asyncio.get_running_loop()
            grace_ends = loop.time() + grace_seconds
            self._signal(signal.SIGTERM)
            await self.wait(grace_seconds)
            while self._lives() and loop.time() < grace_ends:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(POLL_SECONDS)
        self._signal(signal.SIGKILL)
        await readable(self._descriptor)
        self.kill_and_reap()
        os.close(self._descriptor)

    def kill(self) -> None:
        """Kills the group, and waits for nothing."""
        self._signal(signal.SIGKILL)

    def kill_and_reap(self) -> None:
        """Kills the group, and waits for its first process."""
        self.kill()
        self._process.wait()
        _running.discard(self)

    def _signal(self, number: signal.Signals) -> None:
        if self.status == LOST:
            return  # the number may be another's by now
        # No such process cannot be; not permitted is a program that has become another user's.
        with suppress(PermissionError):
            os.killpg(self.number, number)

    def _lives(self) -> bool:
        """Whether any process of the group does more than wait to be reaped."""
        return any(
            self._is_member(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()
        )

    def _is_member(self, process: int) -> bool:
        try:
            # Most processes are others', and this call costs a hundredth of reading a file.
            if os.getpgid(process) != self.number:
                return False
            state = Path(f"/proc/{process}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
        except OSError:
            return False  # it ended meanwhile
        return state not in {"Z", "X"}


def check_supported() -> None:
    """Whether this system can do all this.

    Raises:
        UsageError: it cannot.
    """
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        raise UsageError(
            "this system cannot run commands for a storage", found=error, hint="it needs Linux 5.3 or newer"
        ) from error
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        raise UsageError(
            "this process cannot see how commands end",
            found="SIGCHLD is ignored",
            hint="whoever starts it must not ignore that signal; `env --default-signal=CHLD` undoes it",
        )


@atexit.register
def kill_all() -> None:
    """Kills every group that runs; called when the interpreter ends, however it does, except by a signal."""
    for group in list(_running):
        group.kill_and_reap()


def kill_all_nowait() -> None:
    """Kills every group that runs, and waits for none: a signal's handler might wait for itself."""
    for group in list(_running):
        group.kill()


# A forked process has the parent's children on its list, and must leave them alone when it ends.
os.register_at_fork(after_in_child=_running.clear)


def _cannot_start(program: str, error: OSError) -> RestoreError:
    kind = ResourceError if error.errno in _NO_ROOM else UsageError
    return kind("program cannot be started", file=program, found=error.strerror)
