from __future__ import annotations

import gzip
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.errors import FormatError
from restore.ledger.ledger_info import EpochState, LedgerInfo, SignedLedgerInfo, Validator
from restore.wire.bcs import Reader, encode_bytes, encode_uleb
from restore.wire.records import cut_records
from tests.ledger.real import shared_vectors, signed, signing_epoch

NO_SIGNATURES = b"\x00\x00"
SIGNATURES = encode_bytes(b"\x80") + b"\x01" + encode_bytes(b"s" * 96)


def epoch_state(epoch: int, *powers: int) -> bytes:
    validators = [b"a" * 32 + encode_bytes(b"k" * 48) + power.to_bytes(8, "little") for power in powers]
    return epoch.to_bytes(8, "little") + encode_uleb(len(powers)) + b"".join(validators)


def ledger_info(next_epoch_state: bytes | None) -> bytes:
    next_epoch = b"\x00" if next_epoch_state is None else b"\x01" + next_epoch_state
    numbers = [number.to_bytes(8, "little") for number in (5, 6, 7, 8)]
    return numbers[0] + numbers[1] + b"i" * 32 + b"x" * 32 + numbers[2] + numbers[3] + next_epoch + b"c" * 32


def test_a_ledger_info_is_read_in_full() -> None:
    raw = ledger_info(epoch_state(6, 10, 20))
    found = SignedLedgerInfo.parse(b"\x00" + raw + SIGNATURES)
    validators = (Validator(b"a" * 32, b"k" * 48, 10), Validator(b"a" * 32, b"k" * 48, 20))
    info = LedgerInfo(
        epoch=5,
        round=6,
        id=b"i" * 32,
        executed_state_id=b"x" * 32,
        version=7,
        timestamp_usecs=8,
        next_epoch_state=EpochState(6, validators, epoch_state(6, 10, 20)),
        consensus_data_hash=b"c" * 32,
        raw=raw,
    )
    assert found == SignedLedgerInfo(info, b"\x80", b"s" * 96, b"\x00" + raw + SIGNATURES)


def test_a_ledger_info_inside_an_epoch_names_no_validators() -> None:
    found = SignedLedgerInfo.parse(b"\x00" + ledger_info(None) + NO_SIGNATURES)
    assert found.info.next_epoch_state is None
    assert (found.bitmask, found.signature) == (b"", None)


def test_what_follows_is_left_to_the_reader() -> None:
    raw = b"\x00" + ledger_info(None) + SIGNATURES
    reader = Reader(b"before" + raw + b"after", 6)
    assert SignedLedgerInfo.read(reader).raw == raw
    assert reader.offset == 6 + len(raw)


@pytest.mark.parametrize("epoch", [0, 5, 7])
def test_the_next_epoch_is_the_one_after_this(epoch: int) -> None:
    with pytest.raises(FormatError, match="wrong next epoch") as caught:
        SignedLedgerInfo.parse(b"\x00" + ledger_info(epoch_state(epoch)) + NO_SIGNATURES)
    assert (caught.value.expected, caught.value.found) == ("6", str(epoch))


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "past the end"),
        (b"\x01" + ledger_info(None) + SIGNATURES, "unknown variant"),
        (b"\x00" + ledger_info(None)[:-1], "past the end"),
        (b"\x00" + ledger_info(None) + SIGNATURES + b"\x00", "bytes follow"),
        (b"\x00" + ledger_info(None) + b"\x00\x02", "neither 0 nor 1"),
        (b"\x00" + ledger_info(None) + b"\x00\x01" + encode_bytes(bytes(95)), "signature has a wrong length"),
        (b"\x00" + ledger_info(None) + b"\x00\x01" + encode_bytes(bytes(97)), "signature has a wrong length"),
        (b"\x00" + ledger_info(b"\x06" + bytes(7) + b"\xff\xff\xff\xff\x07"), "past the end"),
    ],
)
def test_a_malformed_ledger_info_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        SignedLedgerInfo.parse(raw)


def test_a_public_key_has_48_bytes() -> None:
    # As long as an entry with a good key, so that only the length byte tells.
    entry = b"a" * 32 + encode_bytes(b"k" * 47) + bytes(9)
    with pytest.raises(FormatError, match="public key") as caught:
        EpochState.parse(bytes(8) + b"\x01" + entry)
    assert caught.value.found == "47"


def test_bytes_after_an_epoch_state_are_refused() -> None:
    with pytest.raises(FormatError, match="bytes follow"):
        EpochState.parse(epoch_state(1, 1) + b"\x00")


@given(st.binary(max_size=400))
def test_random_bytes_raise_nothing_but_format_errors(data: bytes) -> None:
    for parse in (SignedLedgerInfo.parse, EpochState.parse):
        with suppress(FormatError):
            parse(data)


@pytest.mark.parametrize(
    ("powers", "quorum"),
    [
        ((), 0),
        ((1,), 1),
        ((1, 1), 2),
        ((1, 1, 1), 3),
        ((1, 1, 1, 1), 3),
        ((10,), 7),
        ((2**64 - 1,) * 3, 2 * (2**64 - 1) + 1),
    ],
)
def test_a_quorum_is_more_than_two_thirds(powers: tuple[int, ...], quorum: int) -> None:
    state = EpochState.parse(epoch_state(1, *powers))
    assert state.total_power == sum(powers)
    assert state.quorum_power == quorum


@pytest.mark.parametrize(
    "name",
    ["epoch-7248-ending", "epoch-7495-ending", "inclusion-version-964644771", "inclusion-version-998167816"],
)
def test_mainnet_ledger_infos_are_read_as_published(name: str, shared: Path) -> None:
    row = shared_vectors(shared, f"real-ledger-infos/aptos-mainnet-{name}.json")
    info, expected = signed(row).info, row["ledger_info"]
    assert (info.epoch, info.round, info.version) == (
        expected["epoch"],
        expected["round"],
        expected["version"],
    )
    assert info.timestamp_usecs == expected["timestamp_usecs"]
    assert info.id.hex() == expected["id"]
    assert info.executed_state_id.hex() == expected["executed_state_id"]
    assert info.consensus_data_hash.hex() == expected["consensus_data_hash"]
    assert len(info.raw) == expected["ledger_info_bcs_len"]
    if expected["next_epoch"] is None:
        assert info.next_epoch_state is None
    else:
        assert info.next_epoch_state is not None
        assert info.next_epoch_state.epoch == expected["next_epoch"]
        assert len(info.next_epoch_state.validators) == expected["next_epoch_validators"]
    validators = signing_epoch(row)
    assert str(validators.total_power) == row["verification"]["total_voting_power"]
    assert str(validators.quorum_power) == row["verification"]["quorum_voting_power"]


@pytest.mark.parametrize(
    "folder", ["epoch_ending_115-.7a38", "epoch_ending_116-.be9b", "epoch_ending_117-.64c0"]
)
def test_epoch_ending_chunks_as_stored_by_open_libra_are_read(folder: str, shared: Path) -> None:
    path = shared / "data" / "vectors" / "real-ledger-infos" / "openlibra-v7-raw" / folder
    epoch = int(folder.removeprefix("epoch_ending_").partition("-")[0])
    (record,) = cut_records(gzip.decompress((path / f"{epoch}-.chunk").read_bytes()))
    info = SignedLedgerInfo.parse(record).info
    assert info.epoch == epoch
    assert info.next_epoch_state is not None
