"""What processes hold and leave, as the kernel tells it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tests.flow.processes import MARK, children_of_this_process, marked

PROGRAM = str(Path(sys.executable).with_name("aptos-restore"))

LOOK_SECONDS = 0.002
"""Between two looks: what is looked for lives for longer."""

MOST_SECONDS = 30.0
"""Anything that is waited for here has come by then, or never will."""

_OF_THE_LOOP = ("asyncio_", "uvloop_")
"""Threads of these names are the event loop's, and end with it."""


@dataclass(frozen=True)
class Held:
    """What this process holds, and what it has left elsewhere; each by what tells it from any other."""

    tasks: frozenset[asyncio.Task[Any]]
    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[str, str]]
    children: frozenset[int]
    marked: frozenset[int]
    files: frozenset[Path]

    def changed_from(self, before: Held) -> dict[str, frozenset[Any]]:
        """What is held and was not before, or the other way round."""
        names = [field.name for field in fields(self)]
        changes = {name: getattr(self, name) ^ getattr(before, name) for name in names}
        return {name: change for name, change in changes.items() if change}


@dataclass(frozen=True)
class Scene:
    """Where a test looks for what is left.

    Attributes:
        mark: what the programs of this test have in their environment.
        temporary: the folder for temporary files.
    """

    mark: str
    temporary: Path

    @property
    def variables(self) -> dict[str, str]:
        """The variables that keep programs to it."""
        return {MARK: self.mark, "TMPDIR": str(self.temporary)}

    def held(self) -> Held:
        """What is held now; call it in the event loop, where there is one."""
        return Held(
            frozenset(asyncio.all_tasks() if _runs_a_loop() else ()),
            frozenset(one for one in threading.enumerate() if not one.name.startswith(_OF_THE_LOOP)),
            frozenset(_open_files()),
            frozenset(children_of_this_process()),
            frozenset(marked(self.mark)),
            frozenset(self.temporary.rglob("*")),
        )

    def check(self, before: Held) -> None:
        """Checks that what was held before is held now, and nothing else."""
        wait_until(lambda: marked(self.mark) <= before.marked)  # what was killed ends a moment later
        changes = self.held().changed_from(before)
        assert not changes, changes

    @contextmanager
    def left_as_found(self) -> Iterator[None]:
        """Checks that the block leaves nothing behind, and takes nothing away."""
        before = self.held()
        yield
        self.check(before)


@dataclass
class Watched:
    """A run of the command line, and the most that it held at any look.

    Attributes:
        exit_code: how it ended.
        result: its JSON object.
        descriptors: that were open at once.
        children: that lived at once, or had not been reaped.
        memory_bytes: that were resident at once, looked at or not.
    """

    exit_code: int | None = None
    result: dict[str, Any] | None = None
    descriptors: int = 0
    children: int = 0
    memory_bytes: int = 0


def watch(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    folder: Path,
    *,
    on_look: Callable[[Watched], object] = lambda _: None,
) -> Watched:
    """Runs `aptos-restore ARGUMENTS --output json` to its end, and looks at it all the time.

    Args:
        arguments: without the program's name.
        variables: besides those of this process.
        folder: for what it prints.
        on_look: called after each look with what was found so far.
    """
    watched = Watched()
    printed = folder / "printed"
    with printed.open("wb") as output, (folder / "messages").open("wb") as messages:
        process = subprocess.Popen(
            [PROGRAM, *arguments, "--output", "json"],
            stdout=output,
            stderr=messages,
            env={**os.environ, **variables},
        )
    watching = Path(f"/proc/{process.pid}")
    while watched.exit_code is None:
        time.sleep(LOOK_SECONDS)
        watched.descriptors = max(watched.descriptors, len(_entries(watching / "fd")))
        watched.children = max(watched.children, _children(watching))
        watched.memory_bytes = max(watched.memory_bytes, _most_memory(watching))
        on_look(watched)
        watched.exit_code = process.poll()
    watched.result = json.loads(printed.read_bytes())
    return watched


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns when `condition()` holds; for what other processes do."""
    deadline = time.monotonic() + MOST_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(LOOK_SECONDS)


def _runs_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _open_files() -> Iterator[tuple[str, str]]:
    for entry in Path("/proc/self/fd").iterdir():
        try:
            yield entry.name, str(entry.readlink())
        except OSError:
            continue  # the one that the listing itself took


def _children(process: Path) -> int:
    """Each thread has a list of its own, of those that it started."""
    return sum(len(_text(thread / "children").split()) for thread in _entries(process / "task"))


def _most_memory(process: Path) -> int:
    """Not from `wait4`: that counts what this process held when it started the other one, too."""
    for line in _text(process / "status").splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) << 10  # the kernel's kB are KiB
    return 0


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []  # it has ended


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except OSError:
        return ""
