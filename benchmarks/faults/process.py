"""The server in a process of its own: what is measured beside it has its interpreter to itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks.faults.plan import FaultPlan

_END_SECONDS = 10
"""For closing all connections."""


@dataclass(slots=True)
class Apart:
    """A server in another process.

    Attributes:
        url: of its plain side; see `FaultServer`.
        s3_endpoint: of its S3 side.
        counters: the fields of its `Counters`; empty until it has ended.
    """

    url: str
    s3_endpoint: str
    counters: dict[str, Any] = field(default_factory=dict)


@contextmanager
def serve_in_process(root: Path, faults: FaultPlan) -> Iterator[Apart]:
    """Serves as `python -m benchmarks.faults` does, until the block ends."""
    line = [sys.executable, "-m", "benchmarks.faults", str(root), *flags_of(faults)]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            server = Apart(**json.loads(process.stdout.readline()))
            yield server
            process.terminate()
            output, _ = process.communicate(timeout=_END_SECONDS)
            server.counters = json.loads(output)
        finally:
            process.kill()


def flags_of(faults: FaultPlan) -> list[str]:
    """The flags that make the command's plan this one."""
    flags: list[str] = []
    for one in fields(FaultPlan):
        value = getattr(faults, one.name)
        if value != one.default:
            flag = f"--{one.name.replace('_', '-')}"
            flags.append(flag if value is True else f"{flag}={value}")
    return flags
