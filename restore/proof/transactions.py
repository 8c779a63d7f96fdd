"""Whether the parts of transactions are those that their TransactionInfos commit to.

Source: spec/ledger-hashing.md sections 6.1 to 6.4 and 6.8. The infos themselves are proven by a range proof
over the hashes that `check_transactions` returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from restore.crypto.digest import sha3_256, sha3_256_many
from restore.errors import ProofError
from restore.ledger.hashes import Domain
from restore.ledger.transaction import TransactionRecord, hashed_transaction
from restore.proof.accumulator import root_of

_HASHED_AUXILIARY_INFO = 1
"""The one variant of PersistedAuxiliaryInfo that has a hash in the info."""


def check_transactions(
    domain: Domain, records: Sequence[TransactionRecord], *, first_version: int
) -> list[bytes]:
    """Checks transactions, events, write sets and auxiliary infos against the infos, and hashes the infos.

    Args:
        domain: the network's hashes.
        records: consecutive transactions.
        first_version: version of the first one.

    Returns:
        The hashes of the infos, in order: leaves of the transaction accumulator.

    Raises:
        ProofError: a part is not what the info of its version commits to; `version` is the lowest such one.
    """
    transactions = sha3_256_many(
        domain.transaction, [hashed_transaction(record.transaction) for record in records]
    )
    write_sets = sha3_256_many(domain.write_set, [record.write_set for record in records])
    events = iter(sha3_256_many(domain.event, [event for record in records for event in record.events]))
    parts = zip(records, transactions, write_sets, strict=True)
    for version, (record, transaction, write_set) in enumerate(parts, first_version):
        info = record.info
        event_root = root_of(domain.event_accumulator, list(islice(events, len(record.events))))
        for part, expected, found in (
            ("transaction", info.transaction_hash, transaction),
            ("event root", info.event_root_hash, event_root),
            ("write set", info.state_change_hash, write_set),
            ("auxiliary info", info.auxiliary_info_hash, _auxiliary_hash(domain, record.auxiliary_info)),
        ):
            if expected != found:
                raise ProofError(
                    f"{part} is not the one that the transaction info commits to",
                    version=version,
                    expected=expected or "none",
                    found=found or "none",
                )
    return sha3_256_many(domain.transaction_info, [record.info.raw for record in records])


def _auxiliary_hash(domain: Domain, auxiliary_info: bytes) -> bytes | None:
    if auxiliary_info[0] != _HASHED_AUXILIARY_INFO:
        return None
    return sha3_256(domain.auxiliary_info + auxiliary_info)
