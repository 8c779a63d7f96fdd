"""Reading chunks and small files within the budgets of a run."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from restore.errors import CorruptAnswerError, FormatError, ManifestError, RestoreError
from restore.fetch import Fetcher, Hold
from restore.flow.slots import Slots
from restore.limits import limits_of_process
from restore.report.events import Event, Retried, Worked, silent
from restore.report.stopwatch import Stopwatch
from restore.storage.base import PIECE_BYTES
from restore.storage.buffers import Buffers
from restore.storage.gzipped import Gzipped
from restore.storage.local import LocalFs
from restore.wire.records import FramedRecords

RECORD = len(b"record").to_bytes(4, "big") + b"record"
PACKED = gzip.compress(RECORD)
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


async def test_a_file_that_unpacks_to_more_than_any_chunk_is_not_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 2 * PIECE_BYTES
    monkeypatch.setattr("restore.fetch.MAX_CHUNK_BYTES", most)
    bomb = gzip.compress(bytes(most))
    (tmp_path / "chunk").write_bytes(8 * bomb)  # empty records, as many as are announced
    limits = limits_of_process(concurrency=1, memory_bytes=1)
    async with Fetcher(Gzipped(LocalFs(tmp_path), packs=True), limits) as fetcher:
        with pytest.raises(FormatError, match="too long for a chunk") as caught, fetcher.holding() as hold:
            async with fetcher.records(
                "chunk", hold, Stopwatch(silent, "phase"), expected=1 << 62, decoded_bytes=size_of
            ):
                pass
        memory = fetcher.memory.statistics()
    assert caught.value.file == "chunk"
    assert memory.used == 0
    assert memory.peak < most + 3 * PIECE_BYTES


@pytest.mark.parametrize(
    ("change", "error"),
    [(b"", ManifestError), (RECORD[:-1], FormatError), (RECORD + RECORD, ManifestError)],
    ids=["emptied", "cut", "grown"],
)
async def test_a_file_that_changes_between_being_measured_and_being_read_is_refused(
    tmp_path: Path, change: bytes, error: type[RestoreError]
) -> None:
    (tmp_path / "chunk").write_bytes(RECORD)

    class Changing(Buffers):
        """Buffers; the first one is lent after the file was measured, and before it is read."""

        def lend(self, size: int) -> memoryview:
            (tmp_path / "chunk").write_bytes(change)
            return super().lend(size)

    async with Fetcher(LocalFs(tmp_path, buffers=Changing()), limits_of_process(concurrency=1)) as fetcher:
        with pytest.raises(error) as caught, fetcher.holding() as hold:
            await anext(aiter(records_of(fetcher, hold, Stopwatch(silent, "phase"))))
        memory = fetcher.memory.statistics()
    assert type(caught.value) is error
    assert (caught.value.file, memory.used) == ("chunk", 0)
