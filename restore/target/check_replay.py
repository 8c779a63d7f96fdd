"""Checks what write sets did above K: values, stale rows, and the usage of every version.

Source: spec/aptosdb-schema.md sections 2.3, 4.4 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from restore.ledger.hashes import Domain
from restore.ledger.state import Usage
from restore.target.check_rows import Steps, at_row, compare, damaged, demand, demand_count
from restore.target.replay import replay
from restore.target.schema import SHARDS, STALE_VALUES, STATE_VALUES, VERSION_DATA, WRITE_SET, read_usage, u64
from restore.target.steps import STEP_BYTES
from restore.target.store import RocksStore

STEP_VERSIONS = 512
"""Write sets checked in one step, or fewer where they are large."""


@dataclass(slots=True)
class ReplayFindings:
    """What the write sets above K come to.

    Attributes:
        usages: usage at K, V and T, by version.
        key_bytes: by how much the bytes of live keys had grown since K, by the same versions.
        written: value rows above K, by shard.
    """

    usages: dict[int, Usage]
    key_bytes: dict[int, int]
    written: list[int] = field(default_factory=lambda: [0] * SHARDS)


def check_replay(
    store: RocksStore, domain: Domain, *, history_version: int, target_version: int, versions: frozenset[int]
) -> Steps[ReplayFindings]:
    """Replays the stored write sets and compares every row that comes out.

    Args:
        store: the database; its write sets are checked.
        domain: the network's hashes.
        history_version: K, or V where no older state was asked for.
        target_version: T.
        versions: whose usage is wanted: V and T, besides K.

    Raises:
        DamagedTargetError, FormatError: naming the row.

    Bounds: the rows of STEP_VERSIONS write sets, or of STEP_BYTES and one.
    """
    usage = stored_usage(store, history_version)
    found = ReplayFindings({history_version: usage}, {history_version: 0})
    stale = [0] * SHARDS
    key_bytes = 0
    for first, write_sets in _batches(store, history_version + 1, target_version, cuts=versions):
        replayed = replay(store, domain, first_version=first, write_sets=write_sets, usage=usage)
        for table, rows in replayed.rows.items():
            compare(store, table, rows)
        for shard in range(SHARDS):
            stale[shard] += len(replayed.rows.get(STALE_VALUES[shard], ()))
            found.written[shard] += len(replayed.rows.get(STATE_VALUES[shard], ()))
        usage, key_bytes = replayed.usage, key_bytes + replayed.key_bytes
        last = first + len(write_sets) - 1
        if last in versions:
            found.usages[last], found.key_bytes[last] = usage, key_bytes
        yield len(write_sets)
    for shard, count in enumerate(stale):
        yield from demand_count(store, STALE_VALUES[shard], count)
    yield from demand_count(store, VERSION_DATA, target_version - history_version + 1)
    return found


def stored_usage(store: RocksStore, version: int) -> Usage:
    """The usage that the database states for `version`.

    Raises:
        DamagedTargetError, FormatError: naming the row.
    """
    key = u64(version)
    with at_row(VERSION_DATA, key):
        return read_usage(demand(store, VERSION_DATA, key))


def _batches(
    store: RocksStore, first: int, last: int, *, cuts: frozenset[int]
) -> Iterator[tuple[int, list[bytes]]]:
    """The write sets of `first` to `last` in batches, each with its first version; one ends at each cut."""
    batch: list[bytes] = []
    size = 0
    rows = store.scan(WRITE_SET, u64(first), end=u64(last + 1))
    for version in range(first, last + 1):
        key, raw = next(rows, (b"", b""))
        if key != u64(version):
            raise damaged(WRITE_SET, u64(version), "row is missing", version=version)
        batch.append(raw)
        size += len(raw)
        if len(batch) == STEP_VERSIONS or size >= STEP_BYTES or version in cuts:
            yield version - len(batch) + 1, batch
            batch, size = [], 0
