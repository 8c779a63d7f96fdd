from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.crypto.digest import sha3_256
from restore.errors import FormatError
from restore.ledger.hashes import APTOS
from restore.ledger.transaction import (
    ChunkFormat,
    TransactionRecord,
    UserTransaction,
    hashed_transaction,
    parse_transaction_record,
    user_transaction,
)
from restore.ledger.transaction_info import TransactionInfo
from restore.wire.bcs import encode_bytes, encode_uleb
from restore.wire.layouts import skipper
from tests.ledger.real import vectors
from tests.wire.values import encoded

KNOWN = {known["name"]: known for known in vectors("transactions.json")["transactions"]}
CHECKPOINT = b"\x03" + bytes(32)
INFO = b"\x00" + bytes(8) + b"\x00" + bytes(96) + b"\x00\x00"
EVENT = b"\x01\x02" + encode_bytes(b"data")
WRITE_SET = b"\x00\x01" + b"\x02\x01k" + b"\x02"

SENDER = b"s" * 32
EXTRA = {
    "neither": b"\x00" + b"\x00" + b"\x00",
    "multisig": b"\x00" + b"\x01" + b"m" * 32 + b"\x00",
    "nonce": b"\x00" + b"\x00" + b"\x01" + (77).to_bytes(8, "little"),
    "both, V2": b"\x01" + b"\x01" + b"m" * 32 + b"\x01" + (77).to_bytes(8, "little") + b"\x00",
}
EMPTY_EXECUTABLE = b"\x02"
CIPHERTEXT = (
    encode_bytes(b"key") + encode_bytes(b"1") + encode_bytes(b"2") + bytes(16 + 12) + b"\x00\x00" + bytes(64)
)


def user(payload: bytes, sequence_number: int = 2**64 - 1) -> bytes:
    authenticator = b"\x00" + encode_bytes(bytes(32)) + encode_bytes(bytes(64))
    return b"\x00" + SENDER + sequence_number.to_bytes(8, "little") + payload + bytes(25) + authenticator


def encrypted(extra: bytes) -> bytes:
    """An EncryptedInner: ciphertext, extra config, payload hash, encryption epoch, no claimed function."""
    return CIPHERTEXT + extra + b"h" * 32 + bytes(8) + b"\x00"


def record(chunk_format: ChunkFormat = "V0", *, auxiliary_info: bytes = b"\x00") -> bytes:
    middle = auxiliary_info if chunk_format == "V1" else b""
    return CHECKPOINT + middle + INFO + encode_uleb(2) + EVENT + EVENT + WRITE_SET


@pytest.mark.parametrize("name", KNOWN)
def test_a_real_transaction_has_its_published_hash(name: str) -> None:
    transaction = bytes.fromhex(KNOWN[name]["bcs"])
    assert skipper("Transaction")(transaction, 0, len(transaction)) == len(transaction)
    assert sha3_256(APTOS.transaction + hashed_transaction(transaction)).hex() == KNOWN[name]["hash"]
    parsed = parse_transaction_record(transaction + INFO + b"\x00" + WRITE_SET, "V0")
    assert parsed.transaction == transaction


@pytest.mark.parametrize("name", KNOWN)
def test_only_users_transactions_have_a_sender(name: str) -> None:
    transaction = bytes.fromhex(KNOWN[name]["bcs"])
    sent = user_transaction(transaction)
    assert (sent is not None) == name.startswith("User")
    if sent is not None:
        assert sent.sender == transaction[1:33]
        assert sent.sequence_number == int.from_bytes(transaction[33:41], "little")
        assert sent.nonce is None


@pytest.mark.parametrize("auxiliary_info", [b"\x00", b"\x01\x05\x00\x00\x00", b"\x02\x05\x00\x00\x00"])
def test_a_record_of_format_v1_has_its_auxiliary_info(auxiliary_info: bytes) -> None:
    parsed = parse_transaction_record(record("V1", auxiliary_info=auxiliary_info), "V1")
    assert parsed == TransactionRecord(
        transaction=CHECKPOINT,
        auxiliary_info=auxiliary_info,
        info=TransactionInfo.parse(INFO),
        events=(EVENT, EVENT),
        write_set=WRITE_SET,
    )


def test_a_record_of_format_v0_has_none() -> None:
    assert parse_transaction_record(record(), "V0") == parse_transaction_record(record("V1"), "V1")


