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
    parse_entries,
)
from restore.errors import FormatError, ManifestError, UnsafePathError

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


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_make_the_parser_fail_in_another_way(data: bytes) -> None:
    try:
        parse_entries(data, file="a.meta")
    except (FormatError, ManifestError) as error:
        assert error.file == "a.meta"  # noqa: PT017 - it need not be raised


def test_lines_may_be_empty_end_in_either_break_or_in_none() -> None:
    data = f"\n{SNAPSHOT_LINE}\r\n\n  \n{TRANSACTION_LINE}".encode()
    assert parse_entries(data, file="a.meta") == [EXAMPLES[1][1], EXAMPLES[2][1]]


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n"])
def test_a_file_without_a_line_was_torn(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"metadata file is empty: file a\.meta"):
        parse_entries(data, file="a.meta")


@pytest.mark.parametrize("handle", ["../m", "/m", "a//m", "a\x1b[2J/m", ""])
def test_a_manifest_outside_the_storage_is_refused_where_it_is_named(handle: str) -> None:
    line = encode_entry(StateSnapshotEntry(7, 8, handle)).encode()
    with pytest.raises(UnsafePathError):
        parse_entries(line, file="a.meta")


def test_unknown_fields_are_ignored_and_white_space_is_free() -> None:
    line = b'{ "StateSnapshotBackup": {"new": [1, {}], "manifest": "m", "version": 8, "epoch": 7 } }'
    assert parse_entries(line, file="a.meta") == [StateSnapshotEntry(7, 8, "m")]


def test_numbers_have_64_bits() -> None:
    line = SNAPSHOT_LINE.replace('"version":0', f'"version":{MAX_U64}')
    (entry,) = parse_entries(line.encode(), file="a.meta")
    assert entry == StateSnapshotEntry(0, MAX_U64, EXAMPLES[1][1].manifest)  # type: ignore[union-attr]
    assert encode_entry(entry) == line


@pytest.mark.parametrize(
    "line",
    [
        b"text",
        b"{}",
        b"[]",
        b"null",
        b'"Identity"',
        b'{"Unknown":{}}',
        b'{"identity":{"id":"x"}}',
        b'{"Identity":{"id":"x"},"StateSnapshotBackup":{"epoch":0,"version":0,"manifest":"m"}}',
        b'{"Identity":{"id":"x"}} {"Identity":{"id":"x"}}',
        b'{"Identity":{"id":"x"}',
        b'{"Identity":{}}',
        b'{"Identity":{"id":7}}',
        b'{"Identity":{"id":null}}',
        b'{"Identity":["x"]}',
        b'{"Identity":{"id":"\xff"}}',
        b"\xef\xbb\xbf" + IDENTITY_LINE.encode(),
        b'{"Identity":{"id":"x","new":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        TRANSACTION_LINE.replace('"last_version":0,', "").encode(),
        TRANSACTION_LINE.replace('"last_version":0', '"last_version":"0"').encode(),
        TRANSACTION_LINE.replace('"last_version":0', '"last_version":0.0').encode(),
        TRANSACTION_LINE.replace('"last_version":0', '"last_version":true').encode(),
        TRANSACTION_LINE.replace('"last_version":0', '"last_version":-1').encode(),
        TRANSACTION_LINE.replace('"last_version":0', f'"last_version":{MAX_U64 + 1}').encode(),
        TRANSACTION_LINE.replace('"last_version":0', f'"last_version":{"9" * 5000}').encode(),
        COMPACTION_LINE.replace("1700000000", str(MAX_U64 + 1)).encode(),
        COMPACTION_LINE.replace("1699990000", str(MAX_U64 + 1)).encode(),
        COMPACTION_LINE.replace("1699990000", "-1").encode(),
        COMPACTION_LINE.replace("1699990000", '"x"').encode(),
    ],
)
def test_a_line_that_does_not_parse_is_named_by_file_line_and_offset(line: bytes) -> None:
    before = f"{SNAPSHOT_LINE}\n\n".encode()
    with pytest.raises(FormatError) as refusal:
        parse_entries(before + line + b"\n" + SNAPSHOT_LINE.encode(), file="metadata/a.meta")
    assert refusal.value.message.startswith("metadata line 3 does not parse: ")
    assert (refusal.value.file, refusal.value.offset) == ("metadata/a.meta", len(before))
    assert refusal.value.exit_code == 20


@pytest.mark.parametrize(
    ("line", "what", "found"),
    [
        (EPOCH_LINE.replace('"first_epoch":0', '"first_epoch":1'), "epochs", "1..0"),
        (EPOCH_LINE.replace('"first_version":0', '"first_version":9'), "versions", "9..0"),
        (TRANSACTION_LINE.replace('"first_version":0', '"first_version":5'), "versions", "5..0"),
    ],
)
def test_a_reversed_range_is_named(line: str, what: str, found: str) -> None:
    with pytest.raises(ManifestError) as refusal:
        parse_entries(f"{SNAPSHOT_LINE}\n{line}\n".encode(), file="metadata/a.meta")
    assert refusal.value.message == f"metadata line 2 has reversed {what}"
    assert (refusal.value.file, refusal.value.found) == ("metadata/a.meta", found)


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
