"""Backups as they are written: where chunks are cut, in which order files appear, what a failure leaves."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.catalog.entries import (
    CompactionEntry,
    EpochEndingEntry,
    IdentityEntry,
    StateSnapshotEntry,
    TransactionEntry,
    encode_entry,
)
from restore.catalog.loading import (
    load_epoch_ending_manifest,
    load_state_snapshot_manifest,
    load_transaction_manifest,
)
from restore.catalog.mirror import load_view
from restore.catalog.writer import BackupWriter, EpochEnding, StateRecord, random_suffix
from restore.errors import EmptyStorageError, ManifestError, UsageError
from restore.ledger.waypoint import Waypoint
from restore.storage.base import PIECE_BYTES, BackupHandle, FileHandle, FileWriter
from restore.storage.local import LocalFs
from restore.wire.records import LENGTH_BYTES, cut_records
from tests.contracts.cancelling import cancel_at_every_wait


class Observed(LocalFs):
    """Notes each file when its block has ended, and how much each write was."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.files: list[str] = []
        self.writes: list[int] = []

    @asynccontextmanager
    async def create_for_write(self, backup: BackupHandle, name: str) -> AsyncIterator[FileWriter]:
        async with super().create_for_write(backup, name) as file:
            yield _ObservedFile(file, self.writes)
        self.files.append(name)

    async def save_metadata_lines(self, name: str, lines: Sequence[str]) -> FileHandle:
        handle = await super().save_metadata_lines(name, lines)
        self.files.append(handle)
        return handle


class _ObservedFile(FileWriter):
    def __init__(self, file: FileWriter, writes: list[int]) -> None:
        self._file = file
        self._writes = writes

    @property
    def handle(self) -> FileHandle:
        return self._file.handle

    async def write(self, data: bytes) -> None:
        self._writes.append(len(data))
        await self._file.write(data)


async def prove_key(last_key: bytes) -> bytes:
    return b"proof of " + last_key


async def prove_versions(first: int, last: int) -> bytes:
    return f"proof of {first} to {last}".encode()


def endings(*versions: int) -> list[EpochEnding]:
    """Each with a record of ten bytes."""
    return [EpochEnding(b"%010d" % version, Waypoint(version, version.to_bytes(32))) for version in versions]


def items(*keys: int) -> list[StateRecord]:
    """Each with a record of ten bytes."""
    return [StateRecord(b"%010d" % key, key.to_bytes(32)) for key in keys]


def writer_of(storage: LocalFs, *, max_chunk_size: int = 28) -> BackupWriter:
    """One whose chunks hold two records of ten bytes, unless told otherwise."""
    return BackupWriter(storage, max_chunk_size=max_chunk_size, suffix=lambda: "0a1b")


async def write_epochs(storage: LocalFs, what: Iterable[EpochEnding] | None = None) -> None:
    await writer_of(storage).write_epoch_endings(what or endings(3, 5, 8, 9, 12), first_epoch=7)


async def write_items(storage: LocalFs, what: Iterable[StateRecord] | None = None) -> None:
    await writer_of(storage).write_state_snapshot(
        what or items(1, 2, 3, 4, 5),
        epoch=7,
        version=99,
        root_hash=bytes(31) + b"r",
        state_proof=b"state proof",
        prove=prove_key,
    )


async def write_versions(storage: LocalFs, what: Iterable[bytes] | None = None) -> None:
    await writer_of(storage).write_transactions(
        what or [b"%010d" % number for number in range(5)], first_version=40, prove=prove_versions
    )


WRITES: dict[Callable[..., Coroutine[Any, Any, None]], list[str]] = {
    write_epochs: [
        "7-.chunk", "9-.chunk", "11-.chunk", "epoch_ending.manifest", "metadata/epoch_ending_7-11.meta",
    ],
    write_items: [
        "0-.chunk", "0-1.proof", "2-.chunk", "2-3.proof", "4-.chunk", "4-4.proof", "state.proof",
        "state.manifest", "metadata/state_snapshot_ver_99.meta",
    ],
    write_versions: [
        "40-41.proof", "40-.chunk", "42-43.proof", "42-.chunk", "44-44.proof", "44-.chunk",
        "transaction.manifest", "metadata/transaction_40-44.meta",
    ],
}  # fmt: skip

