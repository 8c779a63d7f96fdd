"""Reading chunks and small files within the budgets of a run."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restore.errors import CorruptAnswerError
from restore.fetch import Fetcher, Hold
from restore.flow.slots import Slots
from restore.limits import limits_of_process
from restore.report.events import Event, Retried, Worked, silent
from restore.report.stopwatch import Stopwatch
from restore.storage.gzipped import Gzipped
from restore.storage.local import LocalFs
from restore.wire.records import FramedRecords

PACKED = gzip.compress(len(b"record").to_bytes(4, "big") + b"record")
DAMAGED = PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:]
"""Its checksum is another one."""


def size_of(records: FramedRecords) -> int:
    """What decoding them takes: as much as they are."""
    return records.size


async def records_of(fetcher: Fetcher, hold: Hold, watch: Stopwatch) -> AsyncIterator[FramedRecords]:
    """The records of the file "chunk"."""
    async with fetcher.records("chunk", hold, watch, expected=1, decoded_bytes=size_of) as records:
        yield records


async def test_what_came_damaged_is_fetched_again_and_told(tmp_path: Path) -> None:
    told: list[Event] = []

    def repair(event: Event) -> None:
        told.append(event)
        assert isinstance(event, Retried)
        (tmp_path / event.file).write_bytes(PACKED)

    for name in ("chunk", "proof"):
        (tmp_path / name).write_bytes(DAMAGED)
    storage = Gzipped(LocalFs(tmp_path), packs=True)
    async with Fetcher(storage, limits_of_process(concurrency=1), slots=Slots(1, report=repair)) as fetcher:
        with fetcher.holding() as hold:
            watch = Stopwatch(told.append, "phase")
            async with fetcher.records("chunk", hold, watch, expected=1, decoded_bytes=size_of) as records:
                found = records.cut(), records.size
            proof = await fetcher.read_small("proof", hold)
            hold.release()
    assert (*found, proof) == ([b"record"], 10, b"\0\0\0\6record")
    assert {event.stage for event in told if isinstance(event, Worked)} == {"budget", "unpack", "fetch"}
    assert [(event.file, event.attempt) for event in told if isinstance(event, Retried)] == [
        ("chunk", 2),
        ("proof", 2),
    ]


async def test_what_stays_damaged_is_refused_and_nothing_of_it_is_held(tmp_path: Path) -> None:
    (tmp_path / "chunk").write_bytes(DAMAGED)
    watch = Stopwatch(silent, "phase")
    async with Fetcher(Gzipped(LocalFs(tmp_path), packs=True), limits_of_process(concurrency=1)) as fetcher:
        with pytest.raises(CorruptAnswerError), fetcher.holding() as hold:
            await anext(aiter(records_of(fetcher, hold, watch)))
        used = [budget.statistics().used for budget in (fetcher.memory, fetcher.descriptors)]
    assert used == [0, 0]
