"""What users do to the chain: their transactions, with events and changes of state."""

from __future__ import annotations

from collections.abc import Sequence

from restore.sample import framework
from restore.sample.encode import ADDRESS_TAG, U64_TAG, struct_tag, u64, u128
from restore.sample.events import EventHandles, v2
from restore.sample.infos import SUCCESS, failure
from restore.sample.items import ItemMaker
from restore.sample.ledger import Execution
from restore.sample.seed import Source
from restore.sample.state import HotItem, LiveState
from restore.sample.users import UserTransactions
from restore.sample.writes import Changes

DEPOSIT_CREATION, WITHDRAW_CREATION = 2, 3
"""Creation numbers of an account's event handles."""

_DEPOSIT = struct_tag("coin", "DepositEvent")
_WITHDRAW = struct_tag("coin", "WithdrawEvent")
_FEE_STATEMENT = struct_tag("transaction_fee", "FeeStatement")
_TRANSFER = struct_tag("object", "Transfer", struct_tag("table", "Table", ADDRESS_TAG, U64_TAG))


class Activity:
    """All users of the chain.

    Args:
        seed: of what they do.
        state: that they change.
        maker: of new data.
        items: that they change, of those the state has.
    """

    def __init__(self, seed: int, state: LiveState, maker: ItemMaker, items: Sequence[HotItem]) -> None:
        self._source = Source(seed, "activity")
        self._transactions = UserTransactions(Source(seed, "user transactions"))
        self._state = state
        self._maker = maker
        self._items = items
        self._supply = 10**17

    def next(self, handles: EventHandles, timestamp_usecs: int, *, newer: bool) -> Execution:
        """The next transaction of some user; one in twelve fails, and only pays for it."""
        source = self._source
        sender, transaction, hashed = self._transactions.next(timestamp_usecs, newer=newer)
        gas = source.between(3, 2000)
        changes = Changes(self._state, self._maker, source)
        events = []
        status = failure(source) if source.one_in(12) else SUCCESS
        if status == SUCCESS:
            for item in source.pick_some(self._items, source.between(1, 4)):
                changes.touch(item)
            events += self._events(handles, sender, newer=newer)
        if status != SUCCESS or source.one_in(4):
            self._supply -= gas
            changes.put(framework.SUPPLY_KEY, u128(self._supply))
        if newer:
            events.append(v2(_FEE_STATEMENT, b"".join(u64(source.below(gas)) for _ in range(5))))
        return Execution(
            transaction, hashed, events=tuple(events), write_set=changes.encode(), status=status, gas=gas
        )

    def some_keys(self) -> list[bytes]:
        """StateKeys of up to three of the items."""
        return [item.key for item in self._source.pick_some(self._items, self._source.below(4))]

    def _events(self, handles: EventHandles, sender: bytes, *, newer: bool) -> list[bytes]:
        source = self._source
        amount = u64(source.between(1, 10**10))
        events = []
        for _ in range(source.below(3)):
            events.append(handles.v1(WITHDRAW_CREATION, sender, _WITHDRAW, amount))
            events.append(handles.v1(DEPOSIT_CREATION, source.take(32), _DEPOSIT, amount))
            if newer:
                events.append(v2(_TRANSFER, source.take(source.between(64, 200))))
        return events
