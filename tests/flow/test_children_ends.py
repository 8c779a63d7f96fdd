"""The ends of child processes: nothing of them remains, however they end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from restore.errors import CommandFailedError
from restore.flow.children import Children
from restore.report.events import Event, Live, silent
from tests.conftest import open_descriptors
from tests.contracts.cancelling import cancel_at_every_wait
from tests.flow.processes import MARK, all_gone, children_of_this_process, marked
from tests.flow.programs import ENOUGH, NEVER, SOON, line_of, output_of, read_all, script
from tests.flow.steps import no_task_left, settle, settle_until

pytestmark = pytest.mark.usefixtures("nothing_of_children_left")


# What remains


ENDLESS = "sleep 1000 | (echo on; exec sleep 1000); :"


async def test_leaving_early_ends_all_of_a_program(children: Children, mark: str) -> None:
    async with children.run(script(ENDLESS, mark)) as child:
        await line_of(child)
        assert len(marked(mark)) >= 1
    await all_gone(mark)


async def test_an_error_ends_all_of_a_program_and_passes(children: Children, mark: str) -> None:
    error = ValueError("not the child's")

    async def work() -> None:
        async with children.run(script(ENDLESS, mark)) as child:
            await line_of(child)
            raise error

    with pytest.raises(ValueError) as caught:
        await work()
    assert caught.value is error
    await all_gone(mark)


@pytest.mark.parametrize("given", [0, 300_000])
async def test_cancelled_at_any_wait_all_of_a_program_ends(
    children: Children, events: list[Event], mark: str, given: int
) -> None:
    program = script("sleep 1000 >&- 2>&- & echo a; exec >&-; cat > /dev/null", mark)

    async def work() -> None:
        async with children.run(program) as child:
            assert await read_all(child) == b"a\n"
            await child.write(bytes(given))
            await child.finish()

    async def check() -> None:
        assert open_descriptors() == descriptors
        assert children_of_this_process() == processes
        await all_gone(mark)

    descriptors, processes = open_descriptors(), children_of_this_process()
    async with no_task_left():
        assert await cancel_at_every_wait(work, check) >= 2
    await check()
    lives = [event.count for event in events if isinstance(event, Live)]
    assert lives == [1, 0] * (len(lives) // 2)


async def test_cancelled_again_while_it_ends_a_program_is_still_waited_for(mark: str) -> None:
    program = script("trap '' TERM; echo on; sleep 1000; sleep 1000", mark)
    on = asyncio.Event()

    async def work() -> None:
        async with these.run(program) as child:
            await line_of(child)
            on.set()
            await asyncio.sleep(NEVER)

    async with Children(1, report=silent, grace_seconds=SOON) as these:
        worker = asyncio.create_task(work())
        await on.wait()
        for _ in range(3):
            worker.cancel()
            await settle()
            assert not worker.done()
        await asyncio.wait((worker,))
        assert worker.cancelled()
        assert children_of_this_process() == set()


async def test_a_program_may_clean_up_before_it_ends(tmp_path: Path, mark: str) -> None:
    text = 'touch "$F"; trap \'rm -f "$F"\' EXIT; (test -f "$F" && echo made; exec sleep 1000); :'
    program = script(text, mark, variables={"F": str(tmp_path / "made")})
    async with Children(1, report=silent, grace_seconds=ENOUGH) as these:
        async with these.run(program) as child:
            assert await line_of(child) == b"made\n"
        assert not (tmp_path / "made").exists()
        await all_gone(mark)


async def test_what_a_program_started_may_clean_up_too(tmp_path: Path, mark: str) -> None:
    # Bash ends at once, and what it has started goes on for a moment.
    text = "(trap 'sleep 0.2; touch \"$F\"; exit' TERM; echo on; while :; do sleep 0.01; done); :"
    async with Children(1, report=silent, grace_seconds=ENOUGH) as these:
        async with these.run(script(text, mark, variables={"F": str(tmp_path / "cleaned")})) as child:
            await line_of(child)
        assert (tmp_path / "cleaned").exists()
        await all_gone(mark)


@pytest.mark.parametrize(
    "text",
    [
        "trap '' TERM; echo on; sleep 1000; sleep 1000",
        "(trap '' TERM; echo on; sleep 1000; sleep 1000); :",
        "trap 'echo no' TERM; echo on; while :; do sleep 1000; done",
    ],
)
async def test_a_program_that_does_not_stop_is_killed(mark: str, text: str) -> None:
    async with Children(1, report=silent, grace_seconds=SOON) as these:
        async with these.run(script(text, mark)) as child:
            await line_of(child)
        assert children_of_this_process() == set()
        await all_gone(mark)


async def test_what_outlives_a_program_that_ended_well_is_killed(children: Children, mark: str) -> None:
    text = "(trap '' TERM; sleep 1000) < /dev/null > /dev/null 2>&1 & echo done"
    async with children.run(script(text, mark)) as child:
        assert await read_all(child) == b"done\n"
        await child.finish()
    await all_gone(mark)


async def test_what_outlives_a_program_that_failed_is_killed(children: Children, mark: str) -> None:
    with pytest.raises(CommandFailedError, match="exit status 3"):
        await output_of(children, script("(trap '' TERM; sleep 1000) > /dev/null 2>&1 & exit 3", mark))
    await all_gone(mark)


@pytest.mark.parametrize("text", ["trap '' TERM; ", "trap 'sleep 0.01' TERM; ", ""])
async def test_a_stopped_writer_never_takes_what_it_got_for_the_whole(tmp_path: Path, text: str) -> None:
    text += 'set -o errexit; echo on; cat > "$F.part"; mv "$F.part" "$F"'
    program = script(text, variables={"F": str(tmp_path / "file")})
    async with Children(1, report=silent, grace_seconds=SOON) as these, these.run(program) as child:
        await line_of(child)
        await child.write(b"half of it")
        await settle_until((tmp_path / "file.part").exists)
    assert not (tmp_path / "file").exists()


async def test_leaving_the_block_of_all_children_ends_those_that_live(mark: str) -> None:
    on = asyncio.Event()

    async def work() -> None:
        async with these.run(script(ENDLESS, mark)) as child:
            await line_of(child)
            on.set()
            await asyncio.sleep(NEVER)

    async with Children(2, report=silent) as these:
        worker = asyncio.create_task(work())
        await on.wait()
    await all_gone(mark)
    assert children_of_this_process() == set()
    worker.cancel()
    await asyncio.wait((worker,))
    assert worker.cancelled()


# The end of the interpreter


BEGIN = """
import asyncio, os, sys, threading
from restore.flow.children import Children, Program
from restore.report.events import silent

