"""The rows of the ledger tables that the kernel encodes against those of the Python form."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.errors import FormatError
from restore.ledger.event import NEW_BLOCK_KEY
from restore.ledger.hashes import APTOS
from restore.ledger.transaction import ChunkFormat
from restore.proof.batch import TransactionColumns, kernel_columns, parse_transactions
from restore.target.ledger_rows import LEDGER_TABLES, LedgerColumnRows, NumberedHashes, ledger_groups
from restore.target.schema import (
    BLOCK_BY_VERSION,
    BLOCK_INFO,
    EVENT,
    EVENT_ACCUMULATOR,
    EVENT_BY_KEY,
    EVENT_BY_VERSION,
    TRANSACTION_BY_ACCOUNT,
    TRANSACTION_SUMMARIES,
    KeyValue,
    Table,
)
from restore.wire.bcs import encode_bytes, encode_uleb
from restore.wire.records import FramedRecords
from tests.kernel.examples import tried
from tests.kernel.honest import framed, record, records
from tests.ledger.test_transaction import EMPTY_EXECUTABLE, EXTRA, encrypted, user

_native = pytest.importorskip("restore.kernel._native")

VERSION = 2**40
CHECKPOINT = b"\x03" + bytes(32)
TAG = b"\x07" + bytes(32) + b"\x01m\x01n\x00"


def le64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def event_v1(key: bytes, sequence_number: int, data: bytes = b"data") -> bytes:
    return b"\x00" + key + le64(sequence_number) + TAG + encode_bytes(data)


def block_event(height: int, *, votes: bytes = b"v", failed: int = 2, tail: bytes = b"") -> bytes:
    data = bytes([height]) * 32 + le64(5) + le64(6) + le64(height) + encode_bytes(votes) + b"p" * 32
    return event_v1(NEW_BLOCK_KEY, height, data + encode_uleb(failed) + le64(9) * failed + le64(1234) + tail)


def in_columns(chunk: FramedRecords, chunk_format: ChunkFormat = "V0") -> TransactionColumns:
    columns = kernel_columns(APTOS, chunk, chunk_format, first_version=VERSION)
    assert columns is not None
    return columns


def both_forms(
    chunk: FramedRecords, chunk_format: ChunkFormat = "V0", part: range | None = None
) -> dict[Table, list[KeyValue]]:
    """The rows of all tables, after a look whether both forms have the same."""
    part = range(chunk.count) if part is None else part
    objects = parse_transactions(APTOS, chunk, chunk_format, first_version=VERSION)
    expected, found = {}, {}
    for table, rows in ledger_groups(APTOS, objects, part):
        assert isinstance(rows, list)
        expected[table] = rows
    for table, rows in ledger_groups(APTOS, in_columns(chunk, chunk_format), part):
        assert isinstance(rows, LedgerColumnRows)
        found[table] = rows.pairs()
        assert len(rows) >= len(found[table])
        assert found[table] == expected.get(table, []), table
    assert tuple(found) == LEDGER_TABLES
    assert expected.keys() <= found.keys()
    return found


@pytest.mark.parametrize("chunk_format", ["V0", "V1"])
@given(data=st.data())
@tried(60)
def test_transactions_of_all_kinds_have_the_same_rows(chunk_format: ChunkFormat, data: st.DataObject) -> None:
    parts = data.draw(st.lists(records(chunk_format), min_size=1, max_size=4))
    first = data.draw(st.integers(0, len(parts)))
    both_forms(framed(parts), chunk_format, range(first, data.draw(st.integers(first, len(parts)))))


PAYLOADS = {
    "script": b"\x00\x00\x00\x00",
    **{f"V2, {name}": b"\x04\x00" + EMPTY_EXECUTABLE + extra for name, extra in EXTRA.items()},
    **{f"encrypted, {name}": b"\x05\x00" + encrypted(extra) for name, extra in EXTRA.items()},
    **{f"failed, {name}": b"\x05\x01" + encrypted(extra) + b"\x00\x03" for name, extra in EXTRA.items()},
    **{
        f"decrypted, {name}": b"\x05\x02" + encrypted(extra) + b"\x01d" + EMPTY_EXECUTABLE + b"n" * 16
        for name, extra in EXTRA.items()
    },
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_sender_is_indexed_by_number_or_nonce(name: str) -> None:
    chunk = framed([record(user(PAYLOADS[name], sequence_number)) for sequence_number in (7, 3, 2**64 - 1)])
    found = both_forms(chunk)
    numbered = "nonce" not in name and "both" not in name
    assert len(found[TRANSACTION_BY_ACCOUNT]) == (3 if numbered else 0)
    assert len(found[TRANSACTION_SUMMARIES]) == 3


def test_blocks_are_indexed_and_of_each_key_the_last_row_stays() -> None:
    parts = [
        record(CHECKPOINT, events=(block_event(9), event_v1(b"k" * 40, 4))),
        record(CHECKPOINT, events=(block_event(7, votes=bytes(200), failed=0), block_event(8))),
        record(CHECKPOINT, events=(block_event(9, failed=200), event_v1(b"k" * 40, 4))),
    ]
    found = both_forms(framed(parts))
    assert [int.from_bytes(key) for key, _ in found[BLOCK_INFO]] == [7, 8, 9]
    assert len(found[BLOCK_BY_VERSION]) == 3
    assert len(found[EVENT_BY_KEY]) == 4
    assert len(found[EVENT_BY_VERSION]) == 6


@pytest.mark.parametrize(
    "event",
    [
        block_event(9, tail=b"\x00"),
        event_v1(NEW_BLOCK_KEY, 1, bytes(20)),
        event_v1(NEW_BLOCK_KEY, 1, b""),
        event_v1(NEW_BLOCK_KEY, 1, bytes(56) + b"\x80\x00" + bytes(60)),
        event_v1(NEW_BLOCK_KEY, 1, bytes(56) + b"\x00" + bytes(32) + b"\xff\xff\xff\xff\x07" + bytes(8)),
    ],
)
def test_a_block_that_is_announced_wrongly_is_refused_as_by_the_python_form(event: bytes) -> None:
    chunk = framed([record(CHECKPOINT, events=(event_v1(b"k" * 40, 4), event))])
    with pytest.raises(FormatError) as expected:
        dict(ledger_groups(APTOS, parse_transactions(APTOS, chunk, "V0", first_version=0), range(1)))
    for table in (BLOCK_INFO, BLOCK_BY_VERSION):
        rows = LedgerColumnRows(APTOS, in_columns(chunk), table, range(1))
        with pytest.raises(FormatError) as found:
            len(rows)
        assert str(found.value) == str(expected.value)
        with pytest.raises(FormatError):
            rows.pairs()


def test_many_rows_go_into_the_same_files_as_their_pairs(tmp_path: Path) -> None:
    parts = [
        record(
            user(b"\x00\x00\x00\x00", number * 7 % 2500),
            events=tuple(event_v1(bytes([place]) * 40, number) for place in range(number % 19)),
        )
        for number in range(2500)
    ]
    parts[1700] = record(CHECKPOINT, events=(block_event(3),))
    chunk = framed(parts)
    part = range(100, 2400)
    found = both_forms(chunk, "V0", part)
    columns = in_columns(chunk)
    for number, table in enumerate(LEDGER_TABLES):
        rows = LedgerColumnRows(APTOS, columns, table, part)
        assert len(rows) == len(found[table]) > 0
        rows.write(tmp_path / f"{number}.sst")
        _native.write_table(str(tmp_path / f"{number}.pairs"), found[table])
        assert (tmp_path / f"{number}.sst").read_bytes() == (tmp_path / f"{number}.pairs").read_bytes()
    assert len(found[EVENT_ACCUMULATOR]) > 1.5 * len(found[EVENT])


def test_numbered_hashes_go_into_the_same_file_as_their_pairs(tmp_path: Path) -> None:
    rows = NumberedHashes(2**33 - 5, bytes(range(256)) * 20)
    assert len(rows) == len(rows.pairs()) == 160
    rows.write(tmp_path / "numbered.sst")
    _native.write_table(str(tmp_path / "pairs.sst"), rows.pairs())
    assert (tmp_path / "numbered.sst").read_bytes() == (tmp_path / "pairs.sst").read_bytes()


def test_what_cannot_be_written_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    columns = in_columns(framed([record(CHECKPOINT)]))
    for table, error in ((LEDGER_TABLES[0], FileExistsError), (EVENT, ValueError)):
        file = tmp_path / table.family
        if error is FileExistsError:
            file.touch()
        with pytest.raises(error):
            LedgerColumnRows(APTOS, columns, table, range(1)).write(file)
    assert [path.name for path in tmp_path.iterdir()] == [LEDGER_TABLES[0].family]


def test_columns_that_do_not_fit_each_other_are_refused() -> None:
    columns = in_columns(framed([record(CHECKPOINT, events=(event_v1(b"k" * 40, 1),))]))
    sound = (
        0,
        columns.data,
        columns.records,
        columns.events,
        columns.event_hashes,
        APTOS.event_accumulator,
        b"",
        0,
        0,
        1,
    )
    assert _native.count_ledger_rows(*sound) == 1
    for place, wrong in (
        (0, -1), (0, len(LEDGER_TABLES)), (2, b""), (4, b""), (5, b"seed"), (8, -1), (8, 2), (9, 2),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="do not have"):
            _native.count_ledger_rows(*sound[:place], wrong, *sound[place + 1 :])
    for data in (b"", bytes(columns.data)[:-1]):
        for table in range(len(LEDGER_TABLES)):
            arguments = (table, data, *sound[2:])
            assert _native.encode_ledger_rows(*arguments) is None
            assert _native.count_ledger_rows(*arguments) is None
    forged = bytearray(columns.events)
    forged[:8] = (2**40).to_bytes(8, "little")
    rows = _native.encode_ledger_rows(LEDGER_TABLES.index(EVENT), *sound[1:3], bytes(forged), *sound[4:])
    assert [value for _, value in rows] == [b""]
