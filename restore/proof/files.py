"""The three proof files of a backup: each is one BCS value, and nothing after it.

Source: spec/ledger-hashing.md 5.4 (chunks of a state snapshot), 6.8 (transactions), 6.9 (`state.proof`).
"""

from __future__ import annotations

from dataclasses import dataclass

from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.transaction_info import TransactionInfo
from restore.proof.ranges import AccumulatorProof, AccumulatorRangeProof
from restore.wire.bcs import Reader


@dataclass(frozen=True, slots=True)
class StateProof:
    """What vouches for a snapshot's root: the transaction that made it, and the ledger info above that.

    Attributes:
        proof: of `info` at the snapshot's version.
        info: its `state_checkpoint_hash` is the snapshot's root.
        signed: its `executed_state_id` is the root of `proof`.
    """

    proof: AccumulatorProof
    info: TransactionInfo
    signed: SignedLedgerInfo


@dataclass(frozen=True, slots=True)
class TransactionProof:
    """What vouches for a chunk of transactions.

    Attributes:
        range: of the chunk's transaction infos.
        signed: its `executed_state_id` is the root of `range`.
    """

    range: AccumulatorRangeProof
    signed: SignedLedgerInfo


def parse_state_proof(data: bytes) -> StateProof:
    """Parses a snapshot's `state.proof`.

    Raises:
        FormatError: the bytes do not parse, or go on after the value.
    """
    reader = Reader(data)
    proof = AccumulatorProof.read(reader)
    info = TransactionInfo.read(reader)
    signed = SignedLedgerInfo.read(reader)
    reader.finish()
    return StateProof(proof, info, signed)


def parse_transaction_proof(data: bytes) -> TransactionProof:
    """Parses the proof file of a transaction chunk.

    Raises:
        FormatError: the bytes do not parse, or go on after the value.
    """
    reader = Reader(data)
    range_proof = AccumulatorRangeProof.read(reader)
    signed = SignedLedgerInfo.read(reader)
    reader.finish()
    return TransactionProof(range_proof, signed)


def parse_range_proof(data: bytes) -> tuple[bytes, ...]:
    """Parses the proof file of a state chunk: right siblings, bottom to root, placeholders included.

    Raises:
        FormatError: the bytes do not parse, or go on after the value.
    """
    reader = Reader(data)
    siblings = reader.hashes()
    reader.finish()
    return siblings