@pytest.mark.parametrize(("written", "stated"), [("V0", "V1"), ("V1", "V0")])
def test_a_record_of_the_other_format_is_named(written: ChunkFormat, stated: ChunkFormat) -> None:
    with pytest.raises(FormatError, match="another format than its manifest says") as caught:
        parse_transaction_record(record(written), stated)
    assert (caught.value.expected, caught.value.found) == (stated, written)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "runs past the end"),
        (record()[:-1], "runs past the end"),
        (record() + b"\x00", "bytes follow"),
        (b"\x07" + record()[1:], "unknown variant of Transaction"),
        (user(b"\x01" + bytes(8)) + record()[33:], "module bundle"),
        (CHECKPOINT + INFO + b"\xff\xff\xff\xff\x0f", "too long"),
    ],
)
def test_a_malformed_record_is_refused_as_what_it_should_be(data: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        parse_transaction_record(data, "V0")


@given(st.data())
@settings(deadline=None)
def test_the_parts_of_a_record_are_its_bytes(data: st.DataObject) -> None:
    transaction, auxiliary_info = (
        data.draw(encoded("Transaction")),
        data.draw(encoded("PersistedAuxiliaryInfo")),
    )
    info, write_set = data.draw(encoded("TransactionInfo")), data.draw(encoded("WriteSet"))
    events = tuple(data.draw(st.lists(encoded("ContractEvent"), max_size=3)))
    tail = encode_uleb(len(events)) + b"".join(events) + write_set
    parsed = parse_transaction_record(transaction + auxiliary_info + info + tail, "V1")
    assert parsed == TransactionRecord(
        transaction, auxiliary_info, TransactionInfo.parse(info), events, write_set
    )
    assert parse_transaction_record(transaction + info + tail, "V0").write_set == write_set


@given(st.binary(max_size=300), st.sampled_from(["V0", "V1"]))
def test_random_bytes_raise_nothing_but_format_errors(data: bytes, chunk_format: ChunkFormat) -> None:
    with suppress(FormatError):
        parse_transaction_record(data, chunk_format)


@given(encoded("Transaction"))
@settings(deadline=None)
def test_any_well_formed_transaction_can_be_looked_into(transaction: bytes) -> None:
    sent = user_transaction(transaction)
    assert (sent is None) == (transaction[0] != 0)
    if sent is not None:
        assert (sent.sequence_number is None) != (sent.nonce is None)
    hashed = hashed_transaction(transaction)
    assert skipper("Transaction")(hashed, 0, len(hashed)) == len(hashed)
    assert hashed_transaction(hashed) == hashed


@pytest.mark.parametrize(
    ("extra", "sequence_number", "nonce"),
    [("neither", 9, None), ("multisig", 9, None), ("nonce", None, 77), ("both, V2", None, 77)],
)
@pytest.mark.parametrize("kind", ["plain", "encrypted", "failed", "decrypted"])
def test_a_nonce_takes_the_place_of_the_sequence_number(
    kind: str, extra: str, sequence_number: int | None, nonce: int | None
) -> None:
    payload = {
        "plain": b"\x04\x00" + EMPTY_EXECUTABLE + EXTRA[extra],
        "encrypted": b"\x05\x00" + encrypted(EXTRA[extra]),
        "failed": b"\x05\x01" + encrypted(EXTRA[extra]) + b"\x00" + b"\x03",
        "decrypted": b"\x05\x02"
        + encrypted(EXTRA[extra])
        + encode_bytes(b"key")
        + EMPTY_EXECUTABLE
        + bytes(16),
    }[kind]
    transaction = user(payload, sequence_number=9)
    assert skipper("Transaction")(transaction, 0, len(transaction)) == len(transaction)
    assert user_transaction(transaction) == UserTransaction(SENDER, sequence_number, nonce)


def test_an_encrypted_payload_is_hashed_as_it_was_sent() -> None:
    sent = encrypted(EXTRA["nonce"])
    original = user(b"\x05\x00" + sent)
    failed = user(b"\x05\x01" + sent + b"\x01" + encode_bytes(b"key") + b"\x05")
    decrypted = user(b"\x05\x02" + sent + encode_bytes(b"key") + EMPTY_EXECUTABLE + bytes(16))
    assert hashed_transaction(original) == original
    assert hashed_transaction(failed) == hashed_transaction(decrypted) == original


def test_every_other_transaction_is_hashed_verbatim() -> None:
    for known in KNOWN.values():
        transaction = bytes.fromhex(known["bcs"])
        assert hashed_transaction(transaction) == transaction
    plain = user(b"\x04\x00" + EMPTY_EXECUTABLE + EXTRA["nonce"])
    assert hashed_transaction(plain) == plain
