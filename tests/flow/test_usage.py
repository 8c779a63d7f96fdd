"""What a process holds, counted by the kernel: real files, real children, real memory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from restore.flow import usage
from restore.flow.usage import Usage, peak_memory_bytes, usage_of_process
from tests.flow.steps import settle


@contextmanager
def open_files(count: int) -> Iterator[None]:
    descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@contextmanager
def children(count: int) -> Iterator[None]:
    running = [subprocess.Popen(["sleep", "100"]) for _ in range(count)]
    try:
        yield
    finally:
        for child in running:
            child.kill()
            child.wait()


@contextmanager
def ended_child() -> Iterator[None]:
    """A child that has ended, and is reaped when the block is left."""
    child = os.posix_spawnp("true", ["true"], {})
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    try:
        yield
    finally:
        os.waitpid(child, 0)


async def test_the_kernel_is_asked() -> None:
    await settle()
    before = usage_of_process()
    with open_files(20), children(3):
        task = asyncio.create_task(asyncio.Event().wait())
        now = usage_of_process()
        task.cancel()
    await asyncio.wait((task,))
    assert now.tasks == before.tasks + 1
    assert now.children == before.children + 3
    assert now.descriptors == before.descriptors + 20
    after = usage_of_process()
    assert after == replace(before, memory_bytes=after.memory_bytes)


async def test_a_child_that_nobody_reaps_counts() -> None:
    before = usage_of_process().children
    with ended_child():
        assert usage_of_process().children == before + 1
    assert usage_of_process().children == before


async def test_a_child_of_another_thread_counts() -> None:
    before = usage_of_process().children
    started, counted = threading.Event(), threading.Event()

    def in_thread() -> None:
        with children(1):
            started.set()
            counted.wait()

    thread = threading.Thread(target=in_thread)
    thread.start()
    started.wait()
    found = usage_of_process().children
    counted.set()
    thread.join()
    assert found == before + 1


async def test_memory_and_its_peak_grow_with_what_is_held() -> None:
    before = usage_of_process().memory_bytes
    held = bytearray(64 << 20)
    held[:: 4 << 10] = b"x" * (64 << 20 >> 12)
    now, peak = usage_of_process().memory_bytes, peak_memory_bytes()
    del held
    assert now - before > 32 << 20
    for figure in (peak, peak_memory_bytes()):
        assert figure > now - (4 << 20)  # the kernel brings its figures up to date in batches


async def test_a_system_that_tells_nothing_bounds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "_SELF", tmp_path / "none")
    assert usage_of_process() == Usage(tasks=len(asyncio.all_tasks()))
    assert peak_memory_bytes() == 0


async def test_where_the_folder_has_no_size_it_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert os.stat("/proc/self/ns").st_size == 0  # noqa: PTH116 - the kernel answers at once
    (tmp_path / "fd").symlink_to("/proc/self/ns")
    monkeypatch.setattr(usage, "_SELF", tmp_path)
    assert usage_of_process().descriptors == len(os.listdir("/proc/self/ns")) > 0  # noqa: PTH208
