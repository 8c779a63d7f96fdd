"""Child processes: what goes in and out, how they fail, and how many there are."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from restore.errors import BoundExceededError, CommandFailedError, ResourceError, StalledError, UsageError
from restore.flow import children as module
from restore.flow.children import TAIL_BYTES, Children, Program
from restore.flow.pipes import readable
from restore.report.events import Event, Live, Stalled, silent
from tests.conftest import open_descriptors
from tests.flow.processes import all_gone, marked
from tests.flow.programs import IDLE, NEVER, SOON, line_of, output_of, read_all, script
from tests.flow.steps import settle

pytestmark = pytest.mark.usefixtures("nothing_of_children_left")


# What goes in and out


async def test_stdout_is_read_to_its_end(children: Children) -> None:
    assert await output_of(children, script("echo one; echo two")) == b"one\ntwo\n"
    assert await output_of(children, script(":")) == b""
    assert await output_of(children, script("head -c 3000000 /dev/zero")) == bytes(3_000_000)


async def test_stdin_is_written_whole(children: Children, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    program = script('exec >&-; cat > "$F"', variables={"F": str(tmp_path / "file")})
    async with children.run(program) as child:
        assert await read_all(child) == b""
        await child.write(data[:1])
        await child.write(b"")
        await child.write(data[1:])
        await child.finish()
    assert (tmp_path / "file").read_bytes() == data


async def test_stdin_is_open_as_long_as_the_program_runs(children: Children) -> None:
    async with children.run(script("read -t 0 < <(:) ; read -r line; echo got $line")) as child:
        await settle()
        await child.write(b"it\n")
        assert await read_all(child) == b"got it\n"
        await child.finish()


async def test_the_environment_is_the_given_one(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "x")
    program = script('echo "${OURS-none} $GIVEN"', variables={"GIVEN": "a b\n"})
    assert await output_of(children, program) == b"none a b\n\n"


async def test_a_program_has_a_session_of_its_own(children: Children) -> None:
    async with children.run(script("echo $$; read")) as child:
        number = int(await line_of(child))
        assert os.getsid(number) == os.getpgid(number) == number != os.getsid(0)


async def test_a_program_costs_four_descriptors(children: Children) -> None:
    before = open_descriptors()
    async with children.run(script("echo on; read")) as child:
        await line_of(child)
        assert open_descriptors() == before + 4
    assert open_descriptors() == before


def highest_descriptor() -> int:
    """The number of the highest open descriptor."""
    return max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())


async def run_at_once(children: Children, programs: list[Program]) -> None:
    """Starts all of them, and ends them."""
    async with AsyncExitStack() as stack:
        for program in programs:
            await stack.enter_async_context(children.run(program))


# How a program fails


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("exit 3", "exit status 3, nothing on stderr"),
        ("echo why >&2; exit 1", "exit status 1, on stderr: why"),
        ("kill -KILL $$", "signal 9, nothing on stderr"),
        ("printf 'a\\nb\\033[31m\\377 \\n' >&2; kill -TERM $$", "signal 15, on stderr: a\\nb\\x1b[31m\\xff"),
    ],
)
async def test_a_failure_tells_status_and_last_words(children: Children, text: str, found: str) -> None:
    with pytest.raises(CommandFailedError) as failure:
        await output_of(children, script(text))
    assert failure.value.message == "command test failed"
    assert (failure.value.file, failure.value.found) == ("some/file", found)


async def test_of_stderr_the_end_is_kept_and_none_of_it_stops_the_program(children: Children) -> None:
    text = "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo done; echo end >&2; exit 1"
    async with children.run(script(text)) as child:
        assert await read_all(child) == b"done\n"
        with pytest.raises(CommandFailedError) as failure:
            await child.finish()
    assert failure.value.found == f"exit status 1, on stderr: ...{'x' * (TAIL_BYTES - 4)}end"
    assert await output_of(children, script("head -c 3000000 /dev/zero >&2; echo done")) == b"done\n"


async def test_all_of_a_short_stderr_is_shown(children: Children) -> None:
    with pytest.raises(CommandFailedError) as failure:
        await output_of(children, script(f"printf '%0{TAIL_BYTES}d' 0 >&2; exit 1"))
    assert failure.value.found == f"exit status 1, on stderr: {'0' * TAIL_BYTES}"


@pytest.mark.parametrize(("status", "found"), [(5, "exit status 5"), (0, "stdin closed early")])
async def test_a_program_that_stops_reading_has_failed(children: Children, status: int, found: str) -> None:
    async with children.run(script(f"head -c 10 > /dev/null; exit {status}")) as child:
        with pytest.raises(CommandFailedError) as failure:
            await child.write(bytes(3_000_000))
    assert failure.value.found == f"{found}, nothing on stderr"


async def test_a_program_that_reads_no_more_but_runs_on_has_failed(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", SOON)
    async with children.run(script("exec <&-; sleep 1000")) as child:
        with pytest.raises(CommandFailedError) as failure:
            await child.write(bytes(3_000_000))
    assert failure.value.found == "stdin closed early, nothing on stderr"


async def test_a_program_killed_from_outside_has_failed(children: Children, mark: str) -> None:
    async with children.run(script("echo $$; sleep 1000; :", mark)) as child:
        os.kill(int(await line_of(child)), signal.SIGKILL)
        with pytest.raises(CommandFailedError) as failure:
            # Of its sleeping child, which has stdout open, nobody takes notice before the end.
            await child.finish()
    assert failure.value.found == "signal 9, nothing on stderr"
    await all_gone(mark)


async def test_a_status_that_somebody_else_took_is_no_success(children: Children) -> None:
    found = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(CommandFailedError, match="unknown exit status"):
            await output_of(children, script("head -c 1"), given=b"x")
    finally:
        signal.signal(signal.SIGCHLD, found)


async def test_a_program_that_cannot_be_started_is_named(children: Children) -> None:
    for program in ("no-such-program", "/dev/null"):
        with pytest.raises(UsageError) as refusal:
            async with children.run(Program("x", "y", (program,), dict(os.environ), NEVER)):
                pass
        assert refusal.value.file == program
    with pytest.raises(UsageError, match="too long"):
        await output_of(children, script("x" * 200_000))
    assert await output_of(children, script("echo fine")) == b"fine\n"


@pytest.mark.parametrize("left", range(1, 9))
async def test_without_descriptors_no_program_is_started(children: Children, mark: str, left: int) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    before, highest = open_descriptors(), highest_descriptor()
    gaps = [os.open(os.devnull, os.O_RDONLY) for _ in range(highest + 1 - before)]  # of what was inherited
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + left, limits[1]))
    try:
        with pytest.raises(ResourceError) as refusal:
            await run_at_once(children, [script("echo on; read", mark)] * 4)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in gaps:
            os.close(descriptor)
    assert refusal.value.exit_code == 40
    assert open_descriptors() == before
    await all_gone(mark)


async def test_a_program_that_cannot_be_watched_is_not_left_running(
    children: Children, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_number: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    before = open_descriptors()
    with pytest.raises(ResourceError):
        await output_of(children, script("sleep 1000; :", mark))
    assert open_descriptors() == before
    await all_gone(mark)


async def test_a_process_that_ignores_the_ends_of_its_children_is_refused() -> None:
    found = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(UsageError, match="SIGCHLD is ignored"):
            async with Children(1, report=silent):
                pass
    finally:
        signal.signal(signal.SIGCHLD, found)


async def test_a_system_without_the_means_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_number: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(UsageError, match="Function not implemented"):
        async with Children(1, report=lambda _event: None):
            pass
    monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(UsageError, match="pidfd_open"):
        async with Children(1, report=lambda _event: None):
            pass


# No progress


@pytest.mark.parametrize(
    "text",
    [
        "echo words >&2; exec sleep 1000",  # never closes stdout
        "echo words >&2; sleep 1000 & exit",  # what it left behind does not
        "echo words >&2; while :; do echo x >&2; sleep 0.01; done 2> /dev/null",  # busy, but not for us
    ],
)
async def test_a_program_that_brings_nothing_is_given_up(
    children: Children, events: list[Event], mark: str, text: str
) -> None:
    with pytest.raises(StalledError) as failure:
        await output_of(children, script(text, mark, idle_seconds=IDLE))
    assert failure.value.message == "command test made no progress"
    assert (failure.value.file, failure.value.found) == (
        "some/file",
        "0.3 s without a byte, on stderr: words",
    )
    assert Stalled("some/file", IDLE) in events
    await all_gone(mark)


async def test_a_program_that_takes_nothing_is_given_up(children: Children) -> None:
    async with children.run(script("exec sleep 1000", idle_seconds=SOON)) as child:
        with pytest.raises(StalledError):
            await child.write(bytes(3_000_000))


async def test_a_program_that_does_not_end_is_given_up(children: Children) -> None:
    async with children.run(script("exec >&-; cat; sleep 1000", idle_seconds=SOON)) as child:
        assert await read_all(child) == b""
        with pytest.raises(StalledError):
            await child.finish()


async def test_only_time_without_progress_counts(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    async def recorded(descriptor: int, *, seconds: float | None = None) -> bool:
        waits.append(seconds)
        return await readable(descriptor, seconds=seconds)

    monkeypatch.setattr(module, "readable", recorded)
    async with children.run(script("cat", idle_seconds=NEVER)) as child:
        for _ in range(5):
            waiting = asyncio.create_task(line_of(child))
            await settle()
            await child.write(b"x")
            assert await waiting == b"x"
    assert len(waits) >= 5
    assert set(waits) == {NEVER}


# How many


async def test_no_more_children_live_than_allowed(events: list[Event]) -> None:
    begun: list[int] = []
    ends = [asyncio.Event() for _ in range(6)]

    async def work(number: int) -> None:
        async with these.run(script("read")):
            begun.append(number)
            await ends[number].wait()

    async with Children(2, report=events.append) as these, asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(number)) for number in range(6)]
        await settle()
        assert begun == [0, 1]
        tasks[2].cancel()  # while it waits: it leaves the queue
        ends[1].set()
        await asyncio.wait((tasks[1],))
        await settle()
        assert begun == [0, 1, 3]
        ends[0].set()
        await asyncio.wait((tasks[0],))
        await settle()
        assert begun == [0, 1, 3, 4]
        for end in ends:
            end.set()
    assert begun == [0, 1, 3, 4, 5]
    counts = [event.count for event in events if isinstance(event, Live)]
    assert (max(counts), counts[-1]) == (2, 0)


async def test_a_program_that_cannot_be_started_takes_no_place() -> None:
    async with Children(1, report=silent) as these:
        for _ in range(2):
            with pytest.raises(UsageError):
                async with these.run(Program("x", "y", ("no-such-program",), {}, NEVER)):
                    pass
        assert await output_of(these, script("echo fine")) == b"fine\n"


async def test_a_report_that_raises_leaves_nothing_running(mark: str) -> None:
    def refuse(_event: Event) -> None:
        raise BoundExceededError("too many")

    async with Children(1, report=refuse) as these:
        with pytest.raises(BoundExceededError):
            await output_of(these, script("sleep 1000; :", mark))
    assert marked(mark) == set()


@pytest.mark.parametrize("bound", [0, -1])
def test_an_impossible_bound_is_refused(bound: int) -> None:
    with pytest.raises(UsageError):
        Children(bound, report=silent)
