"""The target that keeps proven data in the 42 RocksDB instances of a node's database.

Each step of a call runs in a thread to its end, is durable when it ends, and is reported as `Durable`. Steps
of different instances run at the same time: each waits for the disk. Between two steps a cancellation gets
through. Steps repeat without harm: the same data gives the
same rows. No progress row is written before `finish`, but for that of the snapshot's values, so nothing looks
complete before it is; how far a target is, its mark says.

Order of writes: spec/aptosdb-schema.md section 3.2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVarTuple

from restore.crypto.digest import HASH_BYTES
from restore.errors import DamagedTargetError
from restore.flow.threads import Workers
from restore.flow.together import together
from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.state import Usage
from restore.proof.accumulator import FrozenNode, frozen_count
from restore.proof.batch import Transactions
from restore.proof.builder import NodeRow
from restore.proof.columns import Nodes
from restore.proof.items import StateItems
from restore.proof.jellyfish import node_key
from restore.report.events import Durable, Report
from restore.target.base import Outcome, SnapshotRows, Target, TransactionRows
from restore.target.checkpoint import recompute
from restore.target.chunk_rows import node_groups, value_groups
from restore.target.ledger_rows import OVERLAPPING, accumulator_group, ledger_groups
from restore.target.progress import Progress, final_rows, progress_key, progress_table, snapshot_value
from restore.target.replay import Replayed, replay
from restore.target.rows import Rows, accumulator_rows, ledger_info_rows
from restore.target.schema import (
    ACCUMULATOR_DB,
    AUXILIARY_INFO_DB,
    EVENT_DB,
    INSTANCES,
    KV_METADATA,
    KV_SHARDS,
    LEDGER_METADATA,
    MERKLE_METADATA,
    TRANSACTION_ACCUMULATOR,
    TRANSACTION_DB,
    TRANSACTION_INFO_DB,
    TREE_ROOTS,
    VERSION_DATA,
    WRITE_SET_DB,
    KeyValue,
    Table,
    read_usage,
    u64,
    usage_value,
)
from restore.target.staged import StagedChunk, StagedTable, StagedTransactions, merged
from restore.target.steps import ROW_BYTES, cuts, slices
from restore.target.store import RocksStore

Ts = TypeVarTuple("Ts")

INDEX_ROWS, EVENT_ROWS = 10, 5
"""Rows that a transaction has at most besides its events and writes, and each of its events."""

REPLAY_FACTOR = 8
"""What a transaction counts for each of its bytes where its write set is replayed: a write of 250 bytes then
takes two rows and 20 to 70 us of look-ups, so STEP_BYTES of them pass in two seconds."""

TRANSACTION_STEPS = (
    (WRITE_SET_DB, "write sets"),
    (TRANSACTION_INFO_DB, "transaction infos"),
    (TRANSACTION_DB, "transactions"),
    (AUXILIARY_INFO_DB, "auxiliary infos"),
    (EVENT_DB, "events"),
    (LEDGER_METADATA, "ledger metadata"),
)
"""The ledger instances of transactions, written at the same time, with the names of their steps."""


class RocksTarget(Target):
    """Keeps proven data in a `RocksStore`.

    One call at a time. After an error the target must be closed; opened again, it continues from its mark.

    Cancellation: a step that began is awaited to its end; what a call did not reach is done when the same
        call comes again.
    Bounds: next to the data given, the rows of one step, so about STEP_BYTES; of `Resources` in RocksDB.
    """

    def __init__(
        self, store: RocksStore, workers: Workers, *, writers: Workers, report: Report, domain: Domain
    ) -> None:
        self._store = store
        self._workers = workers
        self._writers = writers
        self._report = report
        self._domain = domain

    @classmethod
    async def open(
        cls, root: Path, workers: Workers, *, writers: Workers, report: Report, domain: Domain
    ) -> Self:
        """Opens the database below `root`, or creates it.

        Args:
            root: its folder.
            workers: threads that compute.
            writers: threads that write to as many instances at once.
            report: takes events.
            domain: the network's hashes.

        Raises:
            LockedError: another process has it open.
            DamagedTargetError: a part of it is missing or corrupt.
            DiskFullError, AccessDeniedError, ResourceError: as the names say.
        """
        store = await workers.run(RocksStore.open, root)
        return cls(store, workers, writers=writers, report=report, domain=domain)

    @property
    def keeps_data(self) -> bool:
        """True."""
        return True

    async def save_ledger_infos(self, infos: Sequence[SignedLedgerInfo]) -> None:
        """Keeps ledger infos that end their epochs. Steps: "ledger infos"."""
        for part in slices(infos, lambda signed: len(signed.raw) + 2 * ROW_BYTES):
            await self._step("ledger infos", self._write, LEDGER_METADATA, ledger_info_rows(part))

    def stage_chunk(self, version: int, items: StateItems | None, nodes: Nodes) -> StagedChunk:
        """Writes table files of the chunk's rows beside the database."""
        values = () if items is None else value_groups(version, items)
        return StagedChunk(
            tuple(self._store.stage(table, groups) for table, groups in values),
            tuple(self._store.stage(table, groups) for table, groups in node_groups(version, nodes)),
        )

    async def save_snapshot_rows(self, rows: SnapshotRows) -> None:
        """Keeps one chunk.

        Steps: "snapshot values" per shard, "snapshot progress", "snapshot nodes" per shard.
        """
        await self._move_chunk("snapshot values", rows.staged.values)
        if rows.staged.values:
            key = progress_key(Progress.STATE_SNAPSHOT_KV_RESTORE, rows.version)
            value = snapshot_value(rows.last_key_hash, rows.usage)
            row = {progress_table(KV_METADATA): [(key, value)]}
            await self._step("snapshot progress", self._write, KV_METADATA, row)
        joined = await self._workers.run(self._stage_nodes, rows.version, rows.nodes)
        await self._move_chunk("snapshot nodes", merged(rows.staged.nodes, joined))

    async def finish_snapshot(self, version: int, usage: Usage, *, nodes: Sequence[NodeRow]) -> None:
        """Ends a snapshot. Steps: "snapshot nodes" per shard, "snapshot root", "snapshot usage"."""
        rest = await self._workers.run(self._stage_nodes, version, [node for node in nodes if node.path])
        await self._move_chunk("snapshot nodes", rest)
        root = [(node_key(version, node.path), node.node) for node in nodes if not node.path]
        if root:
            await self._step("snapshot root", self._write, MERKLE_METADATA, {TREE_ROOTS: root})
        row = (u64(version), usage_value(usage))
        await self._step("snapshot usage", self._write, LEDGER_METADATA, {VERSION_DATA: [row]})

    async def save_frozen_subtrees(self, nodes: Sequence[FrozenNode]) -> None:
        """Keeps the frozen subtree roots left of the first saved transaction. Step: "frozen subtrees".

        Raises:
            DamagedTargetError: another hash is already stored at one of the positions.
        """
        await self._step("frozen subtrees", self._save_frozen_subtrees, nodes)

    def stage_transactions(
        self, transactions: Transactions, part: range, *, replay_from: int | None
    ) -> list[StagedTransactions]:
        """Writes table files of the ledger rows beside the database, a step's rows each."""
        first, end = transactions.first_version, part.stop
        cut = end if replay_from is None else max(part.start, min(replay_from - first, end))
        kept = cuts(range(part.start, cut), lambda piece: _weight(transactions, piece, byte_factor=1))
        replayed = cuts(
            range(cut, end), lambda piece: _weight(transactions, piece, byte_factor=REPLAY_FACTOR)
        )
        return [
            *[self._stage(transactions, piece, write_sets=None) for piece in kept],
            *[
                self._stage(transactions, piece, write_sets=transactions.write_sets(piece))
                for piece in replayed
            ],
        ]

    async def save_transactions(self, rows: TransactionRows) -> Usage | None:
        """Keeps transactions; applies the write sets that were staged for that.

        Steps, for each slice: "state values" per shard where it is replayed, then those of TRANSACTION_STEPS;
        in the end "transaction accumulator".

        Returns:
            The usage after the last version, if any write set was applied.

        Raises:
            DamagedTargetError: the usage before the first replayed version is not there.
        """
        usage = None
        for staged in rows.staged:
            tables = staged.tables
            if staged.write_sets is not None:
                replayed = await self._replay(staged.first_version, staged.write_sets)
                usage, tables = replayed.usage, (*tables, _usage_rows(replayed))
            await together(
                self._step(
                    name, self._store.move_in, *[each for each in tables if each.table.instance == instance]
                )
                for instance, name in TRANSACTION_STEPS
            )
        first = frozen_count(rows.first_version)
        for piece in cuts(range(len(rows.nodes) // HASH_BYTES), lambda piece: ROW_BYTES * len(piece)):
            hashes = rows.nodes[HASH_BYTES * piece.start : HASH_BYTES * piece.stop]
            await self._step("transaction accumulator", self._save_accumulator, first + piece.start, hashes)
        return usage

    async def verify_state(self, outcome: Outcome) -> None:
        """Recomputes the state's root at the last checkpoint up to T.

        Raises:
            ProofError: it is not the root that the checkpoint's transaction commits to.
            DamagedTargetError: a row is missing, or the usage counts other items than the tree has leaves.
        """
        if outcome.target_version > outcome.snapshot_version:
            await recompute(
                self._store,
                self._domain,
                workers=self._workers,
                snapshot_version=outcome.snapshot_version,
                target_version=outcome.target_version,
                report=self._report,
            )

    async def finish(self, outcome: Outcome) -> None:
        """Writes the progress rows, then empties the write-ahead logs.

        Steps: those of `final_rows`, then "tables" per instance. The last row, OverallCommitProgress, is what
        makes the database look complete.

        Raises:
            DamagedTargetError: the rows do not end at T, or there is no tree at V.
        """
        await self._workers.run(self._check_ends, outcome)
        for name, instance, rows in final_rows(outcome):
            await self._step(name, self._write, instance, {progress_table(instance): rows})
        await together(self._step("tables", self._store.flush, instance) for instance in INSTANCES)

    async def close(self) -> None:
        """Flushes and closes every instance. Idempotent."""
        await self._workers.run(self._store.close)

    async def _step(self, name: str, work: Callable[[*Ts], object], *args: *Ts) -> None:
        await self._writers.run(work, *args)
        self._report(Durable(name))

    async def _move_chunk(self, name: str, tables: Iterable[StagedTable]) -> None:
        """Moves tables in, those of one instance after each other."""
        instances: defaultdict[str, list[StagedTable]] = defaultdict(list)
        for staged in tables:
            instances[staged.table.instance].append(staged)
        await together(self._move_each(name, of_instance) for of_instance in instances.values())

    async def _move_each(self, name: str, tables: Iterable[StagedTable]) -> None:
        for staged in tables:
            await self._step(name, self._store.move_in, staged)

    def _write(self, instance: str, rows: Mapping[Table, Sequence[KeyValue]]) -> None:
        self._store.write(instance, rows)

    def _stage_nodes(self, version: int, nodes: Sequence[NodeRow]) -> list[StagedTable]:
        return [self._store.stage(table, groups) for table, groups in node_groups(version, list(nodes))]

    def _save_frozen_subtrees(self, nodes: Sequence[FrozenNode]) -> None:
        rows = accumulator_rows(nodes)
        stored = self._store.get_many(TRANSACTION_ACCUMULATOR, [key for key, _ in rows])
        for (key, expected), found in zip(rows, stored, strict=True):
            if found is not None and found != expected:
                raise DamagedTargetError(
                    "accumulator holds another frozen subtree",
                    file=f"{TRANSACTION_ACCUMULATOR} {key.hex()}",
                    expected=expected,
                    found=found,
                )
        self._store.write(ACCUMULATOR_DB, {TRANSACTION_ACCUMULATOR: rows})

    def _save_accumulator(self, first: int, hashes: bytes) -> None:
        self._store.move_in(self._store.stage(TRANSACTION_ACCUMULATOR, [accumulator_group(first, hashes)]))

    def _stage(
        self, transactions: Transactions, piece: range, *, write_sets: Sequence[bytes] | None
    ) -> StagedTransactions:
        tables = tuple(
            self._store.stage(table, [group], overlapping=table in OVERLAPPING)
            for table, group in ledger_groups(self._domain, transactions, piece)
        )
        return StagedTransactions(transactions.first_version + piece.start, tables, write_sets)

    async def _replay(self, version: int, write_sets: Sequence[bytes]) -> Replayed:
        """Applies write sets to the state values; the usage rows are left to be written after them."""
        replayed = await self._workers.run(self._apply, version, write_sets)
        shards = ((instance, _of_instance(replayed.rows, instance)) for instance in KV_SHARDS)
        await together(
            self._step("state values", self._write, instance, rows) for instance, rows in shards if rows
        )
        return replayed

    def _apply(self, version: int, write_sets: Sequence[bytes]) -> Replayed:
        before = self._store.get(VERSION_DATA, u64(version - 1))
        if before is None:
            raise DamagedTargetError(
                "usage before the first replayed version is missing",
                file=str(VERSION_DATA),
                version=version - 1,
            )
        return replay(
            self._store, self._domain, first_version=version, write_sets=write_sets, usage=read_usage(before)
        )

    def _check_ends(self, outcome: Outcome) -> None:
        """The two ends that a node insists on: the accumulator's last row, and a tree."""
        expected = u64(frozen_count(outcome.target_version + 1) - 1)
        last = self._store.last(TRANSACTION_ACCUMULATOR)
        if last is None or last[0] != expected:
            raise DamagedTargetError(
                "accumulator does not end at the target version",
                file=str(TRANSACTION_ACCUMULATOR),
                version=outcome.target_version,
                expected=expected,
                found="nothing" if last is None else last[0],
            )
        if self._store.get(TREE_ROOTS, node_key(outcome.snapshot_version, "")) is None:
            raise DamagedTargetError(
                "state tree has no root", file=str(TREE_ROOTS), version=outcome.snapshot_version
            )


def _weight(transactions: Transactions, piece: range, *, byte_factor: int) -> int:
    """What transactions cost in a step, roughly in bytes of rows."""
    size, events = transactions.extent(piece)
    return byte_factor * size + ROW_BYTES * (INDEX_ROWS * len(piece) + EVENT_ROWS * events)


def _usage_rows(replayed: Replayed) -> StagedTable:
    return StagedTable(VERSION_DATA, replayed.rows[VERSION_DATA], ())


def _of_instance(rows: Rows, instance: str) -> Rows:
    return {table: pairs for table, pairs in rows.items() if table.instance == instance and pairs}
