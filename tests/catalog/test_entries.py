"""Metadata lines: read strictly, written byte for byte as other tools do."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.catalog.entries import (
    MAX_U64,
    CompactionEntry,
    Entry,
    EpochEndingEntry,
    IdentityEntry,
    StateSnapshotEntry,
    TransactionEntry,
    compacted_file_name,
    encode_entry,
    file_name,
)
from restore.catalog.parsing import parse_entries
from restore.errors import ManifestError

EPOCH_LINE = (
    '{"EpochEndingBackup":{"first_epoch":0,"last_epoch":0,"first_version":0,"last_version":0,'
    '"manifest":"epoch_ending_0-.0000/epoch_ending.manifest"}}'
)
SNAPSHOT_LINE = (
    '{"StateSnapshotBackup":{"epoch":0,"version":0,"manifest":"state_epoch_0_ver_0.0000/state.manifest"}}'
)
TRANSACTION_LINE = (
    '{"TransactionBackup":{"first_version":0,"last_version":0,'
    '"manifest":"transaction_0-.0000/transaction.manifest"}}'
)
IDENTITY_LINE = '{"Identity":{"id":"' + "0f" * 32 + '"}}'
COMPACTION_LINE = (
    '{"CompactionTimestamps":{"file_compacted_at":1700000000,'
    '"compaction_timestamps":{"metadata/a.meta":null,"metadata/b.meta":1699990000}}}'
)

EXAMPLES: list[tuple[str, Entry]] = [
    (EPOCH_LINE, EpochEndingEntry(0, 0, 0, 0, "epoch_ending_0-.0000/epoch_ending.manifest")),
    (SNAPSHOT_LINE, StateSnapshotEntry(0, 0, "state_epoch_0_ver_0.0000/state.manifest")),
    (TRANSACTION_LINE, TransactionEntry(0, 0, "transaction_0-.0000/transaction.manifest")),
    (IDENTITY_LINE, IdentityEntry("0f" * 32)),
    (COMPACTION_LINE, CompactionEntry(1700000000, {"metadata/a.meta": None, "metadata/b.meta": 1699990000})),
]

TESTNET_MINI_BACKUP = [
    (EPOCH_LINE, 146, "03cb685f6224d473f64f55c9f265101294382d0e5cd6f24d28802f1af9b51a4f"),
    (TRANSACTION_LINE, 113, "de13aa07304dc727bf9a45838268f500db4a476e3af247e23a957cb765a5e765"),
    (SNAPSHOT_LINE, 101, "de0d9fd1dd27c40078c3fdeaca0e241e40633fd4ece92625d9373e2736671a60"),
]

NUMBERS = st.integers(0, MAX_U64)
HANDLES = st.from_regex(r"[a-z0-9_-]+\.[0-9a-f]{4}/[a-z_-]+\.manifest", fullmatch=True)


def entries_of_any_kind() -> st.SearchStrategy[Entry]:
    ranges = st.tuples(NUMBERS, NUMBERS).map(sorted)
    return st.one_of(
        st.builds(
            lambda epochs, versions, manifest: EpochEndingEntry(
                epochs[0], epochs[1], versions[0], versions[1], manifest
            ),
            ranges,
            ranges,
            HANDLES,
        ),
        st.builds(StateSnapshotEntry, NUMBERS, NUMBERS, HANDLES),
        st.builds(
            lambda versions, manifest: TransactionEntry(versions[0], versions[1], manifest), ranges, HANDLES
        ),
        st.builds(IdentityEntry, HANDLES),
        st.builds(CompactionEntry, NUMBERS, st.dictionaries(HANDLES, st.none() | NUMBERS, max_size=3)),
    )


@pytest.mark.parametrize(("line", "entry"), EXAMPLES)
def test_every_kind_of_line_is_read_and_written(line: str, entry: Entry) -> None:
    assert parse_entries(f"{line}\n".encode(), file="a.meta") == [entry]
    assert encode_entry(entry) == line


@pytest.mark.parametrize(("line", "size", "digest"), TESTNET_MINI_BACKUP)
def test_files_of_the_testnet_mini_backup_have_their_known_digests(line: str, size: int, digest: str) -> None:
    (entry,) = parse_entries(line.encode(), file="a.meta")
    data = f"{encode_entry(entry)}\n".encode()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (size, digest)


@pytest.mark.parametrize("folder", ["mainnet-genesis-backup", "vectors/real-ledger-infos/openlibra-v7-raw"])
def test_real_metadata_files_are_written_as_they_were_read_under_their_names(
    shared: Path, folder: str
) -> None:
    paths = sorted((shared / "data" / folder / "metadata").iterdir())
    assert len(paths) >= 4
    for path in paths:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        (entry,) = parse_entries(data, file=path.name)
        assert f"{encode_entry(entry)}\n".encode() == data
        assert file_name(entry) == path.name


@given(st.lists(entries_of_any_kind(), min_size=1, max_size=4))
def test_whatever_is_written_is_read_back(entries: list[Entry]) -> None:
    data = "".join(f"{encode_entry(entry)}\n" for entry in entries).encode()
    assert parse_entries(data, file="a.meta") == entries


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (EpochEndingEntry(3, 5, 100, 300, "m"), "epoch_ending_3-5.meta"),
        (StateSnapshotEntry(7, 1234, "m"), "state_snapshot_ver_1234.meta"),
        (TransactionEntry(10, 19, "m"), "transaction_10-19.meta"),
        (IdentityEntry("x"), "identity.meta"),
        (CompactionEntry(1700000000, {}), "compaction_timestamps_1700000000.meta"),
    ],
)
def test_each_kind_has_its_file_name(entry: Entry, name: str) -> None:
    assert file_name(entry) == name


def epoch_endings(*bounds: tuple[int, int]) -> list[EpochEndingEntry]:
    return [EpochEndingEntry(first, last, 10 * first, 10 * last, f"m{first}") for first, last in bounds]


def transactions(*bounds: tuple[int, int]) -> list[TransactionEntry]:
    return [TransactionEntry(first, last, f"m{first}") for first, last in bounds]


def test_compacted_files_are_named_by_their_ends() -> None:
    assert compacted_file_name(epoch_endings((0, 0))) == "epoch_ending_compacted_0-0.meta"
    assert compacted_file_name(epoch_endings((2, 4), (5, 5))) == "epoch_ending_compacted_2-5.meta"
    assert compacted_file_name(transactions((7, 9), (10, 99))) == "transaction_compacted_7-99.meta"
    snapshots = [StateSnapshotEntry(3, 30, "m"), StateSnapshotEntry(9, 90, "m")]
    assert compacted_file_name(snapshots) == "state_snapshot_compacted_epoch_3_9.meta"


@pytest.mark.parametrize(
    "group",
    [
        epoch_endings((0, 1), (3, 4)),
        epoch_endings((0, 1), (1, 4)),
        transactions((0, 9), (10, 19), (21, 29)),
        transactions((0, 9), (0, 9)),
    ],
)
def test_what_is_compacted_into_one_file_is_continuous(
    group: Sequence[EpochEndingEntry] | Sequence[TransactionEntry],
) -> None:
    with pytest.raises(ManifestError) as refusal:
        compacted_file_name(group)  # type: ignore[type-var]
    assert refusal.value.expected == str(group[-2].bounds[1] + 1)
    assert refusal.value.found == str(group[-1].bounds[0])
    assert refusal.value.file == group[-1].manifest
