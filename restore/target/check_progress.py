"""Checks what a node reads first: progress rows and epoch endings.

Source: spec/aptosdb-schema.md sections 3.1 and 3.2.
"""

from __future__ import annotations

from itertools import zip_longest

from restore.errors import DamagedTargetError
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.state import Usage
from restore.proof.trust import TrustedHistory
from restore.target.base import MAX_REPLAY_VERSIONS, Outcome
from restore.target.check_rows import Steps, at_row, damaged, demand_count
from restore.target.progress import (
    Progress,
    final_rows,
    progress_key,
    progress_table,
    read_snapshot_value,
    snapshot_value,
)
from restore.target.schema import (
    EPOCH_BY_VERSION,
    INSTANCES,
    KV_METADATA,
    LEDGER_INFO,
    USED_TABLES,
    Table,
    u64,
)
from restore.target.store import RocksStore

SIGNATURES_PER_STEP = 64
"""Each takes one or two milliseconds."""


def check_progress(store: RocksStore, outcome: Outcome) -> Steps[None]:
    """Checks that the progress rows are those of `outcome`, and that tables nobody fills are empty.

    The row of the snapshot's values is left to `check_snapshot_progress`.

    Raises:
        DamagedTargetError: naming the row.
    """
    if outcome.target_version - outcome.snapshot_version > MAX_REPLAY_VERSIONS:
        raise DamagedTargetError(
            "state tree is too far behind for a node to open the database",
            version=outcome.snapshot_version,
            expected=f"{outcome.target_version - MAX_REPLAY_VERSIONS} or above",
        )
    expected: dict[str, dict[bytes, bytes]] = {instance: {} for instance in INSTANCES}
    for _, instance, rows in final_rows(outcome):
        expected[instance].update(rows)
    snapshot_key = progress_key(Progress.STATE_SNAPSHOT_KV_RESTORE, outcome.history_version)
    for instance, wanted in expected.items():
        table = progress_table(instance)
        for key, value in store.scan(table):
            if instance == KV_METADATA and key == snapshot_key:
                continue
            if key not in wanted:
                raise damaged(table, key, "progress row should not be there", found=value)
            if value != wanted[key]:
                raise damaged(table, key, "progress row has another value", expected=wanted[key], found=value)
            del wanted[key]
        for key, value in wanted.items():
            raise damaged(table, key, "progress row is missing", expected=value)
        for family in INSTANCES[instance]:
            if (unused := Table(instance, family)) not in USED_TABLES:
                yield from demand_count(store, unused, 0)


def check_snapshot_progress(
    store: RocksStore, outcome: Outcome, *, last_key: bytes | None, usage: Usage
) -> None:
    """Checks how far the snapshot's values came: to the last key, with this usage; no row if it has no items.

    Raises:
        DamagedTargetError: it says something else.
    """
    table = progress_table(KV_METADATA)
    key = progress_key(Progress.STATE_SNAPSHOT_KV_RESTORE, outcome.history_version)
    expected = None if last_key is None else snapshot_value(last_key, usage)
    found = store.get(table, key)
    if found == expected:
        return
    if found is not None and expected is not None:
        with at_row(table, key):
            _, counted = read_snapshot_value(found)
        raise damaged(
            table, key, "snapshot's progress does not fit its values", expected=usage, found=counted
        )
    raise damaged(
        table, key, "progress row is missing" if found is None else "progress row should not be there"
    )


def check_ledger_infos(
    store: RocksStore, history: TrustedHistory, *, target_version: int, epochs: int | None
) -> Steps[None]:
    """Checks that epochs 0 to the last are there, each vouched for by the one before; adds them to `history`.

    Args:
        store: the database.
        history: empty, with what is trusted.
        target_version: T; no epoch ends above it.
        epochs: how many there have to be; None if that is not known.

    Raises:
        DamagedTargetError: a row is missing, or does not fit the others.
        TrustError: nothing trusted vouches for one.
    """
    indexed = store.scan(EPOCH_BY_VERSION)
    for epoch, ((key, raw), index) in enumerate(
        zip_longest(store.scan(LEDGER_INFO), indexed, fillvalue=(b"", b""))
    ):
        if key != u64(epoch):
            raise damaged(LEDGER_INFO, u64(epoch), "row is missing", version=epoch)
        with at_row(LEDGER_INFO, key):
            signed = SignedLedgerInfo.parse(raw)
            history.extend(signed)
        if signed.info.version > target_version:
            raise damaged(
                LEDGER_INFO,
                key,
                "epoch ends above the target",
                expected=target_version,
                found=signed.info.version,
            )
        if index != (u64(signed.info.version), key):
            raise damaged(
                EPOCH_BY_VERSION, u64(signed.info.version), "row does not name its epoch", found=index[1]
            )
        if epoch % SIGNATURES_PER_STEP == SIGNATURES_PER_STEP - 1:
            yield SIGNATURES_PER_STEP
    if epochs is not None and history.epochs != epochs:
        raise damaged(
            LEDGER_INFO, u64(history.epochs), "row is missing", expected=epochs, found=history.epochs
        )
    yield history.epochs % SIGNATURES_PER_STEP