async def begin():
    text = "trap '' TERM; echo on; sleep 1000 | sleep 1000; :"
    program = Program("x", "y", ("bash", "-c", text), os.environ, 1000)
    block = Children(1, report=silent).run(program)
    child = await block.__aenter__()
    await child.read_into(memoryview(bytearray(10)))
    print("on", flush=True)
    return block

loop = asyncio.new_event_loop()
block = loop.run_until_complete(begin())
"""


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 0),
        ("sys.exit(5)", 5),
        ("raise ValueError('a crash of the loop')", 1),
        ("loop.call_soon(sys.exit, 6); loop.run_forever()", 6),
        ("loop.close()", 0),
    ],
)
def test_no_program_outlives_the_interpreter(mark: str, text: str, status: int) -> None:
    done = run_python(BEGIN + text, mark)
    assert (done.returncode, done.stdout) == (status, "on\n"), done.stderr
    wait_until_gone(mark)


def test_a_forked_process_leaves_its_parent_s_programs_alone(mark: str) -> None:
    text = """
number = os.fork()
if not number:
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == 7
async def is_running():
    from restore.flow import process_group
    (group,) = process_group._running
    assert group.status is None
loop.run_until_complete(is_running())
"""
    done = run_python(BEGIN + text, mark)
    assert (done.returncode, done.stdout) == (0, "on\n"), done.stderr
    wait_until_gone(mark)


def run_python(text: str, mark: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, MARK: mark},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_until_gone(mark: str) -> None:
    while marked(mark):
        time.sleep(0.01)
