"""Transactions and the records of transaction chunks.

Source: spec/ledger-hashing.md sections 6.1 and 6.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from restore.errors import FormatError
from restore.ledger.transaction_info import TransactionInfo
from restore.wire.bcs import Reader
from restore.wire.layouts import skipper

ChunkFormat = Literal["V0", "V1"]
"""How the records of a transaction chunk are laid out; the manifest says which."""

NO_AUXILIARY_INFO = b"\x00"
"""PersistedAuxiliaryInfo::None, what a V0 record stands for."""

_USER_TRANSACTION = 0
"""Variant of Transaction."""

_PAYLOAD_V2, _ENCRYPTED_PAYLOAD = 4, 5
"""Variants of TransactionPayload that carry an extra config, and in it a replay nonce."""

_PAYLOAD_OFFSET = 1 + 32 + 8
"""A user transaction begins with its variant, the sender and the sequence number."""

_skip_transaction = skipper("Transaction")
_skip_auxiliary_info = skipper("PersistedAuxiliaryInfo")
_skip_event = skipper("ContractEvent")
_skip_write_set = skipper("WriteSet")
_skip_payload = skipper("TransactionPayload")
_skip_executable = skipper("TransactionExecutable")
_skip_ciphertext = skipper("Ciphertext")
_skip_encrypted = skipper("EncryptedInner")


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """One transaction with everything it did, each part verbatim from the record.

    Attributes:
        transaction: BCS Transaction.
        auxiliary_info: BCS PersistedAuxiliaryInfo; NO_AUXILIARY_INFO in a V0 record.
        info: the TransactionInfo.
        events: BCS ContractEvent each, in order.
        write_set: BCS WriteSet.
    """

    transaction: bytes
    auxiliary_info: bytes
    info: TransactionInfo
    events: tuple[bytes, ...]
    write_set: bytes


@dataclass(frozen=True, slots=True)
class UserTransaction:
    """Who sent a user transaction, and what keeps it from being replayed: a sequence number or a nonce."""

    sender: bytes
    sequence_number: int | None
    nonce: int | None


def parse_transaction_record(record: bytes, chunk_format: ChunkFormat) -> TransactionRecord:
    """The parts of one record of a transaction chunk, all of them checked.

    Raises:
        FormatError: malformed, or bytes follow; a record of the other format is named as such.
    """
    try:
        return _parse(record, chunk_format)
    except FormatError:
        other: ChunkFormat = "V0" if chunk_format == "V1" else "V1"
        try:
            _parse(record, other)
        except FormatError:
            pass
        else:
            raise FormatError(
                "transaction record has another format than its manifest says",
                expected=chunk_format,
                found=other,
            ) from None
        raise


def _parse(record: bytes, chunk_format: ChunkFormat) -> TransactionRecord:
    reader = Reader(record)
    transaction = reader.verbatim(_skip_transaction)
    auxiliary_info = reader.verbatim(_skip_auxiliary_info) if chunk_format == "V1" else NO_AUXILIARY_INFO
    info = TransactionInfo.read(reader)
    events = tuple([reader.verbatim(_skip_event) for _ in range(reader.count())])
    write_set = reader.verbatim(_skip_write_set)
    reader.finish()
    return TransactionRecord(transaction, auxiliary_info, info, events, write_set)


def user_transaction(transaction: bytes) -> UserTransaction | None:
    """Who sent `transaction`, a well-formed one; None unless a user did."""
    if transaction[0] != _USER_TRANSACTION:
        return None
    reader = Reader(transaction, 1)
    sender = reader.fixed(32)
    sequence_number = reader.u64()
    nonce = _replay_nonce(reader)
    return UserTransaction(sender, sequence_number if nonce is None else None, nonce)


def hashed_transaction(transaction: bytes) -> bytes:
    """The bytes that the hash of `transaction`, a well-formed one, covers.

    They are the transaction verbatim, except that an encrypted payload counts as it was sent, whatever
    became of its decryption.
    """
    if transaction[0] != _USER_TRANSACTION or transaction[_PAYLOAD_OFFSET] != _ENCRYPTED_PAYLOAD:
        return transaction
    state = _PAYLOAD_OFFSET + 1  # encrypted, failed to decrypt, or decrypted: all begin with what was sent
    sent_end = _skip_encrypted(transaction, state + 1, len(transaction))
    payload_end = _skip_payload(transaction, _PAYLOAD_OFFSET, len(transaction))
    return transaction[:state] + b"\x00" + transaction[state + 1 : sent_end] + transaction[payload_end:]


def _replay_nonce(reader: Reader) -> int | None:
    """The nonce in the extra config of the payload at which `reader` stands."""
    payload = reader.uleb()
    if payload not in (_PAYLOAD_V2, _ENCRYPTED_PAYLOAD):
        return None
    reader.uleb()  # version of the payload, or state of the encryption
    reader.verbatim(_skip_executable if payload == _PAYLOAD_V2 else _skip_ciphertext)
    reader.uleb()  # version of the extra config: they begin alike
    if reader.option():
        reader.fixed(32)  # the multisig account
    return reader.u64() if reader.option() else None
