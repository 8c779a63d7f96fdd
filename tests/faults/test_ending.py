"""Nothing outlives the server, whatever its connections are at; and what went wrong in it is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import pytest

from benchmarks.faults import FaultPlan, FaultServer, Kind, serve_in_thread
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


@contextmanager
def command(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m benchmarks.faults ARGUMENTS`, over when the block is."""
    line = [sys.executable, "-m", "benchmarks.faults", *(str(argument) for argument in arguments)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal_and_says_what_it_did(root: Path, number: signal.Signals) -> None:
    fill(root, {"bucket/changes": SMALL})
    flags = [
        "--seed",
        3,
        "--flip",
        1,
        "--at",
        0,
        "--only",
        "changes",
        "--retry-after",
        5,
        "--changed-content",
    ]
    with command(root, *flags) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        with OPENER.open(f"{told['url']}/bucket/changes") as answer:
            assert answer.read() == bytes([SMALL[0] ^ 1]) + SMALL[1:]
        with OPENER.open(f"{told['s3_endpoint']}/bucket/small") as answer:
            assert answer.read() == SMALL
        process.send_signal(number)
        output, messages = process.communicate(timeout=60)
    assert (process.returncode, messages) == (0, b"")
    counters = json.loads(output)
    assert (counters["requests"], counters["open"], counters["faults"]) == (2, 0, {Kind.FLIP: 1})


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
    with command(root, *flags) as process:
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said in messages


def test_the_command_refuses_a_folder_that_is_not_there(root: Path) -> None:
    with command(root / "missing") as process:
        _, messages = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"is no folder" in messages
