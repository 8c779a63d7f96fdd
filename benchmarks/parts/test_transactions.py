"""A chunk of transactions from its bytes to proven leaves: the walk over BCS, and all parts hashed."""

from __future__ import annotations

import pytest

from benchmarks.parts.chunks import TRANSACTIONS, transaction_chunk
from benchmarks.parts.work import Part, Work
from restore.crypto.digest import sha3_256_many
from restore.ledger.hashes import APTOS
from restore.ledger.transaction import parse_transaction_record
from restore.proof.batch import prove_transactions

WORK = Work("transactions", f"{TRANSACTIONS:,} transactions to proven leaves", "transactions/s", TRANSACTIONS)


@pytest.mark.kernel
def test_ours(part: Part) -> None:
    chunk = transaction_chunk()
    part(WORK, lambda: prove_transactions(APTOS, chunk, "V1", first_version=1))


def test_hashing_alone(part: Part) -> None:
    """What each needs besides nodes of events: the hashes of transaction, write set, events and info."""
    records = [parse_transaction_record(record, "V1") for record in transaction_chunk().cut()]
    batches = [
        (APTOS.transaction, [record.transaction for record in records]),
        (APTOS.write_set, [record.write_set for record in records]),
        (APTOS.event, [event for record in records for event in record.events]),
        (APTOS.transaction_info, [record.info.raw for record in records]),
    ]

    def hash_all() -> None:
        for seed, messages in batches:
            sha3_256_many(seed, messages)

    part(WORK, hash_all, way="hashing all parts alone")
