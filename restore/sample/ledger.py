"""The ledger of the sample chain as it grows: one record a transaction, and all that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from restore.crypto.digest import sha3_256
from restore.ledger.hashes import Domain
from restore.ledger.state import Usage
from restore.sample.encode import sequence
from restore.sample.history import History
from restore.sample.infos import NO_AUXILIARY_INFO, SUCCESS, transaction_info
from restore.sample.spool import Spool
from restore.sample.state import LiveState

EMPTY_WRITE_SET = b"\x00\x00"

RECORD_SPILL_BYTES = 64 << 20
"""Records kept in memory: those of a usual sample."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One transaction and what it did; its changes are in the state already.

    Attributes:
        transaction: BCS Transaction.
        hashed: the bytes its hash covers.
        auxiliary: BCS PersistedAuxiliaryInfo.
        events: BCS ContractEvent each.
        write_set: BCS WriteSet.
        status: BCS ExecutionStatus.
        gas: units.
        is_checkpoint: whether its info carries the state root.
        hot_state_root: if given, its info is of the newer form.
    """

    transaction: bytes
    hashed: bytes
    auxiliary: bytes = NO_AUXILIARY_INFO
    events: tuple[bytes, ...] = ()
    write_set: bytes = EMPTY_WRITE_SET
    status: bytes = SUCCESS
    gas: int = 0
    is_checkpoint: bool = False
    hot_state_root: bytes | None = None


class Ledger:
    """Appends transactions.

    Args:
        domain: the network's hashes.
        state: that the transactions change.
        records: where the backup records go, in the form of their backup.
        auxiliary_from: first version whose record has room for an auxiliary info.
    """

    def __init__(self, domain: Domain, state: LiveState, records: Spool, *, auxiliary_from: int) -> None:
        self._domain = domain
        self._state = state
        self._records = records
        self._auxiliary_from = auxiliary_from
        self.history = History(domain.transaction_accumulator)
        self.usages: list[Usage] = []
        self.state_roots: dict[int, bytes] = {}
        self.last_info = b""

    @property
    def count(self) -> int:
        """Transactions so far, which is the next version."""
        return len(self.usages)

    @property
    def accumulator_root(self) -> bytes:
        """Over all transactions so far."""
        return self.history.root(self.count)

    def append(self, execution: Execution) -> None:
        """Adds the next transaction."""
        version = self.count
        if execution.is_checkpoint:
            self.state_roots[version] = self._state.checkpoint()
        events = list(execution.events)
        info = transaction_info(
            self._domain,
            hashed_transaction=execution.hashed,
            events=events,
            write_set=execution.write_set,
            auxiliary=execution.auxiliary,
            status=execution.status,
            gas=execution.gas,
            state_root=self.state_roots.get(version),
            hot_state_root=execution.hot_state_root,
        )
        auxiliary = execution.auxiliary if version >= self._auxiliary_from else b""
        self._records.append(
            execution.transaction + auxiliary + info + sequence(events) + execution.write_set
        )
        self.history.append(sha3_256(self._domain.transaction_info + info))
        self.usages.append(self._state.usage)
        self.last_info = info
