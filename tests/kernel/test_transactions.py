"""Transactions in columns against parsed ones: the same hashes, and the same chunks refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.errors import RestoreError
from restore.ledger.hashes import APTOS, Domain
from restore.ledger.transaction import ChunkFormat
from restore.proof.batch import (
    ParsedTransactions,
    TransactionColumns,
    kernel_columns,
    parse_transactions,
)
from restore.wire.bcs import encode_bytes, encode_uleb
from restore.wire.records import FramedRecords, frame
from tests.kernel.examples import tried
from tests.kernel.honest import framed, record, records
from tests.ledger.real import vectors

pytest.importorskip("restore.kernel._native")

CHECKPOINT = b"\x03" + bytes(32)
EVENT = b"\x01\x02" + encode_bytes(b"data")


def in_columns(chunk: FramedRecords, chunk_format: ChunkFormat) -> TransactionColumns | None:
    return kernel_columns(APTOS, chunk, chunk_format, first_version=7)


def parsed(chunk: FramedRecords, chunk_format: ChunkFormat) -> ParsedTransactions | None:
    try:
        found = parse_transactions(APTOS, chunk, chunk_format, first_version=7)
    except RestoreError:
        return None
    return found if len(found) == chunk.count else None


def same(chunk: FramedRecords, chunk_format: ChunkFormat) -> bool:
    """Whether both forms accept the chunk; they must agree, and say the same of it."""
    columns, objects = in_columns(chunk, chunk_format), parsed(chunk, chunk_format)
    if columns is None or objects is None:
        assert columns is None
        assert objects is None
        return False
    assert columns.leaves == objects.leaves
    assert len(columns) == len(objects) == chunk.count
    for part in (range(chunk.count), range(1, chunk.count)):
        assert columns.write_sets(part) == objects.write_sets(part)
        assert columns.extent(part).events == objects.extent(part).events
    assert list(columns.events_of(range(chunk.count))) == [
        event for record in objects.records for event in record.events
    ]
    return True


@pytest.mark.parametrize("chunk_format", ["V0", "V1"])
@given(data=st.data())
@tried(60)
def test_honest_transactions_of_all_kinds_have_the_same_hashes(
    chunk_format: ChunkFormat, data: st.DataObject
) -> None:
    parts = data.draw(st.lists(records(chunk_format), min_size=1, max_size=4))
    assert same(framed(parts), chunk_format)
    same(framed(parts), "V0" if chunk_format == "V1" else "V1")


@pytest.mark.parametrize("chunk_format", ["V0", "V1"])
@given(data=st.data())
@tried(100)
def test_damaged_transactions_are_refused_by_both(chunk_format: ChunkFormat, data: st.DataObject) -> None:
    chunk = framed(data.draw(st.lists(records(chunk_format), min_size=1, max_size=3)))
    damaged = bytearray(chunk.data)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged) - 1)) :]
    same(FramedRecords(bytes(damaged), chunk.count), chunk_format)


@given(st.binary(max_size=200), st.integers(0, 3), st.sampled_from(["V0", "V1"]))
@tried(200)
def test_random_bytes_are_refused_by_both(data: bytes, count: int, chunk_format: ChunkFormat) -> None:
    chunk = FramedRecords(data, count)
    assert in_columns(chunk, chunk_format) is None or (count == 0 and not data)


def test_another_number_of_records_is_refused() -> None:
    two = framed([record(CHECKPOINT)] * 2)
    assert in_columns(two, "V0") is not None
    for count in (-1, 0, 1, 3, 2**62):
        assert in_columns(FramedRecords(two.data, count), "V0") is None


def test_an_impossible_length_is_refused() -> None:
    assert in_columns(FramedRecords((2**27 + 1).to_bytes(4) + bytes(100), 1), "V0") is None
    assert in_columns(FramedRecords(b"\x00\x00\x00", 1), "V0") is None


def test_no_transactions_have_no_leaves() -> None:
    columns = in_columns(FramedRecords(b"", 0), "V1")
    assert columns is not None
    assert len(columns) == 0


def test_many_transactions_go_in_slices() -> None:
    """More than are hashed at once, with events from none to many in turn."""
    auxiliary_infos = (b"\x00", b"\x01\x05\x00\x00\x00")
    parts = [
        record(
            b"\x03" + number.to_bytes(32),
            events=(EVENT,) * (number % 23),
            auxiliary_info=auxiliary_infos[number % 2],
        )
        for number in range(2500)
    ]
    assert same(framed(parts), "V1")
    late = bytearray(parts[2400])
    late[5] ^= 1
    assert not same(framed([*parts[:2400], bytes(late), *parts[2401:]]), "V1")


@pytest.mark.parametrize("count", [*range(18), 31, 32, 33, 64, 100])
def test_events_of_any_number_have_their_root(count: int) -> None:
    events = tuple(b"\x01\x02" + encode_bytes(bytes([number])) for number in range(count))
    chunk = framed([record(CHECKPOINT, events=events)])
    assert same(chunk, "V0")
    if count > 1:
        swapped = record(CHECKPOINT, events=events).replace(
            b"".join(events), b"".join((events[1], events[0], *events[2:]))
        )
        assert not same(framed([swapped]), "V0")


@pytest.mark.parametrize(
    "known", vectors("transactions.json")["transactions"], ids=lambda known: known["name"]
)
def test_real_transactions_are_hashed_as_published(known: dict[str, str]) -> None:
    transaction = bytes.fromhex(known["bcs"])
    honest = record(transaction)
    assert bytes.fromhex(known["hash"]) in honest
    assert same(framed([honest]), "V0")


def test_the_genesis_transaction_of_mainnet_is_what_its_info_commits_to(shared: Path) -> None:
    data = (shared / "data" / "mainnet-genesis-backup" / "transaction_0-.1d67" / "0-.chunk").read_bytes()
    columns = in_columns(FramedRecords(data, 1), "V0")
    assert columns is not None
    assert columns.leaves.hex() == "c326ceae74abbecb19b24a208425083603d2d5fbfebec776aa5338a237cc53b0"
    assert same(FramedRecords(data, 1), "V0")
    assert not same(FramedRecords(data[:-1] + bytes([data[-1] ^ 1]), 1), "V0")


def test_another_network_has_other_hashes() -> None:
    chunk = framed([record(CHECKPOINT)])
    assert kernel_columns(Domain("DIEM::"), chunk, "V0", first_version=7) is None
    assert isinstance(in_columns(chunk, "V0"), TransactionColumns)


def test_a_record_has_nothing_after_it() -> None:
    honest = record(CHECKPOINT)
    assert not same(FramedRecords(frame(honest + b"\x00"), 1), "V0")
    assert not same(FramedRecords(frame(honest) + b"\x00", 1), "V0")
    assert not same(FramedRecords(frame(honest[:-1]) + honest[-1:], 1), "V0")
    assert not same(FramedRecords(frame(honest[:-2] + encode_uleb(1)), 1), "V0")
