"""verify-db: what it accepts, and that no row can be lost, altered or added without its noticing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rocksdict import WriteBatch

from restore.crypto.digest import sha3_256
from restore.errors import DamagedTargetError, DataError, TrustError, UsageError
from restore.flow.threads import Workers
from restore.ledger.hashes import APTOS, Domain
from restore.ledger.state import Usage, hash_keys
from restore.ledger.waypoint import Waypoint
from restore.proof.accumulator import Accumulator, FrozenNode
from restore.proof.jellyfish import InternalNode, decode_node, encode_internal, node_key
from restore.report.events import Advanced, PhaseFinished, PhaseStarted, silent
from restore.target.check import CheckResult, _DatabaseCheck, check_database
from restore.target.mark import FinishedMark, VoucherMark
from restore.target.progress import Progress, progress_key, progress_table, version_value
from restore.target.rows import accumulator_rows
from restore.target.schema import (
    ACCUMULATOR_DB,
    BLOCK_BY_VERSION,
    BLOCK_INFO,
    EPOCH_BY_VERSION,
    EVENT,
    EVENT_ACCUMULATOR,
    INSTANCES,
    KV_METADATA,
    LEDGER_INFO,
    LEDGER_METADATA,
    MERKLE_METADATA,
    STALE_VALUES,
    STATE_VALUES,
    TRANSACTION,
    TRANSACTION_ACCUMULATOR,
    TRANSACTION_BY_ACCOUNT,
    TRANSACTION_BY_HASH,
    TRANSACTION_INFO,
    TREE_NODES,
    TREE_ROOTS,
    USED_TABLES,
    VERSION_DATA,
    WRITE_SET,
    KeyValue,
    Table,
    read_usage,
    shard_of,
    state_value_key,
    u64,
    usage_value,
)
from restore.target.store import RocksStore
from tests.target.chain import LAST, Log, TinyChain, Wanted, restore_chain, value_of
from tests.target.conftest import Finished

V, K = 15, 7


class Patient:
    """A finished database, kept open, whose rows are changed for one check at a time."""

    def __init__(self, store: RocksStore, mark: FinishedMark, workers: Workers) -> None:
        self.store = store
        self._mark = mark
        self._workers = workers

    async def check(self, **changes: Any) -> CheckResult:
        """Checks it, against its mark or one that differs."""
        mark = msgspec.structs.replace(self._mark, **changes)
        check = _DatabaseCheck(self.store, mark, APTOS, self._workers, silent)
        return await check.run(())

    async def fails(self, **changes: Any) -> DataError:
        """The error that checking it ends in."""
        with pytest.raises(DataError) as caught:
            await self.check(**changes)
        assert caught.value.exit_code == 20
        return caught.value

    @contextmanager
    def changed(self, table: Table, key: bytes, value: bytes | None) -> Iterator[None]:
        """Gives a row another value, or removes it, for a while."""
        before = self.store.get(table, key)
        assert value != before
        self._put(table, key, value)
        yield
        self._put(table, key, before)

    def _put(self, table: Table, key: bytes, value: bytes | None) -> None:
        if value is not None:
            self.store.write(table.instance, {table: [(key, value)]})
            return
        instance, batch = self.store._instances[table.instance], WriteBatch(raw_mode=True)
        batch.delete(key, instance._handles[table.family])
        instance._live().write(batch)


@pytest.fixture
def opened(finished: Finished) -> Callable[[], Any]:
    @asynccontextmanager
    async def open_patient() -> AsyncIterator[Patient]:
        store = RocksStore.open(finished.folder)
        try:
            async with Workers(1) as workers:
                yield Patient(store, finished.mark, workers)
        finally:
            store.close()

    return open_patient


def flipped(value: bytes) -> bytes:
    """The value with its last bit flipped; something where there is nothing."""
    return value[:-1] + bytes((value[-1] ^ 1,)) if value else b"\x01"


async def test_a_finished_database_passes_and_nothing_is_written(
    finished: Finished, chain: TinyChain
) -> None:
    before = {path: path.stat().st_size for path in finished.folder.rglob("*.sst")}
    log = Log()
    async with Workers(2) as workers:
        found = await check_database(
            finished.folder, mark=finished.mark, trusted=(), domain=APTOS, workers=workers, report=log
        )
    assert found.usage_at_target == chain.usage(LAST)
    assert {path: path.stat().st_size for path in finished.folder.rglob("*.sst")} == before
    assert not list(finished.folder.rglob("rocksdict-config.json"))
    phases = [event.phase for event in log.events if isinstance(event, PhaseStarted)]
    assert phases == ["progress rows", "ledger infos", "transactions", "state", "write sets"]
    assert phases == [event.phase for event in log.events if isinstance(event, PhaseFinished)]
    advanced = dict.fromkeys(phases, 0)
    for event in log.events:
        if isinstance(event, Advanced):
            advanced[event.phase] += event.items
    assert advanced == {
        "progress rows": 0,
        "ledger infos": 3,
        "transactions": LAST - 4 + 1,
        "state": len({key for state in chain.states[K:] for key in state}),
        "write sets": LAST - K,
    }


async def test_no_row_may_be_missing_altered_or_too_many(opened: Callable[[], Any]) -> None:
    unnamed: list[str] = []
    async with opened() as patient:
        for table in sorted(USED_TABLES):
            rows: list[KeyValue] = list(patient.store.scan(table))
            if not rows:
                continue
            key, value = rows[len(rows) // 2]
            beyond = bytes((rows[-1][0][0] | 0x0F,)) + b"\xfe" * (len(key) - 1)
            if patient.store.get(table, beyond) is not None:
                beyond = b"\x7f"
            for name, where, new in (
                ("missing", key, None),
                ("altered", key, flipped(value)),
                ("added", beyond, value),
            ):
                with patient.changed(table, where, new):
                    error = await patient.fails()
                if error.file is None and error.version is None:
                    unnamed.append(f"{name} {table}: {error}")
        await patient.check()
    assert not unnamed


async def test_tables_that_nobody_fills_are_empty(opened: Callable[[], Any]) -> None:
    tables = {Table(instance, family) for instance, families in INSTANCES.items() for family in families}
    async with opened() as patient:
        for table in sorted(tables - USED_TABLES)[::7]:
            with patient.changed(table, b"k" * 48, b""):
                error = await patient.fails()
            assert (error.message, error.file) == ("row should not be there", f"{table} {'6b' * 48}")


def progress(kind: Progress, *fields: int) -> bytes:
    return progress_key(kind, *fields)


CASES: list[tuple[Table, bytes, bytes | None, str | None]] = [
    (
        progress_table(LEDGER_METADATA),
        progress(Progress.OVERALL_COMMIT),
        version_value(LAST - 1),
        "progress row has another value",
    ),
    (progress_table(LEDGER_METADATA), progress(Progress.LEDGER_COMMIT), None, "progress row is missing"),
    (
        progress_table("ledger_db/event_db"),
        progress(Progress.EVENT_PRUNER),
        version_value(0),
        "progress row has another value",
    ),
    (
        progress_table(MERKLE_METADATA),
        b"\x09",
        version_value(V),
        "progress row should not be there",
    ),
    (
        progress_table(KV_METADATA),
        progress(Progress.STATE_SNAPSHOT_KV_RESTORE, K),
        None,
        "progress row is missing",
    ),
    (
        progress_table(KV_METADATA),
        progress(Progress.STATE_SNAPSHOT_KV_RESTORE, K),
        b"\x01" + bytes(49),
        "snapshot's progress does not fit its values",
    ),
    (LEDGER_INFO, u64(1), None, "row is missing"),
    (LEDGER_INFO, u64(2), None, "row is missing"),
    (EPOCH_BY_VERSION, u64(7), u64(2), "row does not name its epoch"),
    (EPOCH_BY_VERSION, u64(15), None, "row does not name its epoch"),
    (TRANSACTION, u64(9), None, "row is missing"),
    (TRANSACTION, u64(9), b"", None),
    (
        TRANSACTION,
        u64(9),
        b"\x03" + bytes(32),
        "transaction is not the one that the transaction info commits to",
    ),
    (WRITE_SET, u64(9), b"\x00\x00", "write set is not the one that the transaction info commits to"),
    (WRITE_SET, u64(9), b"\x00\x00\x00", "bytes follow the value"),
    (EVENT, u64(8) + u64(0), None, "row is missing"),
    (
        EVENT,
        u64(11) + u64(3),
        b"\x01\x02\x00",
        "event root is not the one that the transaction info commits to",
    ),
    (EVENT, u64(LAST + 1) + u64(0), b"\x01\x02\x00", "table has rows that nothing accounts for"),
    (EVENT_ACCUMULATOR, u64(8) + u64(0), bytes(32), "row has another value"),
    (BLOCK_BY_VERSION, u64(8), None, "row is missing"),
    (BLOCK_INFO, u64(2), b"\x00", "row has another value"),
    (TRANSACTION_BY_HASH, bytes(32), u64(9), "table has rows that nothing accounts for"),
    (
        TRANSACTION_ACCUMULATOR,
        u64(6),
        bytes(32),
        "accumulator node is not the hash of what is below it",
    ),
    (TRANSACTION_ACCUMULATOR, u64(6), None, "row is missing"),
    (TRANSACTION_ACCUMULATOR, u64(20), bytes(32), "accumulator node is not the hash of what is below it"),
    (TRANSACTION_ACCUMULATOR, u64(46), bytes(32), "accumulator goes on beyond the target"),
    (TRANSACTION_INFO, u64(LAST + 1), b"", "table has rows that nothing accounts for"),
    (VERSION_DATA, u64(V), usage_value(Usage(1, 1)), "usage is not what was counted"),
    (VERSION_DATA, u64(18), usage_value(Usage(1, 1)), "row has another value"),
    (VERSION_DATA, u64(18), None, "row is missing"),
    (VERSION_DATA, u64(K - 1), bytes(16), "table has rows that nothing accounts for"),
    (TREE_ROOTS, node_key(V, ""), None, "row is missing"),
    (TREE_ROOTS, node_key(V - 1, ""), b"\x03", "row should not be there"),
]
"""What is changed, to what (None: removed), and what is said of it (None: whatever the parser says)."""


async def test_the_row_at_fault_is_named(opened: Callable[[], Any]) -> None:
    async with opened() as patient:
        for table, key, value, message in CASES:
            with patient.changed(table, key, value):
                error = await patient.fails()
            assert message in (error.message, None), (table, key)
            if error.version is None:
                assert error.file is not None
                assert error.file.startswith(str(table))


def row_of_leaf(store: RocksStore, chain: TinyChain, version: int) -> tuple[Table, bytes, bytes]:
    """A state value that is live at V, and its only row."""
    for key, value in chain.states[version].items():
        key_hash = hash_keys(APTOS, [key])[0]
        table = STATE_VALUES[shard_of(key_hash)]
        rows = [row for row in store.scan(table) if row[0].startswith(key_hash)]
        if len(rows) == 1:
            assert rows[0] == (state_value_key(key_hash, K), b"\x01" + value)
            return table, rows[0][0], key_hash
    raise AssertionError


async def test_a_leaf_without_a_value_is_named(opened: Callable[[], Any], chain: TinyChain) -> None:
    async with opened() as patient:
        table, key, key_hash = row_of_leaf(patient.store, chain, V)
        with patient.changed(table, key, None):
            error = await patient.fails()
        assert error.message == "leaf of the tree has no state value"
        assert error.file == f"{table} {state_value_key(key_hash, V).hex()}"
        with patient.changed(table, key, b"\x00"):
            assert (await patient.fails()).message == "leaf of the tree has no state value"


async def test_another_value_than_the_leafs_is_named(opened: Callable[[], Any], chain: TinyChain) -> None:
    async with opened() as patient:
        table, key, _ = row_of_leaf(patient.store, chain, V)
        with patient.changed(table, key, b"\x01" + value_of(b"other")):
            assert (await patient.fails()).message == "state value is not the one the tree's leaf commits to"
        with patient.changed(table, key, b"\x02"):
            assert (await patient.fails()).message == "state value row is neither a value nor a tombstone"


async def test_a_value_without_a_leaf_is_named(opened: Callable[[], Any]) -> None:
    async with opened() as patient:
        for shard, key_hash in ((0, b"\x0f" + b"\xff" * 31), (9, b"\x90" + bytes(31)), (15, b"\xff" * 32)):
            key = state_value_key(key_hash, V)
            with patient.changed(STATE_VALUES[shard], key, b"\x01\x00\x00"):
                error = await patient.fails()
            assert error.message == "state value has no leaf in the tree"
            assert error.file == f"{STATE_VALUES[shard]} {key.hex()}"


async def test_state_values_that_do_not_belong_are_named(opened: Callable[[], Any]) -> None:
    table, stranger, live = STATE_VALUES[1], b"\x11" * 32, b"\x01\x00\x00"
    outside = "state value is of a version outside the database"
    async with opened() as patient:
        for key, value, message in (
            (state_value_key(stranger, LAST + 1), live, outside),
            (state_value_key(stranger, K - 1), live, outside),
            (state_value_key(b"\x21" * 32, K), live, "state value stands in a shard that is not its own"),
            (b"\x11" * 33, live, "key of a state value has a wrong length"),
            (state_value_key(stranger, LAST), b"\x00", "state values have rows that no write set made"),
        ):
            with patient.changed(table, key, value):
                assert (await patient.fails()).message == message


async def test_the_state_at_k_is_proven(opened: Callable[[], Any]) -> None:
    table, stranger = STATE_VALUES[1], b"\x11" * 32
    async with opened() as patient:
        # Live at K alone: neither the tree at V nor any later root knows of it.
        with (
            patient.changed(table, state_value_key(stranger, K), b"\x01\x00\x00"),
            patient.changed(table, state_value_key(stranger, K + 1), b"\x00"),
        ):
            error = await patient.fails()
    assert error.message == "state values do not make up the state root of their version"
    assert error.version == K


async def test_the_state_at_the_last_checkpoint_is_proven(
    opened: Callable[[], Any], chain: TinyChain
) -> None:
    async with opened() as patient:
        key, version = next(
            (key, version)
            for version in range(V + 1, 22)
            for key, value in chain.states[version].items()
            if value != chain.states[version - 1].get(key) and value == chain.states[21].get(key)
        )
        key_hash = hash_keys(APTOS, [key])[0]
        row = state_value_key(key_hash, version)
        with patient.changed(STATE_VALUES[shard_of(key_hash)], row, b"\x01" + value_of(b"forged")):
            error = await patient.fails()
    assert error.message == "state values do not make up the state root of their version"
    assert (error.version, error.expected) == (21, chain.root(21).hex())


async def test_stale_rows_are_exact(opened: Callable[[], Any]) -> None:
    async with opened() as patient:
        shard, (key, _) = next(
            (shard, row) for shard, table in enumerate(STALE_VALUES) for row in patient.store.scan(table)
        )
        with patient.changed(STALE_VALUES[shard], key, None):
            error = await patient.fails()
            assert (error.message, error.file) == ("row is missing", f"{STALE_VALUES[shard]} {key.hex()}")
        with patient.changed(STALE_VALUES[shard], flipped(key), b""):
            assert (await patient.fails()).message == "table has rows that nothing accounts for"


def path_of_leaf(store: RocksStore, *, depth: int) -> tuple[int, str, bytes]:
    """A leaf of the tree at a depth: its shard, path and row."""
    for shard, table in enumerate(TREE_NODES):
        for key, node in store.scan(table):
            if node[:1] == b"\x01" and key[8] == depth:
                return shard, key[9:].hex()[:depth], node
    raise AssertionError


async def test_every_part_of_a_leaf_is_checked(opened: Callable[[], Any]) -> None:
    async with opened() as patient:
        shard, path, node = path_of_leaf(patient.store, depth=2)
        key = node_key(V, path)
        for offset, message in (
            (1, "leaf stands outside its path"),
            (32, "leaf's state key has another hash"),
            (64, "hash of the node is not what its parent says"),
            (70, "leaf's state key has another hash"),
            (-8, "leaf is of another version"),
        ):
            forged = bytearray(node)
            forged[offset] ^= 0x80 if offset == 1 else 1
            with patient.changed(TREE_NODES[shard], key, bytes(forged)):
                error = await patient.fails()
            assert (error.message, error.file) == (message, f"{TREE_NODES[shard]} {key.hex()}")


def inner_node(store: RocksStore) -> tuple[int, bytes, bytes]:
    for shard, table in enumerate(TREE_NODES):
        for key, node in store.scan(table):
            if node[:1] == b"\x02":
                return shard, key, node
    raise AssertionError


def with_child(node: bytes, **changes: Any) -> bytes:
    """The internal node with its first child changed."""
    decoded = decode_node(node)
    assert isinstance(decoded, InternalNode)
    (nibble, child), *others = decoded.children.items()
    return encode_internal({nibble: child._replace(**changes), **dict(others)})


async def test_every_part_of_an_internal_node_is_checked(opened: Callable[[], Any]) -> None:
    async with opened() as patient:
        shard, key, node = inner_node(patient.store)
        for forged, message in (
            (with_child(node, hash=bytes(32)), "hash of the node is not what its parent says"),
            (b"\x03", "null node stands below the root"),
            (b"\x04", "unknown kind of tree node"),
            (node + b"\x00", "bytes follow the value"),
            (b"\x02\x01\x00\x01\x00" + node[5:38], "internal node stands above a single leaf"),
        ):
            with patient.changed(TREE_NODES[shard], key, forged):
                error = await patient.fails()
            assert (error.message, error.file) == (message, f"{TREE_NODES[shard]} {key.hex()}")


async def test_what_the_root_says_of_its_children_is_checked(opened: Callable[[], Any]) -> None:
    key = node_key(V, "")
    async with opened() as patient:
        root = patient.store.get(TREE_ROOTS, key)
        assert root is not None
        decoded = decode_node(root)
        assert isinstance(decoded, InternalNode)
        nibble = next(nibble for nibble, child in decoded.children.items() if not child.is_leaf)
        child = decoded.children[nibble]
        for other, field in (
            (child._replace(version=V - 1), "version"),
            (child._replace(leaves=child.leaves + 1), "leaves"),
        ):
            forged = encode_internal({**decoded.children, nibble: other})
            with patient.changed(TREE_ROOTS, key, forged):
                error = await patient.fails()
            assert error.message == f"{field} of the node is not what its parent says"
            assert error.file == f"{TREE_NODES[nibble]} {node_key(V, f'{nibble:x}').hex()}"
        forged = encode_internal({**decoded.children, nibble: child._replace(hash=bytes(32))})
        with patient.changed(TREE_ROOTS, key, forged):
            error = await patient.fails()
        assert error.message == "state tree has another root than its transaction commits to"


async def test_nodes_without_a_parent_are_named(opened: Callable[[], Any]) -> None:
    async with opened() as patient:
        shard, path, node = path_of_leaf(patient.store, depth=2)
        for key in (
            node_key(V, path + "0"),
            node_key(V, path + "0" * 62),
            node_key(V - 1, path),
            node_key(V + 1, path),
            node_key(V, path)[:-1] + b"\xff",
        ):
            table = TREE_NODES[shard]
            with patient.changed(table, key, node):
                error = await patient.fails()
            assert (error.message, error.file) == ("node has no parent", f"{table} {key.hex()}")


async def test_a_missing_node_is_named(opened: Callable[[], Any]) -> None:
    async with opened() as patient:
        for depth in (1, 2):
            shard, path, _ = path_of_leaf(patient.store, depth=depth)
            key = node_key(V, path)
            with patient.changed(TREE_NODES[shard], key, None):
                error = await patient.fails()
            assert (error.message, error.file) == ("row is missing", f"{TREE_NODES[shard]} {key.hex()}")


async def test_a_stale_signature_is_noticed(opened: Callable[[], Any], chain: TinyChain) -> None:
    ending = chain.endings[2]
    position = ending.raw.index(ending.info.raw) + len(ending.info.raw) + 4
    forged = bytearray(ending.raw)
    forged[position] ^= 1
    async with opened() as patient:
        with patient.changed(LEDGER_INFO, u64(2), bytes(forged)):
            error = await patient.fails()
    assert error.file == f"{LEDGER_INFO} {u64(2).hex()}"


async def test_what_vouches_for_the_target_is_checked(opened: Callable[[], Any], finished: Finished) -> None:
    voucher = finished.mark.voucher
    forged = bytearray(voucher.ledger_info)
    forged[60] ^= 1
    async with opened() as patient:
        error = await patient.fails(voucher=VoucherMark(bytes(forged), voucher.left, voucher.right))
        assert isinstance(error, TrustError)
        left = (bytes(32), *voucher.left[1:])
        error = await patient.fails(voucher=VoucherMark(voucher.ledger_info, left, voucher.right))
        assert error.message == "an accumulator proof leads to another root"
        result = msgspec.structs.replace(finished.mark.result, epochs=4)
        assert (await patient.fails(result=result)).message == "row is missing"


async def test_a_consistent_accumulator_over_another_past_is_noticed(
    database: Path, chain: TinyChain
) -> None:
    # No epoch ends among these versions: what vouches for the target is all that tells.
    wanted = Wanted(target=20, snapshot=18, history=18, first=16)
    mark = await restore_chain(database, chain, wanted)
    seed, forged = APTOS.transaction_accumulator, b"\x66" * 32
    leaves = [sha3_256(APTOS.transaction_info + record.info.raw) for record in chain.records[16:21]]
    nodes = [FrozenNode(4, 0, forged), *Accumulator(seed, 16, [forged]).append(leaves)]
    store = RocksStore.open(database)
    store.write(ACCUMULATOR_DB, {TRANSACTION_ACCUMULATOR: accumulator_rows(nodes)})
    try:
        async with Workers(1) as workers:
            error = await Patient(store, mark, workers).fails()
    finally:
        store.close()
    assert error.message == "accumulator before the target is not the one that was signed"
    assert error.version == 20
    assert (error.found or "").startswith(forged.hex())


async def test_a_mark_that_says_something_else_is_noticed(opened: Callable[[], Any]) -> None:
    async with opened() as patient:
        for changes in ({"target": LAST - 1}, {"snapshot": 13}, {"history": 15}, {"first_saved": 5}):
            await patient.fails(**changes)


async def test_a_tree_too_far_behind_is_refused(opened: Callable[[], Any]) -> None:
    async with opened() as patient:
        error = await patient.fails(target=V + 800_001)
    assert error.message == "state tree is too far behind for a node to open the database"


async def test_waypoints_are_checked_where_they_are_given(finished: Finished, chain: TinyChain) -> None:
    points = [Waypoint.of(ending.info, APTOS) for ending in chain.endings]

    async def check(*trusted: Waypoint) -> CheckResult:
        async with Workers(1) as workers:
            return await check_database(
                finished.folder,
                mark=finished.mark,
                trusted=trusted,
                domain=APTOS,
                workers=workers,
                report=silent,
            )

    assert (await check(*points)).epochs == 3
    with pytest.raises(TrustError):
        await check(Waypoint(0, bytes(32)))
    with pytest.raises(TrustError, match="no epoch ends"):
        await check(points[0], Waypoint(9, bytes(32)))
    with pytest.raises(TrustError, match="before every trusted waypoint"):
        await check(points[2])
    with pytest.raises(UsageError):
        await check(points[0], points[0])


async def test_another_networks_hashes_do_not_pass(finished: Finished) -> None:
    async with Workers(1) as workers:
        with pytest.raises(DataError):
            await check_database(
                finished.folder,
                mark=finished.mark,
                trusted=(),
                domain=Domain("DIEM::"),
                workers=workers,
                report=silent,
            )


async def test_damage_is_what_a_bad_proof_in_a_database_is(finished: Finished) -> None:
    store = RocksStore.open(finished.folder)
    store.write(WRITE_SET.instance, {WRITE_SET: [(u64(9), b"\x00\x00")]})
    store.close()
    async with Workers(1) as workers:
        with pytest.raises(DamagedTargetError, match="write set is not the one") as caught:
            await check_database(
                finished.folder, mark=finished.mark, trusted=(), domain=APTOS, workers=workers, report=silent
            )
    assert caught.value.version == 9
    assert caught.value.hint == DamagedTargetError.default_hint


async def test_a_cancelled_check_leaves_the_database_closed(finished: Finished) -> None:
    task = asyncio.current_task()
    assert task is not None

    def cancel(event: object) -> None:
        if isinstance(event, Advanced) and event.phase == "transactions":
            task.cancel()

    async with Workers(1) as workers:
        with pytest.raises(asyncio.CancelledError):
            await check_database(
                finished.folder, mark=finished.mark, trusted=(), domain=APTOS, workers=workers, report=cancel
            )
        task.uncancel()
    RocksStore.open(finished.folder).close()


def test_the_usage_in_the_database_is_that_of_the_chain(finished: Finished, chain: TinyChain) -> None:
    store = RocksStore.open(finished.folder, read_only=True)
    assert {key: read_usage(value) for key, value in store.scan(VERSION_DATA)} == {
        u64(version): chain.usage(version) for version in range(K, LAST + 1)
    }
    assert store.get(TRANSACTION_BY_ACCOUNT, b"") is None
    store.close()


def test_a_missing_folder_is_no_database(tmp_path: Path, finished: Finished) -> None:
    async def check() -> None:
        async with Workers(1) as workers:
            await check_database(
                tmp_path / "none",
                mark=finished.mark,
                trusted=(),
                domain=APTOS,
                workers=workers,
                report=silent,
            )

    with pytest.raises(DamagedTargetError):
        asyncio.run(check())
