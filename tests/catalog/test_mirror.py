"""Metadata is read through a mirror: each file once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cache.folder import MirrorFolder, mirror_path
from cache.source import Waiting
from restore.catalog import mirror_source
from restore.catalog.entries import Entry, EpochEndingEntry, IdentityEntry, StateSnapshotEntry, encode_entry
from restore.catalog.mirror import SMALL_FILES_AT_ONCE, MirrorOptions, load_view
from restore.catalog.mirror_source import PARSED_ON_THE_LOOP_BYTES, MetadataSource
from restore.catalog.parsing import MetadataFile, ParsedFiles, parse_files
from restore.errors import FormatError, ManifestError, MissingFileError
from restore.report.events import Advanced, Event, Notice, PhaseFinished, PhaseStarted
from restore.storage.base import UNMETERED, FileHandle, FileReader, Payer, Piece
from restore.storage.local import LocalFs
from tests.catalog.metadata import Observed, save, save_some, versions
from tests.conftest import open_descriptors
from tests.contracts.cancelling import cancel_at_every_wait


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where private folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def shared_folder(tmp_path: Path) -> MirrorOptions:
    return MirrorOptions(tmp_path / "mirrors")


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


# What is read


@pytest.mark.parametrize("concurrency", [1, 20, 50])
async def test_all_metadata_is_read_by_so_many_at_once(tmp_path: Path, concurrency: int) -> None:
    storage = Observed(tmp_path)
    entries = await save_some(storage, 30)
    view = await load_view(storage, concurrency=concurrency)
    assert view.transactions == tuple(entries)
    assert len(storage.told()) == 30
    assert storage.most_open == min(max(concurrency, SMALL_FILES_AT_ONCE), 30)


async def test_compacted_files_beside_single_ones_change_nothing(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path)
    entries = [versions(0, 0), versions(1, 9), versions(10, 19)]
    snapshot, ending = StateSnapshotEntry(0, 0, "s/m"), EpochEndingEntry(0, 0, 0, 0, "e/m")
    await save(storage, "identity.meta", IdentityEntry("0f" * 32))
    everything: list[Entry] = [*entries, snapshot, ending]
    for number, entry in enumerate(everything):
        await save(storage, f"single_{number}.meta", entry)
    before = await load_view(storage, concurrency=2)
    await save(storage, "transaction_compacted_0-9.meta", *entries[:2])
    await save(storage, "state_snapshot_compacted_epoch_0_0.meta", snapshot)
    after = await load_view(storage, concurrency=2)
    for view in (before, after):
        assert view.transactions == tuple(entries)
        assert (view.state_snapshots, view.epoch_endings) == ((snapshot,), (ending,))


async def test_a_bad_line_is_a_problem_and_all_others_are_read(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path)
    entries = await save_some(storage, 8)
    good, bad = versions(80, 89), versions(9, 0)
    line = encode_entry(good)
    await storage.save_metadata_lines("torn.meta", [line, line[:-1]])
    await save(storage, "turned.meta", bad)
    descriptors = open_descriptors()
    view = await load_view(storage, concurrency=3)
    assert view.transactions == (*entries, good)
    assert [(type(problem), problem.file, problem.offset) for problem in view.problems] == [
        (FormatError, "metadata/torn.meta", len(line) + 1),
        (ManifestError, "metadata/turned.meta", 0),
    ]
    with pytest.raises(FormatError, match="line 2"):
        view.require_complete()
    assert open_descriptors() == descriptors


async def test_a_metadata_file_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalFs(tmp_path)
    await save(storage, "some.meta", versions(0, 9))
    size = (tmp_path / "metadata" / "some.meta").stat().st_size
    monkeypatch.setattr(mirror_source, "MAX_METADATA_BYTES", size)
    await load_view(storage, concurrency=1)
    monkeypatch.setattr(mirror_source, "MAX_METADATA_BYTES", size - 1)
    with pytest.raises(FormatError, match="too long") as refusal:
        await load_view(storage, concurrency=1)
    assert refusal.value.file == "metadata/some.meta"


async def test_long_files_are_parsed_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [encode_entry(versions(number, number)) for number in range(PARSED_ON_THE_LOOP_BYTES // 64)]
    storage = LocalFs(tmp_path)
    await storage.save_metadata_lines("long.meta", lines)
    await storage.save_metadata_lines("short.meta", lines[:1])
    threads = {}

    def observed(files: Iterable[MetadataFile]) -> ParsedFiles:
        files = list(files)
        threads[files[0][0]] = threading.current_thread()
        return parse_files(files)

    monkeypatch.setattr(mirror_source, "parse_files", observed)
    view = await load_view(storage, concurrency=1)
    assert len(view.transactions) == len(lines)
    assert threads.pop("metadata/short.meta") is threading.current_thread()
    assert threads.pop("metadata/long.meta") is not threading.current_thread()


# A folder of this run alone


async def test_a_private_folder_is_removed_at_the_end(tmp_path: Path, temporary: Path) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 3)
    seen: list[list[Path]] = []
    view = await load_view(storage, concurrency=1, report=lambda _: seen.append(list(temporary.iterdir())))
    assert len(view.transactions) == 3
    assert [len(folders) for folders in seen] == [1, 1, 1, 1, 0]
    assert is_empty(temporary)


async def test_a_private_folder_is_removed_when_reading_fails(tmp_path: Path, temporary: Path) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 3)
    (tmp_path / "backup" / "metadata" / "zone.meta").symlink_to("gone.meta")
    with pytest.raises(MissingFileError):
        await load_view(storage, concurrency=1)
    assert is_empty(temporary)


async def test_reading_cancelled_at_any_wait_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 3)
    await load_view(storage, concurrency=2)
    descriptors = open_descriptors()

    async def check() -> None:
        assert open_descriptors() == descriptors
        assert is_empty(temporary)

    assert await cancel_at_every_wait(lambda: load_view(storage, concurrency=2), check) >= 10


# A folder that is shared


async def test_only_what_is_new_is_downloaded(tmp_path: Path, shared_folder: MirrorOptions) -> None:
    storage = Observed(tmp_path / "backup")
    entries = await save_some(storage, 5)
    first = await load_view(storage, shared_folder, concurrency=2)
    assert len(storage.told()) == 5
    again = await load_view(storage, shared_folder, concurrency=2)
    assert storage.told() == []
    assert first.transactions == again.transactions == tuple(entries)

    new = await save(storage, "new.meta", versions(50, 59))
    await storage.backup_metadata_file("metadata/0.meta")
    view = await load_view(storage, shared_folder, concurrency=2)
    assert view.transactions == (*entries[1:], versions(50, 59))
    assert storage.told() == [new]
    assert (await load_view(storage, concurrency=2)).transactions == view.transactions


async def test_a_file_with_another_content_is_downloaded_again(
    tmp_path: Path, shared_folder: MirrorOptions
) -> None:
    storage = Observed(tmp_path / "backup")
    entries = await save_some(storage, 3)
    await load_view(storage, shared_folder, concurrency=2)
    storage.told()
    (tmp_path / "backup" / "metadata" / "1.meta").unlink()
    handle = await save(storage, "1.meta", versions(70, 79))
    view = await load_view(storage, shared_folder, concurrency=2)
    assert view.transactions == (entries[0], entries[2], versions(70, 79))
    assert storage.told() == [handle]


async def test_two_backups_share_a_folder_and_stay_apart(
    tmp_path: Path, shared_folder: MirrorOptions
) -> None:
    one, other = LocalFs(tmp_path / "one"), LocalFs(tmp_path / "other")
    await save(one, "same.meta", versions(0, 9))
    await save(other, "same.meta", versions(5, 6))
    for _ in range(2):
        for storage, entry in ((one, versions(0, 9)), (other, versions(5, 6))):
            assert (await load_view(storage, shared_folder, concurrency=1)).transactions == (entry,)


async def test_cancelled_at_any_wait_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    storage = Observed(tmp_path / "backup")
    entries = await save_some(storage, 2)
    await load_view(storage, concurrency=2)
    descriptors = open_descriptors()
    folders = (MirrorOptions(tmp_path / str(number)) for number in range(1000))
    used: list[MirrorOptions] = []

    async def work() -> None:
        used.append(next(folders))
        await load_view(storage, used[-1], concurrency=2)

    async def check() -> None:
        assert open_descriptors() == descriptors
        assert (await load_view(storage, used[-1], concurrency=2)).transactions == tuple(entries)
        storage.told()
        await load_view(storage, used[-1], concurrency=2)
        assert storage.told() == []

    assert await cancel_at_every_wait(work, check) >= 10


async def test_what_killed_processes_left_is_removed_at_the_end(
    tmp_path: Path, shared_folder: MirrorOptions
) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 1)
    await load_view(storage, shared_folder, concurrency=1)
    (index,) = (tmp_path / "mirrors").glob("v1/*/index")
    left = [index.parent / folder / name for folder, name in (("packs", ".tmp-1"), ("leases", "lease-1"))]
    for path in left:
        path.write_bytes(b"")
    await load_view(storage, shared_folder, concurrency=1)
    assert not any(path.exists() for path in left)


# What was kept may be useless


class Garbling(Observed):
    """Delivers one file damaged as long as `garbles`."""

    garbles = True

    @asynccontextmanager
    async def open_for_read(
        self, handle: FileHandle, *, payer: Payer = UNMETERED
    ) -> AsyncIterator[FileReader]:
        async with super().open_for_read(handle, payer=payer) as reader:
            yield GarbledReader(reader) if self.garbles and handle == "metadata/1.meta" else reader


class GarbledReader(FileReader):
    def __init__(self, reader: FileReader) -> None:
        self._reader = reader

    @property
    def size(self) -> int | None:
        return self._reader.size

    async def read_piece(self) -> Piece:
        return bytes(byte ^ 0x80 for byte in await self._reader.read_piece())


async def test_a_file_that_was_damaged_on_its_way_is_fetched_anew(
    tmp_path: Path, shared_folder: MirrorOptions
) -> None:
    storage = Garbling(tmp_path / "backup")
    entries = await save_some(storage, 3)
    damaged = await load_view(storage, shared_folder, concurrency=2)
    assert [problem.file for problem in damaged.problems] == ["metadata/1.meta"]
    assert damaged.transactions == (entries[0], entries[2])
    storage.told()

    storage.garbles = False
    healed = await load_view(storage, shared_folder, concurrency=2)
    assert (healed.problems, healed.transactions) == ((), tuple(entries))
    assert storage.told() == ["metadata/1.meta"]
    assert (await load_view(storage, shared_folder, concurrency=2)).problems == ()
    assert storage.told() == []


async def test_a_file_that_is_damaged_where_it_lies_is_fetched_once_a_run(
    tmp_path: Path, shared_folder: MirrorOptions
) -> None:
    storage = Observed(tmp_path / "backup")
    entries = await save_some(storage, 2)
    await storage.save_metadata_lines("bad.meta", ["{}"])
    for expected in (["metadata/0.meta", "metadata/1.meta", "metadata/bad.meta"], ["metadata/bad.meta"]):
        view = await load_view(storage, shared_folder, concurrency=2)
        assert view.transactions == tuple(entries)
        assert [problem.file for problem in view.problems] == ["metadata/bad.meta"]
        assert storage.told() == expected


# What others do meanwhile


class Compacted(Observed):
    """Is compacted right after it was listed for the first time."""

    listings = 0

    async def list_metadata(self) -> dict[FileHandle, str]:
        listed = await super().list_metadata()
        self.listings += 1
        if self.listings == 1:
            await save(self, "transaction_compacted_0-29.meta", *(versions(n, n + 9) for n in (0, 10, 20)))
            for number in range(3):
                await self.backup_metadata_file(f"metadata/{number}.meta")
        return listed


async def test_a_compaction_between_listing_and_reading_is_survived_with_a_word(
    tmp_path: Path, shared_folder: MirrorOptions
) -> None:
    storage = Compacted(tmp_path / "backup")
    entries = await save_some(storage, 3)
    last = await save(storage, "last.meta", versions(30, 39))
    events: list[Event] = []
    view = await load_view(storage, shared_folder, concurrency=2, report=events.append)
    assert view.transactions == (*entries, versions(30, 39))
    assert storage.listings == 2
    assert storage.told().count(last) == 1
    assert [event for event in events if isinstance(event, Notice)] == [
        Notice("metadata changed while it was read (3 files gone): listed again")
    ]
    assert sum(isinstance(event, PhaseStarted) for event in events) == 1


class Replaced(Observed):
    """Everything in it is replaced once the first file was read and before the second is."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.first_was_read = asyncio.Event()

    @asynccontextmanager
    async def open_for_read(
        self, handle: FileHandle, *, payer: Payer = UNMETERED
    ) -> AsyncIterator[FileReader]:
        if handle == "metadata/1.meta":
            await self.first_was_read.wait()
            await save(self, "new.meta", versions(50, 59))
            for number in range(2):
                await self.backup_metadata_file(f"metadata/{number}.meta")
        async with super().open_for_read(handle, payer=payer) as reader:
            yield reader
        self.first_was_read.set()


