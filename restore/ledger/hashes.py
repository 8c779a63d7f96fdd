"""Domain-separated hashes: `SHA3-256(seed(type name) || bytes)`.

Source: spec/ledger-hashing.md section 3. A network's prefix text is a parameter: forks' archives (`DIEM::`)
hash the same types under their own text.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from restore.crypto.digest import sha3_256

SPARSE_PLACEHOLDER = b"SPARSE_MERKLE_PLACEHOLDER_HASH".ljust(32, b"\0")
"""An empty subtree of the sparse Merkle tree: text, not a hash."""

ACCUMULATOR_PLACEHOLDER = b"ACCUMULATOR_PLACEHOLDER_HASH".ljust(32, b"\0")
"""A missing node of an accumulator: text, not a hash."""


@dataclass(frozen=True, slots=True)
class Domain:
    """The 32-byte seeds of one network's hashes, made from its prefix text.

    Attribute names follow the hashed type; the serialized type names are in `__post_init__`.
    """

    text: str
    state_key: bytes = field(init=False, repr=False)
    state_value: bytes = field(init=False, repr=False)
    sparse_leaf: bytes = field(init=False, repr=False)
    sparse_internal: bytes = field(init=False, repr=False)
    transaction_accumulator: bytes = field(init=False, repr=False)
    event_accumulator: bytes = field(init=False, repr=False)
    transaction: bytes = field(init=False, repr=False)
    transaction_info: bytes = field(init=False, repr=False)
    write_set: bytes = field(init=False, repr=False)
    event: bytes = field(init=False, repr=False)
    auxiliary_info: bytes = field(init=False, repr=False)
    ledger_info: bytes = field(init=False, repr=False)
    waypoint: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for attribute, type_name in (
            ("state_key", "StateKey"),
            ("state_value", "StateValue"),
            ("sparse_leaf", "SparseMerkleLeafNode"),
            ("sparse_internal", "SparseMerkleInternal"),
            ("transaction_accumulator", "TransactionAccumulator"),
            ("event_accumulator", "EventAccumulator"),
            ("transaction", "Transaction"),
            ("transaction_info", "TransactionInfo"),
            ("write_set", "WriteSet"),
            ("event", "ContractEvent"),
            ("auxiliary_info", "PersistedAuxiliaryInfo"),
            ("ledger_info", "LedgerInfo"),
            ("waypoint", "Ledger2WaypointConverter"),
        ):
            object.__setattr__(self, attribute, sha3_256((self.text + type_name).encode()))


APTOS = Domain("APTOS::")
