"""Reading through a command that fails in the midst, is slow, or says something else the second time."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from restore.errors import CommandFailedError, CorruptAnswerError, StalledError
from restore.flow.rate import Rate
from restore.report.events import Received, Retried, Stalled
from restore.storage.base import PIECE_BYTES
from restore.storage.repeating import FIRST_PAUSE, RUNS, Repeating
from tests.contracts.storage import content, get
from tests.flow.processes import children_of_this_process
from tests.storage.commands import Workshop, workshop

__all__ = ["workshop"]

FILE = "abc.0000/one.chunk"
DATA = content(2 * PIECE_BYTES + 1000)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Holds `DATA`."""
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


def by_runs(folder: Path, *texts: str) -> dict[str, str]:
    """A reader that does something else each time it runs; in the end the last again and again."""
    cases = "\n".join(f"{number}) {text} ;;" for number, text in enumerate(texts[:-1]))
    text = f"""
        cd '{folder}'
        RUN=$(ls runs | wc -l)
        touch runs/$RUN
        case $RUN in
        {cases}
        *) {texts[-1]} ;;
        esac
    """
    (folder / "runs").mkdir()
    return {"open_for_read": text}


def received(workshop: Workshop) -> int:
    return sum(event.size for event in workshop.events if isinstance(event, Received))


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES])
async def test_a_command_that_fails_in_the_midst_is_run_again_and_skipped_so_far(
    workshop: Workshop, data: Path, size: int
) -> None:
    storage = workshop.storage(by_runs(data.parent, f"head -c {size} data; exit 1", "cat data"))
    assert await get(storage, FILE) == DATA
    assert received(workshop) == len(DATA) + size
    (retried,) = [event for event in workshop.events if isinstance(event, Retried)]
    assert (retried.file, retried.reason, retried.attempt) == (FILE, "command open_for_read failed", 2)


async def test_a_command_that_fails_after_the_last_byte_has_failed(workshop: Workshop, data: Path) -> None:
    storage = workshop.storage(by_runs(data.parent, "cat data; exit 1", "cat data"))
    assert await get(storage, FILE) == DATA
    assert received(workshop) == 2 * len(DATA)
    failing = workshop.storage({"open_for_read": f"cat '{data}'; echo why >&2; exit 4"})
    with pytest.raises(CommandFailedError) as failure:
        await get(failing, FILE)
    assert failure.value.found == "exit status 4, on stderr: why"


async def test_a_packed_file_that_is_cut_off_or_damaged_has_failed(workshop: Workshop, data: Path) -> None:
    for spoiling in ("head -c 1000000", "sed s/A/B/g", "head -c 5"):
        storage = workshop.storage({"open_for_read": f"gzip -c '{data}' | {spoiling} | gzip -cd"})
        with pytest.raises(CommandFailedError):
            await get(storage, FILE)
    trailing = workshop.storage({"open_for_read": f"(gzip -c '{data}'; echo garbage) | gzip -cd"})
    with pytest.raises(CommandFailedError):
        await get(trailing, FILE)
    joined = workshop.storage({"open_for_read": f"(gzip -c '{data}'; gzip -c '{data}') | gzip -cd"})
    assert await get(joined, FILE) == DATA + DATA


async def test_a_command_that_fails_each_time_has_failed(workshop: Workshop, data: Path) -> None:
    storage = workshop.storage(by_runs(data.parent, "head -c 10 data; false", "head -c 20 data; false"))
    with pytest.raises(CommandFailedError):
        await get(storage, FILE)
    assert len(list((data.parent / "runs").iterdir())) == RUNS


@pytest.mark.parametrize(
    ("second", "found"),
    [
        ("tail -c +2 data", "other ones"),
        ("head -c 999 data", "999 bytes"),
        (":", "0 bytes"),
    ],
)
async def test_a_command_that_says_something_else_the_second_time_is_not_believed(
    workshop: Workshop, data: Path, second: str, found: str
) -> None:
    storage = workshop.storage(by_runs(data.parent, "head -c 1000 data; exit 1", second))
    async with storage.open_for_read(FILE) as reader:
        with pytest.raises(CorruptAnswerError) as refusal:
            await reader.read_piece()
    assert (refusal.value.file, refusal.value.expected, refusal.value.found) == (
        FILE,
        "the same first 1000 bytes",
        found,
    )


async def test_of_a_second_run_that_fails_while_it_is_skipped_there_is_a_third(
    workshop: Workshop, data: Path
) -> None:
    storage = workshop.storage(
        by_runs(data.parent, "head -c 1000 data; exit 1", "head -c 500 data; exit 1", "cat data")
    )
    assert await get(storage, FILE) == DATA
    assert received(workshop) == 1000 + 500 + len(DATA)