each_kind = pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)


@each_kind
async def test_files_appear_in_order_and_the_metadata_line_last(
    tmp_path: Path, write: Callable[..., Coroutine[Any, Any, None]]
) -> None:
    storage = Observed(tmp_path)
    await write(storage)
    assert storage.files == WRITES[write]
    names = [name.rpartition("/")[2] for name in WRITES[write]]
    assert sorted(name.rpartition("/")[2] for name in files_of(tmp_path)) == sorted(names)


async def test_epoch_endings_are_read_back_as_written(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path)
    written = await writer_of(storage).write_epoch_endings(endings(3, 5, 8), first_epoch=7)
    folder = "epoch_ending_7-.0a1b"
    assert written.entry == EpochEndingEntry(7, 9, 3, 8, f"{folder}/epoch_ending.manifest")
    assert written.chunks == 2
    manifest = await load_epoch_ending_manifest(storage, written.entry.manifest)
    assert manifest.parsed_waypoints() == [ending.waypoint for ending in endings(3, 5, 8)]
    assert [(chunk.first_epoch, chunk.last_epoch, chunk.ledger_infos) for chunk in manifest.chunks] == [
        (7, 8, f"{folder}/7-.chunk"),
        (9, 9, f"{folder}/9-.chunk"),
    ]
    records = [cut_records((tmp_path / chunk.ledger_infos).read_bytes()) for chunk in manifest.chunks]
    assert records == [[b"0000000003", b"0000000005"], [b"0000000008"]]
    assert (await load_view(storage, concurrency=1)).epoch_endings == (written.entry,)


async def test_a_state_snapshot_is_read_back_as_written(tmp_path: Path) -> None:
    storage = LocalFs(tmp_path)
    await write_items(storage, items(1, 2, 3))
    (entry,) = (await load_view(storage, concurrency=1)).state_snapshots
    folder = "state_epoch_7_ver_99.0a1b"
    assert entry == StateSnapshotEntry(7, 99, f"{folder}/state.manifest")
    manifest = await load_state_snapshot_manifest(storage, entry.manifest)
    assert (manifest.version, manifest.epoch, manifest.root_hash) == (99, 7, bytes(31) + b"r")
    assert (tmp_path / manifest.proof).read_bytes() == b"state proof"
    found = [
        (chunk.first_idx, chunk.last_idx, int.from_bytes(chunk.first_key), int.from_bytes(chunk.last_key))
        for chunk in manifest.chunks
    ]
    assert found == [(0, 1, 1, 2), (2, 2, 3, 3)]
    for chunk in manifest.chunks:
        assert (tmp_path / chunk.proof).read_bytes() == await prove_key(chunk.last_key)
    records = [cut_records((tmp_path / chunk.blobs).read_bytes()) for chunk in manifest.chunks]
    assert records == [[b"0000000001", b"0000000002"], [b"0000000003"]]


