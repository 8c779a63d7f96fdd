from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restore.flow import pool
from restore.flow.pool import ProcessPool
from restore.flow.serving import framed
from tests.flow.processes import children_of_this_process
from tests.flow.programs import ENOUGH, IDLE
from tests.flow.steps import settle_until

pytestmark = pytest.mark.usefixtures("nothing_of_children_left")

MODULE = "tests.flow.answerer"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def two() -> AsyncIterator[ProcessPool]:
    """A pool of two processes."""
    async with ProcessPool(MODULE, processes=2) as processes:
        yield processes


async def process_of(processes: ProcessPool) -> int:
    """The process that answers next."""
    answer = await processes.ask(b"who")
    assert answer is not None
    return int(answer.rpartition(b" ")[2])


async def test_each_request_gets_its_answer(two: ProcessPool) -> None:
    large = bytes(3 << 20)
    requests = [b"", b"one", large, *(b"%d" % number for number in range(20))]
    answers = await asyncio.gather(*map(two.ask, requests))
    for request, answer in zip(requests, answers, strict=True):
        assert answer is not None
        assert answer.startswith(request + b" from ")
    assert len({answer.rpartition(b" ")[2] for answer in answers if answer}) == 2


async def test_a_process_is_started_when_it_is_needed(two: ProcessPool) -> None:
    before = children_of_this_process()
    first = await process_of(two)
    assert await process_of(two) == first
    assert children_of_this_process() - before == {first}
    asking = asyncio.create_task(two.ask(b"halt"))
    await settle_until(lambda: _state_of(first) == "T")
    second = await process_of(two)
    assert children_of_this_process() - before == {first, second}
    os.kill(first, signal.SIGCONT)
    assert await asking == b"halt from %d" % first


async def test_a_pool_that_nobody_asks_starts_nothing() -> None:
    before = children_of_this_process()
    async with ProcessPool(MODULE, processes=2):
        assert children_of_this_process() == before


@pytest.mark.parametrize("end", [b"die", b"half", b"raise"])
async def test_who_asked_a_process_that_ends_gets_no_answer_and_the_others_go_on(
    two: ProcessPool, end: bytes
) -> None:
    first = await process_of(two)
    assert await two.ask(end) is None
    second = await process_of(two)
    assert second != first
    answers = await asyncio.gather(*(two.ask(b"again") for _ in range(4)))
    # There is room for two who ask, and one process: who comes second to it gets no answer.
    assert {answer for answer in answers if answer} == {b"again from %d" % second}


async def test_once_all_are_gone_nobody_gets_an_answer(two: ProcessPool) -> None:
    assert await asyncio.gather(*(two.ask(b"die") for _ in range(2))) == [None] * 2
    assert await asyncio.gather(*(two.ask(b"again") for _ in range(4))) == [None] * 4


async def test_a_process_that_was_killed_while_it_waited_gives_no_answer(two: ProcessPool) -> None:
    os.kill(await process_of(two), signal.SIGKILL)
    assert await two.ask(b"who") is None


async def test_a_process_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", IDLE)
    async with ProcessPool(MODULE, processes=1) as processes:
        assert await processes.ask(b"halt") is None
        assert await processes.ask(b"who") is None


async def test_a_process_whose_answer_nobody_waited_for_is_not_asked_again(two: ProcessPool) -> None:
    first = await process_of(two)
    asking = asyncio.create_task(two.ask(b"halt"))
    await settle_until(lambda: _state_of(first) == "T")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    os.kill(first, signal.SIGCONT)  # now it answers, to nobody
    assert await process_of(two) != first


async def test_leaving_ends_processes_whatever_they_do() -> None:
    before = children_of_this_process()
    async with ProcessPool(MODULE, processes=2) as processes:
        first = await process_of(processes)
        asking = asyncio.create_task(processes.ask(b"halt"))
        await settle_until(lambda: _state_of(first) == "T")
        asking.cancel()
        await asyncio.wait((asking,))
        await process_of(processes)
    assert children_of_this_process() == before


async def test_where_no_process_can_be_started_nobody_gets_an_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    async with ProcessPool(MODULE, processes=2) as processes:
        assert await asyncio.gather(*(processes.ask(b"who") for _ in range(3))) == [None] * 3


async def test_a_module_that_is_not_there_gives_no_answer() -> None:
    async with ProcessPool("tests.flow.nothing_of_the_kind", processes=1) as processes:
        assert await processes.ask(b"who") is None


async def test_a_module_of_the_folder_that_the_user_is_in_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    async with ProcessPool("restore.checker", processes=1) as processes:
        assert await processes.ask(b"\x90") == b"1"  # of no claims, all hold


@pytest.mark.parametrize("given", [b"", b"\0\0", framed(b"whole")[:-1]])
def test_a_process_ends_when_nobody_is_there_to_ask(given: bytes) -> None:
    command = [sys.executable, "-m", MODULE]
    ended = subprocess.run(
        command, input=framed(b"one") + given, capture_output=True, cwd=ROOT, timeout=ENOUGH, check=True
    )
    assert ended.stdout.startswith(framed(b"one")[:3])
    assert ended.stdout.count(b"one from ") == 1
    assert ended.stderr == b""


def _state_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()[0]