async def test_what_came_before_a_stall_is_kept(workshop: Workshop, data: Path) -> None:
    storage = workshop.storage(
        by_runs(data.parent, "head -c 1000 data; sleep 1000", "cat data"), idle_seconds=1.0
    )
    assert await get(storage, FILE) == DATA
    assert Stalled(FILE, 1.0) in workshop.events
    assert received(workshop) == len(DATA) + 1000


async def test_a_command_killed_from_outside_is_run_again(workshop: Workshop, data: Path) -> None:
    storage = workshop.storage(
        by_runs(data.parent, "head -c 1048576 data; echo $$ > pid; exec sleep 1000", "cat data")
    )
    async with storage.open_for_read(FILE) as reader:
        pieces = [bytes(await reader.read_piece())]
        (child,) = children_of_this_process()
        os.kill(child, signal.SIGKILL)
        while piece := await reader.read_piece():
            pieces.append(bytes(piece))
    assert b"".join(pieces) == DATA


async def test_a_piece_is_full_however_slowly_it_comes(workshop: Workshop, data: Path) -> None:
    slowly = f"dd if='{data}' bs=50000 status=none"
    async with workshop.storage({"open_for_read": slowly}).open_for_read(FILE) as reader:
        sizes = [len(await reader.read_piece()) for _ in range(4)]
    assert sizes == [PIECE_BYTES, PIECE_BYTES, 1000, 0]


async def test_the_status_of_a_reader_that_is_left_early_is_collected(workshop: Workshop, data: Path) -> None:
    for text in (f"cat '{data}'; exit 3", f"cat '{data}' | gzip -c", "yes"):
        async with workshop.storage({"open_for_read": text}).open_for_read(FILE) as reader:
            await reader.read_piece()
        assert children_of_this_process() == set()
    assert workshop.pauses == []


async def test_all_that_is_received_is_paid_for_with_time(workshop: Workshop, data: Path) -> None:
    time = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal time
        time += seconds
        await asyncio.sleep(0)

    rate = Rate(PIECE_BYTES, clock=lambda: time, sleep=sleep)
    storage = workshop.storage(by_runs(data.parent, "head -c 524288 data; exit 1", "cat data"), rate=rate)
    assert await get(storage, FILE) == DATA
    seconds = (len(DATA) + 524288) / PIECE_BYTES
    assert seconds - 0.5 < time <= seconds


async def test_while_a_limit_holds_us_back_no_command_stalls(workshop: Workshop, data: Path) -> None:
    held_back = 0

    async def hold_back(_seconds: float) -> None:
        nonlocal held_back
        held_back += 1
        rate.change(None)
        await asyncio.sleep(2 * idle_seconds)

    idle_seconds = 0.5
    rate = Rate(1.0, sleep=hold_back)
    storage = workshop.storage({"open_for_read": f"cat '{data}'"}, idle_seconds=idle_seconds, rate=rate)
    assert await get(storage, FILE) == DATA
    assert held_back == 1
    assert not [event for event in workshop.events if isinstance(event, Stalled)]


# How often, and after which pauses


@pytest.mark.parametrize("error", [CommandFailedError("x"), StalledError("x")])
async def test_runs_are_counted_and_pauses_grow(error: CommandFailedError | StalledError) -> None:
    pauses: list[float] = []
    events: list[object] = []
    runs = 0

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def fail() -> None:
        nonlocal runs
        runs += 1
        raise error

    for draw in (0.0, 1.0):
        repeating = Repeating(events.append, sleep=pause, jitter=lambda: draw)  # noqa: B023 - used at once
        with pytest.raises(type(error)) as caught:
            await repeating.run(fail, file="some/file")
        assert caught.value is error
    assert runs == 2 * RUNS
    assert pauses == [FIRST_PAUSE / 2, FIRST_PAUSE, FIRST_PAUSE, 2 * FIRST_PAUSE]
    assert events == [
        Retried("some/file", "x", attempt=attempt, wait=wait)
        for attempt, wait in zip((2, 3, 2, 3), pauses, strict=True)
    ]


async def test_what_a_second_run_cannot_mend_is_told_at_once() -> None:
    async def fail() -> None:
        raise CorruptAnswerError("x")

    async def pause(_seconds: float) -> None:
        raise AssertionError

    with pytest.raises(CorruptAnswerError):
        await Repeating(lambda _event: None, sleep=pause).run(fail, file="some/file")