def chunks_by_the_rule(sizes: list[int], limit: int) -> list[list[int]]:
    """A chunk is closed before the record that would make it, framed, longer than the limit."""
    chunks: list[list[int]] = []
    for size in sizes:
        if chunks and sum(LENGTH_BYTES + other for other in [*chunks[-1], size]) <= limit:
            chunks[-1].append(size)
        else:
            chunks.append([size])
    return chunks


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=20),
    st.integers(1, 60),
    st.integers(0, 2**64 - 100),
    st.sampled_from([None, "V0", "V1"]),
)
def test_transactions_are_cut_by_the_rule(
    sizes: list[int], limit: int, first: int, chunk_format: Any
) -> None:
    records = [bytes([number]) * size for number, size in enumerate(sizes)]

    async def write(root: Path) -> None:
        storage = LocalFs(root)
        writer = BackupWriter(storage, max_chunk_size=limit)
        written = await writer.write_transactions(
            records, first_version=first, prove=prove_versions, chunk_format=chunk_format
        )
        manifest = await load_transaction_manifest(storage, written.entry.manifest)
        assert (manifest.first_version, manifest.last_version) == (first, first + len(records) - 1)
        assert written.entry.bounds == (first, first + len(records) - 1)
        found = [cut_records((root / chunk.transactions).read_bytes()) for chunk in manifest.chunks]
        assert [record for chunk in found for record in chunk] == records
        assert [[len(record) for record in chunk] for chunk in found] == chunks_by_the_rule(sizes, limit)
        assert written.chunks == len(found)
        for chunk, cut in zip(manifest.chunks, found, strict=True):
            assert chunk.last_version - chunk.first_version + 1 == len(cut)
            assert chunk.format == (chunk_format or "V0")
            proof = (root / chunk.proof).read_bytes()
            assert proof == await prove_versions(chunk.first_version, chunk.last_version)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(write(Path(folder)))


@pytest.mark.parametrize(
    ("sizes", "chunks"),
    [
        ([10, 10], [[10, 10]]),  # exactly full
        ([10, 11], [[10], [11]]),
        ([11, 10], [[11], [10]]),
        ([24, 0], [[24], [0]]),  # an empty record needs room for its length
        ([24, 25, 1], [[24], [25], [1]]),  # one alone may be too large
        ([100, 100], [[100], [100]]),
        ([0] * 8, [[0] * 7, [0]]),
    ],
)
async def test_a_chunk_is_cut_to_the_byte(tmp_path: Path, sizes: list[int], chunks: list[list[int]]) -> None:
    storage = LocalFs(tmp_path)
    await write_versions(storage, [bytes(size) for size in sizes])
    manifest = await load_transaction_manifest(storage, "transaction_40-.0a1b/transaction.manifest")
    found = [cut_records((tmp_path / chunk.transactions).read_bytes()) for chunk in manifest.chunks]
    assert [[len(record) for record in chunk] for chunk in found] == chunks


async def test_records_are_taken_one_chunk_and_its_follower_ahead(tmp_path: Path) -> None:
    taken = 0
    proven: list[tuple[int, int, int]] = []

    def records() -> Iterator[bytes]:
        nonlocal taken
        for number in range(7):
            taken += 1
            yield b"%010d" % number

    async def prove(first: int, last: int) -> bytes:
        proven.append((first, last, taken))
        return b""

    await writer_of(LocalFs(tmp_path)).write_transactions(records(), first_version=0, prove=prove)
    assert proven == [(0, 1, 3), (2, 3, 5), (4, 5, 7), (6, 6, 7)]


