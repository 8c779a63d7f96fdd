from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from restore.crypto.digest import sha3_256, sha3_256_many
from restore.errors import ProofError
from restore.ledger.hashes import ACCUMULATOR_PLACEHOLDER, APTOS, Domain
from restore.ledger.transaction import TransactionRecord, parse_transaction_record
from restore.ledger.transaction_info import TransactionInfo
from restore.proof.accumulator import root_of
from restore.proof.transactions import check_transactions
from restore.wire.bcs import Reader, encode_bytes
from restore.wire.layouts import skipper
from restore.wire.records import cut_records
from tests.ledger.real import vectors

EVENTS = tuple(b"\x01\x02" + encode_bytes(bytes([number])) for number in range(3))
WRITE_SET = b"\x00\x01\x02\x01k\x00\x01v"
PLAIN = b"\x00"
HASHED = b"\x01\x05\x00\x00\x00"
UNTIMED = b"\x02\x05\x00\x00\x00"


def record(
    events: tuple[bytes, ...] = EVENTS, auxiliary_info: bytes = PLAIN, salt: int = 0
) -> TransactionRecord:
    """A transaction whose info commits to all of its parts."""
    transaction = b"\x03" + bytes([salt]) * 32
    auxiliary_hash = sha3_256(APTOS.auxiliary_info + auxiliary_info) if auxiliary_info == HASHED else None
    hashes = (
        sha3_256(APTOS.transaction + transaction)
        + root_of(APTOS.event_accumulator, sha3_256_many(APTOS.event, events))
        + sha3_256(APTOS.write_set + WRITE_SET)
    )
    options = b"\x00" + (b"\x00" if auxiliary_hash is None else b"\x01" + auxiliary_hash)
    info = TransactionInfo.parse(b"\x00" + bytes(8) + b"\x00" + hashes + options)
    return TransactionRecord(transaction, auxiliary_info, info, events, WRITE_SET)


def refused(records: list[TransactionRecord], domain: Domain = APTOS) -> ProofError:
    with pytest.raises(ProofError) as caught:
        check_transactions(domain, records, first_version=100)
    return caught.value


@pytest.mark.parametrize("auxiliary_info", [PLAIN, HASHED, UNTIMED])
@pytest.mark.parametrize("events", [(), EVENTS[:1], EVENTS])
def test_a_transaction_is_what_its_info_commits_to(events: tuple[bytes, ...], auxiliary_info: bytes) -> None:
    records = [record(events, auxiliary_info), record(salt=1), record((), salt=2)]
    leaves = check_transactions(APTOS, records, first_version=100)
    assert leaves == [sha3_256(APTOS.transaction_info + each.info.raw) for each in records]


def test_no_transactions_have_no_leaves() -> None:
    assert check_transactions(APTOS, [], first_version=0) == []


def test_without_events_the_root_is_the_placeholder() -> None:
    assert record(()).info.event_root_hash == ACCUMULATOR_PLACEHOLDER


@pytest.mark.parametrize(
    ("part", "damaged"),
    [
        ("transaction", replace(record(), transaction=b"\x03" + b"\x09" * 32)),
        ("event root", replace(record(), events=EVENTS[:2])),
        ("event root", replace(record(), events=(*EVENTS, EVENTS[0]))),
        ("event root", replace(record(), events=EVENTS[::-1])),
        ("event root", replace(record(), events=())),
        ("write set", replace(record(), write_set=b"\x00\x00")),
        ("auxiliary info", replace(record(), auxiliary_info=HASHED)),
        ("auxiliary info", replace(record(auxiliary_info=HASHED), auxiliary_info=b"\x01\x06\x00\x00\x00")),
        ("auxiliary info", replace(record(auxiliary_info=HASHED), auxiliary_info=PLAIN)),
        ("auxiliary info", replace(record(auxiliary_info=HASHED), auxiliary_info=UNTIMED)),
    ],
)
def test_a_part_that_the_info_does_not_commit_to_is_named(part: str, damaged: TransactionRecord) -> None:
    error = refused([record(salt=1), damaged, record(salt=2)])
    assert error.message.startswith(part)
    assert error.version == 101
    assert error.expected != error.found


def test_a_hash_that_is_missing_is_said_to_be_none() -> None:
    assert refused([replace(record(), auxiliary_info=HASHED)]).expected == "none"
    assert refused([replace(record(auxiliary_info=HASHED), auxiliary_info=PLAIN)]).found == "none"


def test_of_several_damaged_transactions_the_first_is_named() -> None:
    late = replace(record(salt=1), transaction=b"\x03" + bytes(32))
    early = replace(record(salt=2), auxiliary_info=HASHED)
    assert refused([record(), early, late]).version == 101


def test_events_do_not_move_to_a_neighbour() -> None:
    first, second = record(EVENTS[:1]), record(EVENTS[1:], salt=1)
    moved = [replace(first, events=EVENTS[:2]), replace(second, events=EVENTS[2:])]
    assert refused(moved).version == 100


def test_another_network_has_other_hashes() -> None:
    assert refused([record()], Domain("DIEM::")).version == 100


@pytest.mark.parametrize(
    "known", vectors("transactions.json")["event_roots"], ids=lambda known: str(known["name"])
)
def test_real_events_have_their_published_root(known: dict[str, str]) -> None:
    reader = Reader(bytes.fromhex(known["events_bcs"]))
    events = [reader.verbatim(skipper("ContractEvent")) for _ in range(reader.count())]
    reader.finish()
    root = root_of(APTOS.event_accumulator, sha3_256_many(APTOS.event, events))
    assert root.hex() == known["event_root_hash"]


def test_the_genesis_transaction_of_mainnet_is_what_its_info_commits_to(shared: Path) -> None:
    chunk = shared / "data" / "mainnet-genesis-backup" / "transaction_0-.1d67" / "0-.chunk"
    genesis = [parse_transaction_record(each, "V0") for each in cut_records(chunk.read_bytes())]
    (leaf,) = check_transactions(APTOS, genesis, first_version=0)
    assert leaf.hex() == "c326ceae74abbecb19b24a208425083603d2d5fbfebec776aa5338a237cc53b0"
    damaged = replace(genesis[0], write_set=genesis[0].write_set[:-1] + b"\x01")
    with pytest.raises(ProofError, match="write set") as caught:
        check_transactions(APTOS, [damaged], first_version=0)
    assert caught.value.version == 0
