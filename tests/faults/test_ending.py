"""Nothing outlives the server, whatever its connections are at; and what went wrong in it is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.faults import FaultPlan, FaultServer, Kind, flags_of, serve_in_process, serve_in_thread
from benchmarks.faults.__main__ import make_parser, plan_of
from tests.faults.conftest import LARGE, SMALL
from tests.faults.raw import RawClient, fill, until

HUGE_BYTES = 64 << 20
"""More than the buffers of a connection hold: whoever sends it waits for its reader."""

OPENER = build_opener(ProxyHandler({}))


@pytest.fixture
def huge(root: Path) -> Path:
    """An object of nothing but zeros, which take no room."""
    path = root / "bucket/huge"
    path.touch()
    os.truncate(path, HUGE_BYTES)
    return path


@pytest.mark.parametrize(
    ("plan", "sent"),
    [
        (FaultPlan(), b""),
        (FaultPlan(), b"GET /bucket/sm"),
        (FaultPlan(), b"PUT /s3/bucket/x HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf"),
        (FaultPlan(), b"GET /bucket/huge HTTP/1.1\r\n\r\n"),
        (FaultPlan(latency=3600), b"GET /bucket/small HTTP/1.1\r\n\r\n"),
        (FaultPlan(slow_headers=1, slow_headers_seconds=3600), b"GET /bucket/small HTTP/1.1\r\n\r\n"),
        (FaultPlan(stall=1), b"GET /bucket/large HTTP/1.1\r\n\r\n"),
        (FaultPlan(stall_before_headers=1), b"GET /bucket/small HTTP/1.1\r\n\r\n"),
        (FaultPlan(drip=1, drip_rate=1), b"GET /bucket/small HTTP/1.1\r\n\r\n"),
    ],
)
async def test_leaving_closes_a_connection_whatever_it_is_at(
    huge: Path, plan: FaultPlan, sent: bytes
) -> None:
    others = asyncio.all_tasks()
    server = FaultServer(huge.parents[1], plan)
    async with AsyncExitStack() as stack:
        async with server:
            client = await stack.enter_async_context(RawClient(server))
            await client.send(sent)
            await until(lambda: server.counters.connections == 1)
            for _ in range(20):  # lets the server come as far as it can
                await asyncio.sleep(0)
        await client.to_end()
        assert asyncio.all_tasks() == others
        assert (server.counters.open, server.counters.most_open) == (0, 1)
    assert sorted(path.name for path in huge.parent.iterdir()) == ["huge", "large", "small"]


async def shorten_while_served(huge: Path, then: Exception | None = None) -> None:
    async with FaultServer(huge.parents[1], FaultPlan()) as server, RawClient(server) as client:
        await client.ask("/bucket/huge")
        await client.head()
        os.truncate(huge, 0)
        await client.to_end()
        if then is not None:
            raise then


async def test_what_goes_wrong_in_the_server_is_raised_at_its_end(huge: Path) -> None:
    with pytest.raises(EOFError):
        await shorten_while_served(huge)


async def test_an_error_of_the_block_goes_before_the_servers(huge: Path) -> None:
    with pytest.raises(KeyError):
        await shorten_while_served(huge, KeyError())


def test_a_server_in_a_thread_serves_and_ends_with_its_block(root: Path) -> None:
    with serve_in_thread(root, FaultPlan(unavailable=1, first=1)) as server:
        with pytest.raises(HTTPError, match="503") as caught:
            OPENER.open(f"{server.url}/bucket/small")
        caught.value.close()
        with OPENER.open(f"{server.url}/bucket/small") as answer:
            assert answer.read() == SMALL
        with OPENER.open(f"{server.s3_endpoint}/bucket/large") as answer:
            assert answer.read() == LARGE
    with pytest.raises(OSError):
        OPENER.open(f"{server.url}/bucket/small")


def test_a_server_in_a_thread_ends_with_an_error_of_its_block(root: Path) -> None:
    with pytest.raises(KeyError), serve_in_thread(root, FaultPlan()):
        raise KeyError


def test_a_server_in_a_process_does_as_it_is_told_and_says_what_it_did(root: Path) -> None:
    fill(root, {"bucket/changes": SMALL})
    plan = FaultPlan(seed=3, flip=1, at=0.0, only="changes", retry_after=5, changed_content=True)
    with serve_in_process(root, plan) as server:
        with OPENER.open(f"{server.url}/bucket/changes") as answer:
            assert answer.read() == bytes([SMALL[0] ^ 1]) + SMALL[1:]
        with OPENER.open(f"{server.s3_endpoint}/bucket/small") as answer:
            assert answer.read() == SMALL
    counters = server.counters
    assert (counters["requests"], counters["open"], counters["faults"]) == (2, 0, {Kind.FLIP: 1})


def test_a_server_in_a_process_ends_with_an_error_of_its_block(root: Path) -> None:
    with pytest.raises(KeyError), serve_in_process(root, FaultPlan()) as server:
        raise KeyError
    assert server.counters == {}
    with pytest.raises(OSError):
        OPENER.open(f"{server.url}/bucket/small")


@given(
    st.builds(
        FaultPlan,
        seed=st.integers(),
        stall=st.floats(0, 1),
        drip_rate=st.integers(1),
        retry_after=st.none() | st.integers(0, 100),
        changed_content=st.booleans(),
        at=st.none() | st.floats(0, 1, exclude_max=True),
        only=st.none() | st.from_regex("[a-z/.]+", fullmatch=True),
    )
)
def test_flags_say_the_whole_plan(plan: FaultPlan) -> None:
    assert plan_of(make_parser().parse_args(["folder", *flags_of(plan)])) == plan


def run_command(*arguments: object, stopped_by: signal.Signals | None = None) -> Finished:
    """Runs `python -m benchmarks.faults ARGUMENTS` to its end, or to a signal once it listens."""
    line = [sys.executable, "-m", "benchmarks.faults", *(str(argument) for argument in arguments)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            if stopped_by is not None:
                assert process.stdout is not None
                process.stdout.readline()
                process.send_signal(stopped_by)
            output, messages = process.communicate(timeout=60)
        finally:
            process.kill()
    return Finished(process.returncode, output, messages)


class Finished(NamedTuple):
    """How a command ended."""

    status: int
    output: bytes
    messages: bytes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_well_at_a_signal(root: Path, number: signal.Signals) -> None:
    finished = run_command(root, stopped_by=number)
    assert (finished.status, finished.messages) == (0, b"")
    assert json.loads(finished.output)["requests"] == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--stall", "2"], b"stall is not between 0 and 1"),
        (["--only", "("], b"only is no regular expression"),
        (["--drip-rate", "fast"], b"invalid int value"),
        (["--nonsense"], b"unrecognized"),
    ],
)
def test_the_command_refuses_a_plan_that_cannot_be(root: Path, flags: list[str], said: bytes) -> None:
    finished = run_command(root, *flags)
    assert finished.status == 2
    assert said in finished.messages


def test_the_command_refuses_a_folder_that_is_not_there(root: Path) -> None:
    finished = run_command(root / "missing")
    assert finished.status == 2
    assert b"is no folder" in finished.messages