async def test_records_may_come_asynchronously(tmp_path: Path) -> None:
    async def later() -> AsyncIterator[StateRecord]:
        for item in items(1, 2, 3):
            await asyncio.sleep(0)
            yield item

    await write_items(LocalFs(tmp_path / "now"), items(1, 2, 3))
    storage = LocalFs(tmp_path / "later")
    await writer_of(storage).write_state_snapshot(
        later(), epoch=7, version=99, root_hash=bytes(31) + b"r", state_proof=b"state proof", prove=prove_key
    )
    assert files_of(tmp_path / "later") == files_of(tmp_path / "now")


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_a_chunk_goes_out_in_pieces(tmp_path: Path) -> None:
    storage = Observed(tmp_path)
    record = bytes(PIECE_BYTES // 3)
    await BackupWriter(storage).write_transactions([record] * 10, first_version=0, prove=prove_versions)
    assert "0-.chunk" in storage.files
    assert max(storage.writes) < PIECE_BYTES + len(record) + LENGTH_BYTES
    (chunk,) = (data for name, data in files_of(tmp_path).items() if name.endswith("/0-.chunk"))
    assert cut_records(chunk) == [record] * 10


@each_kind
async def test_a_backup_of_nothing_is_refused(
    tmp_path: Path, write: Callable[..., Coroutine[Any, Any, None]]
) -> None:
    storage = Observed(tmp_path)
    with pytest.raises(ManifestError, match="no records"):
        await write(storage, iter(()))
    assert storage.files == []


class SourceError(Exception):
    """What a source of records raises."""


@each_kind
async def test_a_source_that_fails_leaves_no_manifest_and_no_metadata(
    tmp_path: Path, write: Callable[..., Coroutine[Any, Any, None]]
) -> None:
    def records(*numbers: int) -> list[Any]:
        if write is write_epochs:
            return [*endings(*numbers)]
        return [*items(*numbers)] if write is write_items else [b"%010d" % number for number in numbers]

    def fail() -> Iterator[Any]:
        yield from records(1, 2, 3)
        raise SourceError

    storage = Observed(tmp_path)
    with pytest.raises(SourceError):
        await write(storage, fail())
    assert storage.files
    assert not [name for name in storage.files if "manifest" in name or "meta" in name]
    with pytest.raises(EmptyStorageError):
        await load_view(storage, concurrency=1)


async def test_a_proof_that_fails_leaves_no_manifest_and_no_metadata(tmp_path: Path) -> None:
    async def fail(first: int, last: int) -> bytes:
        if first:
            raise SourceError
        return b""

    storage = Observed(tmp_path)
    with pytest.raises(SourceError):
        await writer_of(storage).write_transactions([b"0123456789"] * 5, first_version=0, prove=fail)
    assert storage.files == ["0-1.proof", "0-.chunk"]


@each_kind
async def test_a_writer_cancelled_at_any_wait_leaves_whole_files_and_metadata_only_of_whole_backups(
    tmp_path: Path, write: Callable[..., Coroutine[Any, Any, None]]
) -> None:
    roots = (tmp_path / str(number) for number in range(1000))
    root = tmp_path

    async def work() -> None:
        nonlocal root
        root = next(roots)
        await write(LocalFs(root))

    async def check() -> None:
        found = {name.rpartition("/")[2]: data for name, data in files_of(root).items()}
        assert not [name for name in found if name.startswith(".")]
        # Files appear one by one in their order, so what is there is a beginning of all of them.
        in_order = [name.rpartition("/")[2] for name in WRITES[write]]
        assert set(found) == set(in_order[: len(found)])
        assert all(whole[name] == data for name, data in found.items())

    await write(LocalFs(tmp_path / "whole"))
    whole = {name.rpartition("/")[2]: data for name, data in files_of(tmp_path / "whole").items()}
    assert await cancel_at_every_wait(work, check) > len(whole)
    await check()
    assert files_of(root) == files_of(tmp_path / "whole")


async def test_waypoints_that_do_not_ascend_are_refused_before_the_manifest(tmp_path: Path) -> None:
    storage = Observed(tmp_path)
    with pytest.raises(ManifestError, match="ascend"):
        await write_epochs(storage, endings(3, 5, 5))
    assert storage.files == ["7-.chunk", "9-.chunk"]


@pytest.mark.parametrize("keys", [(1, 2, 2), (1, 2, 1), (2, 1, 3), (1, 1)])
async def test_keys_that_do_not_ascend_are_refused_before_the_manifest(
    tmp_path: Path, keys: tuple[int, ...]
) -> None:
    storage = Observed(tmp_path)
    with pytest.raises(ManifestError, match="ascend"):
        await write_items(storage, items(*keys))
    assert "state.manifest" not in storage.files


def test_a_suffix_is_four_digits_and_not_always_the_same() -> None:
    suffixes = {random_suffix() for _ in range(50)}
    assert len(suffixes) > 1
    assert all(len(suffix) == 4 and set(suffix) <= set("0123456789abcdef") for suffix in suffixes)


async def test_each_backup_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    suffixes = iter(["0000", "ffff", "0A1B"])
    writer = BackupWriter(LocalFs(tmp_path), suffix=lambda: next(suffixes))
    for _ in range(2):
        await writer.write_transactions([b"x"], first_version=3, prove=prove_versions)
        (tmp_path / "metadata" / "transaction_3-3.meta").unlink()
    assert {name.split("/")[0] for name in files_of(tmp_path)} == {
        "transaction_3-.0000",
        "transaction_3-.ffff",
    }
    with pytest.raises(UsageError):
        await writer.write_transactions([b"x"], first_version=3, prove=prove_versions)


async def test_the_same_backup_written_again_is_not_hidden_behind_the_first(tmp_path: Path) -> None:
    """Both would be named in a metadata file of one name, whose content never changes."""
    suffixes = iter(["0000", "ffff"])
    writer = BackupWriter(LocalFs(tmp_path), suffix=lambda: next(suffixes))
    await writer.write_transactions([b"x"], first_version=3, prove=prove_versions)
    with pytest.raises(ManifestError) as caught:
        await writer.write_transactions([b"x"], first_version=3, prove=prove_versions)
    assert caught.value.file == "metadata/transaction_3-3.meta"


@pytest.mark.parametrize("size", [0, -1])
def test_a_chunk_has_room_for_a_byte(tmp_path: Path, size: int) -> None:
    with pytest.raises(UsageError):
        BackupWriter(LocalFs(tmp_path), max_chunk_size=size)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (IdentityEntry("0f" * 32), "identity.meta"),
        (CompactionEntry(17, {"metadata/a.meta": None}), "compaction_timestamps_17.meta"),
        (StateSnapshotEntry(1, 20, "a/b"), "state_snapshot_ver_20.meta"),
    ],
)
async def test_one_entry_is_one_line_in_a_file(
    tmp_path: Path, entry: IdentityEntry | CompactionEntry | StateSnapshotEntry, name: str
) -> None:
    assert await BackupWriter(LocalFs(tmp_path)).save_metadata(entry) == f"metadata/{name}"
    assert (tmp_path / "metadata" / name).read_text() == encode_entry(entry) + "\n"


