"""Runs `aptos-restore` as users do, in a process of its own, and measures it from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PURE = "pure Python"
"""The path without the C extension."""

KERNEL_VARIABLE = "APTOS_RESTORE_KERNEL"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: exit code, JSON object, wall seconds, CPU seconds of all threads, and peak resident bytes."""

    exit_code: int
    result: dict[str, Any]
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def environment(kernel: str | None) -> dict[str, str]:
    """The variables of a process in which this kernel works; None for the best one."""
    inherited = {name: value for name, value in os.environ.items() if name != KERNEL_VARIABLE}
    return inherited if kernel is None else {**inherited, KERNEL_VARIABLE: kernel}


def measure(
    arguments: Sequence[str], *, accepted: Container[int] = (0,), kernel: str | None = None
) -> Measured:
    """Runs `aptos-restore ARGUMENTS --output json` to one of the `accepted` ends, and measures it."""
    command = [str(Path(sys.executable).with_name("aptos-restore")), *arguments, "--output", "json"]
    began = time.monotonic()
    # `wait4` gives the peak of this one child; RUSAGE_CHILDREN would give the largest of all so far.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(kernel)
    )
    output, messages = _drain(process)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accepted:
        sys.exit(f"{' '.join(arguments)} exited {process.returncode}:\n{messages.decode()}")
    result = json.loads(output.splitlines()[-1])
    return Measured(
        process.returncode,
        result,
        time.monotonic() - began,
        usage.ru_utime + usage.ru_stime,
        # Where the command tells, since what `wait4` tells includes what this process held when it began it.
        result.get("peak_memory_bytes", usage.ru_maxrss << 10),
    )


def _drain(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Reads both pipes to their ends without waiting for the process."""
    import threading

    assert process.stdout is not None
    assert process.stderr is not None
    collected: list[bytes] = []
    stderr = process.stderr
    reader = threading.Thread(target=lambda: collected.append(stderr.read()))
    reader.start()
    output = process.stdout.read()
    reader.join()
    process.stdout.close()
    stderr.close()
    return output, collected[0]
