"""The way of the command adapter: one `bash -c` for each object, its output read from a pipe and discarded.

    python -m benchmarks.storage.adapter COMMAND --at-once 2 NAMES

The command finds the object's name in FILE_HANDLE, as it does in the Rust tool.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.storage.measuring import Reading

SHELL = ("bash", "-c")

OPTIONS = "set -o nounset -o errexit -o pipefail; "

PIPE_BYTES = 64 << 10
"""All that a pipe holds."""


def main() -> None:
    """Reads the objects, and prints a `Reading`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command")
    parser.add_argument("--at-once", type=int, required=True)
    parser.add_argument("names", type=Path, help="file with one name a line")
    options = parser.parse_args()
    names = iter(options.names.read_text().splitlines())
    with Reading() as reading, ThreadPoolExecutor(options.at_once) as pool:
        commands = [options.command] * options.at_once
        reading.size = sum(pool.map(_read_some, commands, [names] * options.at_once))


def _read_some(command: str, names: Iterator[str]) -> int:
    buffer = bytearray(PIPE_BYTES)
    total = 0
    for name in names:
        environment = {**os.environ, "FILE_HANDLE": name}
        process = subprocess.Popen(
            [*SHELL, OPTIONS + command], env=environment, stdout=subprocess.PIPE, bufsize=0
        )
        assert process.stdout is not None
        with process.stdout as output:
            while count := output.readinto(buffer):  # type: ignore[attr-defined]
                total += count
        if process.wait() != 0:
            raise subprocess.CalledProcessError(process.returncode, command)
    return total


if __name__ == "__main__":
    main()
