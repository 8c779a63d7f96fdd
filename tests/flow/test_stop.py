"""The way in and out: results, real signals in real processes, on both loops."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest
import uvloop

from restore.errors import InterruptedRunError, ProofError
from restore.flow.stop import STOP_SIGNALS, run

LOOPS = ("asyncio", "uvloop")
BOTH_LOOPS = pytest.mark.parametrize("loop", LOOPS)
BOTH_SIGNALS = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name
)

PRELUDE = """
import asyncio, os, signal, sys
if {without_uvloop}:
    sys.modules["uvloop"] = None
from restore.errors import RestoreError
from restore.flow.stop import run
from restore.flow.stream import OrderedStream
from restore.flow.threads import Workers

def say(*words):
    print(*words, flush=True)
"""

EPILOGUE = """
try:
    say("returned", run(main))
except RestoreError as error:
    say(type(error).__name__, "-", error)
    sys.exit(error.exit_code)
finally:
    default = (signal.default_int_handler, signal.SIG_DFL)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == default
    assert signal.set_wakeup_fd(-1) == -1
"""


@contextmanager
def child(loop: str, main: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """A process that runs `main` under `run`, and what it says."""
    script = PRELUDE.format(without_uvloop=loop == "asyncio") + textwrap.dedent(main) + EPILOGUE
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout
        finally:
            process.kill()


def heard(said: IO[str], expected: str) -> None:
    assert said.readline().strip() == expected


@BOTH_LOOPS
@BOTH_SIGNALS
def test_first_signal_unwinds_everything_and_ends_with_75(loop: str, number: signal.Signals) -> None:
    main = """
    live = 0

    async def work(item):
        global live
        live += 1
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            live -= 1

    async def main():
        say("on", type(asyncio.get_running_loop()).__module__.split(".")[0])
        try:
            async with OrderedStream(range(100), work, concurrency=8) as results:
                await asyncio.sleep(0); await asyncio.sleep(0)
                say("running", live)
                async for _ in results:
                    pass
        finally:
            say("unwound", live)
    """
    with child(loop, main) as (process, said):
        heard(said, f"on {loop}")
        heard(said, "running 8")
        process.send_signal(number)
        heard(said, "unwound 0")
        heard(said, f"InterruptedRunError - stopped by a signal: found {number.name}")
        assert process.wait() == 75


@BOTH_LOOPS
def test_second_signal_ends_a_clean_up_that_hangs_at_once_with_130(loop: str) -> None:
    main = """
    async def main():
        try:
            say("running")
            await asyncio.Event().wait()
        finally:
            try:
                say("unwinding")
                await asyncio.Event().wait()
            finally:
                say("must not be said")
    """
    with child(loop, main) as (process, said):
        heard(said, "running")
        process.send_signal(signal.SIGTERM)
        heard(said, "unwinding")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert said.read() == ""


@BOTH_LOOPS
def test_second_signal_ends_a_process_whose_loop_is_stuck(loop: str) -> None:
    main = """
    def note_first(number, frame):
        handle(number, frame)
        say("noted")

    async def main():
        global handle
        handle = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, note_first)
        say("stuck")
        while True:
            pass
    """
    with child(loop, main) as (process, said):
        heard(said, "stuck")
        process.send_signal(signal.SIGTERM)
        heard(said, "noted")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert said.read() == ""


@BOTH_LOOPS
def test_worker_thread_finishes_its_step_before_the_run_ends(loop: str) -> None:
    main = """
    import threading
    go_on = threading.Event()

    def stop_and_go_on(number, frame):
        handle(number, frame)
        say("told to stop")
        go_on.set()

    def step():
        say("writing")
        go_on.wait()
        say("durable")

    async def main():
        global handle
        handle = signal.signal(signal.SIGINT, stop_and_go_on)
        async with Workers(1) as workers:
            try:
                await workers.run(step)
            finally:
                say("caller unwinds")
    """
    with child(loop, main) as (process, said):
        heard(said, "writing")
        process.send_signal(signal.SIGINT)
        heard(said, "told to stop")
        heard(said, "durable")
        heard(said, "caller unwinds")
        heard(said, "InterruptedRunError - stopped by a signal: found SIGINT")
        assert process.wait() == 75


@BOTH_LOOPS
def test_signal_that_reaches_another_thread_wakes_the_loop(loop: str) -> None:
    main = """
    import threading
    noticed = threading.Event()

    def notice(number, frame):
        handle(number, frame)
        noticed.set()

    def function_of_main_thread():
        return sys._current_frames()[threading.main_thread().ident].f_code.co_name

    def step():
        while function_of_main_thread() not in ("select", "run"):  # the poll of asyncio, or of uvloop
            pass
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        noticed.wait()

    async def main():
        global handle
        handle = signal.signal(signal.SIGTERM, notice)
        async with Workers(1) as workers:
            await workers.run(step)
    """
    with child(loop, main) as (process, said):
        heard(said, "InterruptedRunError - stopped by a signal: found SIGTERM")
        assert process.wait() == 75


def test_signal_before_the_main_task_exists_stops_the_run_before_it_begins() -> None:
    main = """
    import types

    def new_event_loop():
        os.kill(os.getpid(), signal.SIGTERM)  # the handlers are in place, the task is not
        return asyncio.new_event_loop()

    sys.modules["uvloop"] = types.SimpleNamespace(new_event_loop=new_event_loop)

    async def main():
        say("must not be said")
    """
    with child("asyncio", main) as (process, said):
        heard(said, "InterruptedRunError - stopped by a signal: found SIGTERM")
        assert process.wait() == 75


@BOTH_LOOPS
def test_signal_while_the_loop_closes_changes_nothing(loop: str) -> None:
    main = """
    async def straggler():
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    async def main():
        task = asyncio.create_task(straggler())
        await asyncio.sleep(0)
        return "result"
    """
    with child(loop, main) as (process, said):
        heard(said, "returned result")
        assert process.wait() == 0


def test_signal_after_the_loop_is_closed_changes_nothing() -> None:
    main = """
    import types

    class Loop(asyncio.SelectorEventLoop):
        def close(self):
            super().close()
            os.kill(os.getpid(), signal.SIGTERM)

    sys.modules["uvloop"] = types.SimpleNamespace(new_event_loop=Loop)

    async def main():
        return "result"
    """
    with child("asyncio", main) as (process, said):
        heard(said, "returned result")
        assert process.wait() == 0


@BOTH_LOOPS
def test_main_that_ends_in_spite_of_the_signal_ends_so(loop: str) -> None:
    main = """
    from restore.errors import DiskFullError

    async def main():
        try:
            say("running")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise DiskFullError("no space left")
    """
    with child(loop, main) as (process, said):
        heard(said, "running")
        process.send_signal(signal.SIGTERM)
        heard(said, "DiskFullError - no space left")
        assert process.wait() == 40


# From here on in this process: what needs no exit code.


@pytest.fixture(params=LOOPS)
def loop_class(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type:
    """The loop class that `run` has to use, with uvloop there or absent."""
    if request.param == "uvloop":
        return uvloop.Loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    return asyncio.SelectorEventLoop


def test_result_and_error_of_main_come_back(loop_class: type) -> None:
    async def kind_of_loop() -> type:
        return type(asyncio.get_running_loop())

    async def fail() -> None:
        raise ProofError("range proof does not hold")

    assert issubclass(run(kind_of_loop), loop_class)
    with pytest.raises(ProofError):
        run(fail)


def test_cancellation_without_a_signal_stays_one(loop_class: type) -> None:
    async def leak() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(leak)


def test_the_user_is_told_at_the_signal_before_anything_unwinds(loop_class: type) -> None:
    heard_of: list[str] = []

    async def stop_myself() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        finally:
            heard_of.append("unwinding")

    with pytest.raises(InterruptedRunError):
        run(stop_myself, stopping=lambda: heard_of.append("stopping"))
    assert heard_of == ["stopping", "unwinding"]


def test_nobody_is_told_of_a_stop_that_is_none(loop_class: type) -> None:
    heard_of: list[str] = []

    async def work() -> str:
        return "done"

    assert run(work, stopping=lambda: heard_of.append("stopping")) == "done"
    assert heard_of == []


def test_handlers_found_are_put_back_whatever_happens(loop_class: type) -> None:
    def theirs(number: int, frame: object) -> None:
        """Stands for what an embedding program installed."""

    async def stop_myself() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    before = {number: signal.signal(number, theirs) for number in STOP_SIGNALS}
    try:
        with pytest.raises(InterruptedRunError) as caught:
            run(stop_myself)
        assert caught.value.found == "SIGINT"
        assert {signal.getsignal(number) for number in STOP_SIGNALS} == {theirs}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_terminal_stops_what_was_not_started_to_survive_it(loop_class: type, ignored: bool) -> None:
    async def close_the_terminal() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        if not ignored:
            await asyncio.Event().wait()
        return "survived"

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        if ignored:
            assert run(close_the_terminal) == "survived"
        else:
            with pytest.raises(InterruptedRunError, match="SIGHUP"):
                run(close_the_terminal)
    finally:
        signal.signal(signal.SIGHUP, before)
