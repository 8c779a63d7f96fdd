"""Programs for bash, and what a test does with them."""

from __future__ import annotations

import os

from restore.flow.children import Child, Children, Program
from tests.flow.processes import MARK

NEVER = 1000.0
"""Seconds; longer than a test may take."""

ENOUGH = 20.0
"""Seconds; longer than anything takes here, and short enough to wait for if it does not come."""

IDLE = 0.3
"""Seconds without a byte after which a program is given up that began well before."""

SOON = 0.05
"""Seconds that a test waits for what never comes."""


def script(
    text: str, mark: str = "", *, idle_seconds: float = NEVER, variables: dict[str, str] | None = None
) -> Program:
    """A program for bash."""
    environment = {"PATH": os.environ["PATH"], MARK: mark, **(variables or {})}
    return Program("command test", "some/file", ("bash", "-c", text), environment, idle_seconds)


async def read_all(child: Child) -> bytes:
    """Stdout until its end."""
    data, view = bytearray(), memoryview(bytearray(1 << 16))
    while size := await child.read_into(view):
        data += view[:size]
    return bytes(data)


async def output_of(children: Children, program: Program, *, given: bytes = b"") -> bytes:
    """Runs a program to its good end."""
    async with children.run(program) as child:
        await child.write(given)
        data = await read_all(child)
        await child.finish()
        return data


async def line_of(child: Child) -> bytes:
    """The next bytes of stdout: a line, from a program that writes one and waits."""
    view = memoryview(bytearray(1000))
    return bytes(view[: await child.read_into(view)])
