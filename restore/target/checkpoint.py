"""Proves the state at T > V: the tree at V, changed by the stored write sets, has the roots that were signed.

The tree in the database stays the one at V; a node builds the one at T by itself when it first opens it.

Source: spec/aptosdb-schema.md sections 3.1 (step 7) and 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from restore.errors import DamagedTargetError, ProofError
from restore.flow.threads import Workers
from restore.ledger.hashes import Domain
from restore.ledger.state import hash_keys, hash_values
from restore.ledger.transaction_info import TransactionInfo
from restore.ledger.write_set import parse_write_set
from restore.report.events import Advanced, PhaseFinished, PhaseStarted, Report
from restore.target.overlay import Change, StateTree
from restore.target.schema import (
    TRANSACTION_INFO,
    VERSION_DATA,
    WRITE_SET,
    read_usage,
    u64,
)
from restore.target.steps import STEP_BYTES
from restore.target.store import RocksStore

BATCH_KEYS = 4096
"""Keys changed before the tree is: enough to share the upper nodes, some 40 MB of nodes in a tree of 10^9."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A version whose state root is known: its root and leaves, recomputed and equal to what was signed."""

    version: int
    root: bytes
    leaves: int


@dataclass(frozen=True, slots=True)
class _Batch:
    """Final values, by BCS StateKey, that versions up to a checkpoint gave to the keys they changed."""

    version: int
    expected: bytes
    changes: dict[bytes, bytes | None]


async def recompute(
    store: RocksStore,
    domain: Domain,
    *,
    workers: Workers,
    snapshot_version: int,
    target_version: int,
    report: Report,
) -> Checkpoint | None:
    """Recomputes the state root after V, batch by batch, up to the last checkpoint at or below T.

    Args:
        store: holds the tree at V, and write sets, infos and usage of V+1..T.
        domain: the network's hashes.
        workers: run each batch.
        snapshot_version: V.
        target_version: T.
        report: takes events.

    Returns:
        The last checkpoint; None if there is none above V.

    Raises:
        ProofError: a root is not its transaction's `state_checkpoint_hash`.
        DamagedTargetError: a row is missing, or the usage counts other items than the tree has leaves.

    Cancellation: between batches. Nothing is left: the scratch database is removed.
    Bounds: BATCH_KEYS keys or STEP_BYTES of changes and the block that passes either, with the nodes above.
    """
    scratch = store.scratch()
    last: Checkpoint | None = None
    phase, reached = f"state at {target_version}", snapshot_version
    report(PhaseStarted(phase, "transactions", target_version - snapshot_version))
    try:
        await workers.run(scratch.open)
        tree = StateTree(store, scratch, domain, snapshot_version)
        batches = _batches(store, snapshot_version + 1, target_version)
        while (batch := await workers.run(next, batches, None)) is not None:
            last = await workers.run(_check, store, domain, tree, batch)
            report(Advanced(phase, batch.version - reached, 0))
            reached = batch.version
    finally:
        await workers.run(scratch.close)
    report(PhaseFinished(phase))
    return last


def _check(store: RocksStore, domain: Domain, tree: StateTree, batch: _Batch) -> Checkpoint:
    """Applies a batch, and compares what comes out with what was signed and counted."""
    keys = list(batch.changes)
    live = [value for value in batch.changes.values() if value is not None]
    hashes = iter(hash_values(domain, live))
    changes = [
        Change(key_hash, None if batch.changes[key] is None else next(hashes), key)
        for key, key_hash in zip(keys, hash_keys(domain, keys), strict=True)
    ]
    root, leaves = tree.apply(changes)
    if root != batch.expected:
        raise ProofError(
            "state after the write sets has another root than its checkpoint",
            version=batch.version,
            expected=batch.expected,
            found=root,
        )
    usage = read_usage(_row(store.get(VERSION_DATA, u64(batch.version)), "usage", batch.version))
    if usage.items != leaves:
        raise DamagedTargetError(
            "usage counts other items than the state tree has leaves",
            file=str(VERSION_DATA),
            version=batch.version,
            expected=leaves,
            found=usage.items,
        )
    return Checkpoint(batch.version, root, leaves)


def _batches(store: RocksStore, first: int, last: int) -> Iterator[_Batch]:
    """Batches of changes of the versions `first` to `last`, each ending at a checkpoint."""
    waiting: dict[bytes, bytes | None] = {}  # since the last checkpoint
    batch: _Batch | None = None  # up to it
    size = 0
    write_sets, infos = store.scan(WRITE_SET, u64(first)), store.scan(TRANSACTION_INFO, u64(first))
    for version in range(first, last + 1):
        write_set = _row(_at(next(write_sets, None), version), "write set", version)
        info = TransactionInfo.parse(_row(_at(next(infos, None), version), "transaction info", version))
        waiting.update(parse_write_set(write_set))
        size += len(write_set)
        if info.state_checkpoint_hash is None:
            continue
        changes = {} if batch is None else batch.changes
        changes.update(waiting)
        waiting.clear()
        batch = _Batch(version, info.state_checkpoint_hash, changes)
        if len(changes) >= BATCH_KEYS or size >= STEP_BYTES:
            yield batch
            batch, size = None, 0
    if batch is not None:
        yield batch


def _at(row: tuple[bytes, bytes] | None, version: int) -> bytes | None:
    return row[1] if row is not None and row[0] == u64(version) else None


def _row(value: bytes | None, name: str, version: int) -> bytes:
    if value is None:
        raise DamagedTargetError(f"{name} is missing", version=version)
    return value