async def test_what_was_read_and_is_no_longer_listed_counts_no_more(
    tmp_path: Path, shared_folder: MirrorOptions
) -> None:
    storage = Replaced(tmp_path / "backup")
    await save_some(storage, 2)
    for _ in range(2):
        view = await load_view(storage, shared_folder, concurrency=2)
        assert view.transactions == (versions(50, 59),)
    assert storage.told() == ["metadata/0.meta", "metadata/1.meta", "metadata/new.meta"]


async def test_packs_that_are_taken_away_once_are_fetched_again(
    tmp_path: Path, shared_folder: MirrorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Observed(tmp_path / "backup")
    entries = await save_some(storage, 3)
    await load_view(storage, shared_folder, concurrency=2)
    storage.told()
    monkeypatch.setattr(MirrorFolder, "read_summary", lambda self, state: None)  # else no pack is read
    read_pack, taken = MirrorFolder.read_pack, list[str]()

    def robbed(self: MirrorFolder, file: str, *, identity: str) -> object:
        if not taken:
            taken.append(file)
            self.remove_pack(file)
        return read_pack(self, file, identity=identity)

    monkeypatch.setattr(MirrorFolder, "read_pack", robbed)
    events: list[Event] = []
    view = await load_view(storage, shared_folder, concurrency=2, report=events.append)
    assert view.transactions == tuple(entries)
    assert len(storage.told()) == 3
    warnings = [event.text for event in events if isinstance(event, Notice) and event.warning]
    assert warnings == [f"metadata cache: pack is missing: file {taken[0]}; fetched again"]


async def test_a_damaged_pack_is_fetched_again_with_a_warning(
    tmp_path: Path, shared_folder: MirrorOptions
) -> None:
    storage = Observed(tmp_path / "backup")
    entries = await save_some(storage, 3)
    await load_view(storage, shared_folder, concurrency=2)
    storage.told()
    (pack,) = (mirror_path(tmp_path / "mirrors", storage.identity) / "packs").iterdir()
    pack.write_bytes(pack.read_bytes().replace(b"transaction_10-", b"transaction_99-"))
    events: list[Event] = []
    view = await load_view(storage, shared_folder, concurrency=2, report=events.append)
    assert (view.transactions, len(storage.told())) == (tuple(entries), 3)
    (warning,) = [event for event in events if isinstance(event, Notice)]
    assert warning.warning
    assert warning.text.startswith("metadata cache: pack is not what its name says: ")


# What is told


async def test_progress_counts_what_is_there_and_what_comes(
    tmp_path: Path, shared_folder: MirrorOptions
) -> None:
    storage = LocalFs(tmp_path / "backup")
    await save_some(storage, 2)
    sizes = [(tmp_path / "backup" / "metadata" / f"{number}.meta").stat().st_size for number in range(2)]
    events: list[Event] = []
    await load_view(storage, shared_folder, concurrency=1, report=events.append)
    assert events[0] == PhaseStarted("metadata", "files", 2, done=0)
    assert sorted(event.size for event in events[1:-1] if isinstance(event, Advanced)) == sorted(sizes)
    assert len(events) == 4
    assert events[-1] == PhaseFinished("metadata")

    await save(storage, "new.meta", versions(20, 29))
    events.clear()
    await load_view(storage, shared_folder, concurrency=1, report=events.append)
    assert events[0] == PhaseStarted("metadata", "files", 3, done=2)
    assert [type(event) for event in events[1:]] == [Advanced, PhaseFinished]


async def test_a_long_wait_is_told_with_who_is_waited_for(tmp_path: Path) -> None:
    events: list[Event] = []
    source = MetadataSource(LocalFs(tmp_path), events.append)
    source.tell(Waiting("SYNC", "DIR", "SYNC by pid 7 on host (verify)", 65.0))
    (notice,) = events
    assert notice == Notice("waiting for the metadata cache DIR, 1:05 so far: SYNC by pid 7 on host (verify)")


async def test_two_runs_at_once_download_each_file_once(tmp_path: Path, shared_folder: MirrorOptions) -> None:
    storage = Observed(tmp_path / "backup")
    entries = await save_some(storage, 20)
    views = await asyncio.gather(*(load_view(storage, shared_folder, concurrency=2) for _ in range(3)))
    assert [view.transactions for view in views] == [tuple(entries)] * 3
    assert len(storage.told()) == 20
