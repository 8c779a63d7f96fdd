"""Fixtures of all tests: both event loops, shared data, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from tests.kernels import KERNELS, using

# Tests talk to this machine only: no library may look for keys at the services of a cloud.
os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"}

ENDING_SECONDS = 5.0
"""A thread that is about to end has so long; one that is left behind does not end."""

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every async test runs on plain asyncio and on uvloop."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def uvloop_is_warm() -> None:
    """The first uvloop of a process opens two descriptors for good; they are no leak of a test."""
    uvloop.run(asyncio.sleep(0))


@pytest.fixture(scope="module", autouse=True)
def what_stays_is_frozen() -> None:
    """Objects of imported modules are left out of the collection after each test: they are nearly all."""
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("the folder of real vectors (../shared) is absent")
    return SHARED


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """A test that takes it runs in each form."""
    name: str = request.param
    with using(name):
        yield name


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """After each test no thread, child process or descriptor is left."""
    threads_before = set(threading.enumerate())
    descriptors_before = open_descriptors()
    yield
    gc.collect()
    assert not multiprocessing.active_children()
    for thread in set(threading.enumerate()) - threads_before:
        thread.join(ENDING_SECONDS)  # asyncio's, which waits for a child, ends a moment after that is told of
    assert set(threading.enumerate()) <= threads_before
    assert open_descriptors() <= descriptors_before


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