def versions(*bounds: tuple[int, int]) -> list[TransactionEntry]:
    return [TransactionEntry(first, last, f"transaction_{first}-.0000/m") for first, last in bounds]


@pytest.mark.parametrize(
    ("factor", "names"),
    [
        (1, ["0-0", "1-9", "10-19", "20-29", "30-35"]),
        (2, ["0-9", "10-29", "30-35"]),
        (5, ["0-35"]),
        (100, ["0-35"]),
    ],
)
async def test_entries_are_compacted_in_groups_from_the_beginning(
    tmp_path: Path, factor: int, names: list[str]
) -> None:
    storage = LocalFs(tmp_path)
    entries = versions((0, 0), (1, 9), (10, 19), (20, 29), (30, 35))
    for _ in range(2):  # again, as each compaction writes all of them
        handles = await BackupWriter(storage).save_compacted(entries, factor=factor)
        assert handles == tuple(f"metadata/transaction_compacted_{name}.meta" for name in names)
    lines = [(tmp_path / handle).read_text().splitlines() for handle in handles]
    assert [line for of_file in lines for line in of_file] == [encode_entry(entry) for entry in entries]
    assert all(len(of_file) == factor for of_file in lines[:-1])
    assert (await load_view(storage, concurrency=2)).transactions == tuple(entries)


async def test_a_compacted_file_has_no_gap_but_two_files_may_have_one_between_them(tmp_path: Path) -> None:
    writer = BackupWriter(LocalFs(tmp_path))
    entries = versions((0, 0), (1, 9), (20, 29), (30, 35))
    assert len(await writer.save_compacted(entries, factor=2)) == 2
    with pytest.raises(ManifestError) as caught:
        await writer.save_compacted(entries, factor=3)
    assert (caught.value.expected, caught.value.found) == ("10", "20")


async def test_nothing_is_compacted_into_nothing(tmp_path: Path) -> None:
    writer = BackupWriter(LocalFs(tmp_path))
    assert await writer.save_compacted(versions(), factor=2) == ()
    with pytest.raises(UsageError):
        await writer.save_compacted(versions((0, 0)), factor=0)
    assert files_of(tmp_path) == {}
