"""The whole way into a database: which rows it has in the end, and that no interruption changes them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from restore.crypto.digest import sha3_256
from restore.errors import DamagedTargetError
from restore.flow.threads import Workers
from restore.ledger.hashes import APTOS
from restore.ledger.state import StateItem, Usage, hash_keys
from restore.proof.accumulator import Accumulator, FrozenNode
from restore.proof.builder import NodeRow
from restore.proof.items import ParsedItems
from restore.proof.jellyfish import node_key
from restore.report.events import Durable, Event, silent
from restore.sample.encode import raw_key
from restore.target import steps
from restore.target.base import Outcome, SnapshotRows
from restore.target.check import CheckResult, check_database
from restore.target.progress import Progress, final_rows, progress_key, progress_table, snapshot_value
from restore.target.rocks import TRANSACTION_STEPS
from restore.target.rows import Rows, accumulator_rows, ledger_info_rows, transaction_rows
from restore.target.schema import (
    INSTANCES,
    KV_METADATA,
    LEDGER_METADATA,
    STALE_VALUES,
    STATE_VALUES,
    TRANSACTION_ACCUMULATOR,
    TREE_NODES,
    TREE_ROOTS,
    VERSION_DATA,
    Table,
    shard_of,
    stale_value_key,
    state_value_key,
    u64,
    usage_value,
)
from restore.target.store import TABLE_ROWS, RocksStore
from tests.proof.naive import NaiveTree
from tests.target.chain import (
    EPOCH_ENDS,
    LAST,
    Log,
    TinyChain,
    Wanted,
    fill,
    last_nodes,
    mark_of,
    open_rocks,
    restore_chain,
    restore_into,
    save_snapshot,
    save_transactions,
    snapshot_rows,
)

Database: TypeAlias = dict[Table, dict[bytes, bytes]]

WANTED = {
    "T is V": Wanted(target=15, snapshot=15, history=15, first=15),
    "T above V": Wanted(target=LAST, snapshot=7, history=7, first=3),
    "K below V": Wanted(target=LAST, snapshot=15, history=7, first=4),
    "all history": Wanted(target=20, snapshot=7, history=0, first=0),
    "genesis": Wanted(target=0, snapshot=0, history=0, first=0),
}

STEPS = [
    "ledger infos",
    "snapshot values",
    "snapshot progress",
    "snapshot usage",
    "frozen subtrees",
    "write sets",
    "transaction infos",
    "transactions",
    "auxiliary infos",
    "events",
    "ledger metadata",
    "state values",
    "transaction accumulator",
    "snapshot nodes",
    "snapshot root",
    "pruner progress",
    "state progress",
    "ledger progress",
    "overall progress",
    "tables",
]
"""All steps in the order of their first appearance in a restore with K < V < T."""

ONCE = ("ledger infos", "snapshot root", "ledger progress", "overall progress")
"""Those of them that come once."""


def dump(folder: Path) -> Database:
    """All rows of a database."""
    store = RocksStore.open(folder, read_only=True)
    tables = [Table(instance, family) for instance, families in INSTANCES.items() for family in families]
    found = {table: dict(store.scan(table)) for table in tables}
    store.close()
    return {table: rows for table, rows in found.items() if rows}


def expected_rows(chain: TinyChain, wanted: Wanted) -> Database:
    """All rows, by the definitions."""
    database: Database = {}

    def add(rows: Rows) -> None:
        for table, pairs in rows.items():
            if pairs:
                database.setdefault(table, {}).update(pairs)

    add(ledger_info_rows(end for end in chain.endings if end.info.version <= wanted.target))
    records = chain.records[wanted.first : wanted.target + 1]
    add(transaction_rows(APTOS, wanted.first, records))
    leaves = [sha3_256(APTOS.transaction_info + record.info.raw) for record in chain.records]
    accumulator = Accumulator(APTOS.transaction_accumulator)
    accumulator.append(leaves[: wanted.first])
    roots = frozen_nodes(wanted.first, accumulator.frozen_roots)
    nodes = accumulator.append(leaves[wanted.first : wanted.target + 1])
    add({TRANSACTION_ACCUMULATOR: accumulator_rows([*roots, *nodes])})
    add_state(add, chain, wanted)
    for path, node in NaiveTree(wanted.snapshot, chain.leaves(wanted.snapshot)).rows().items():
        table = TREE_NODES[int(path[0], 16)] if path else TREE_ROOTS
        add({table: [(node_key(wanted.snapshot, path), node)]})
    for _, instance, pairs in final_rows(wanted.outcome):
        add({progress_table(instance): pairs})
    last = chain.leaves(wanted.history)[-1].key_hash
    key = progress_key(Progress.STATE_SNAPSHOT_KV_RESTORE, wanted.history)
    value = snapshot_value(last, chain.usage(wanted.history))
    add({progress_table(KV_METADATA): [(key, value)]})
    return database


def frozen_nodes(count: int, roots: tuple[bytes, ...]) -> list[FrozenNode]:
    nodes: list[FrozenNode] = []
    covered = 0
    for level in range(count.bit_length() - 1, -1, -1):
        if count >> level & 1:
            nodes.append(FrozenNode(level, covered >> level, roots[len(nodes)]))
            covered += 1 << level
    return nodes


def add_state(add: Callable[[Rows], None], chain: TinyChain, wanted: Wanted) -> None:
    """State values, stale rows and usage from K to T, from the plain states."""
    since: dict[bytes, int] = {}
    for version in range(wanted.history, wanted.target + 1):
        state = chain.states[version]
        add({VERSION_DATA: [(u64(version), usage_value(chain.usage(version)))]})
        if version == wanted.history:
            written = dict.fromkeys(state, version)
        else:
            written = dict.fromkeys(written_keys(chain, version), version)
        for key in written:
            key_hash = hash_keys(APTOS, [key])[0]
            shard = shard_of(key_hash)
            if key in since:
                add({STALE_VALUES[shard]: [(stale_value_key(version, since.pop(key), key_hash), b"")]})
            if key in state:
                row, since[key] = b"\x01" + state[key], version
            else:
                row = b"\x00"
                add({STALE_VALUES[shard]: [(stale_value_key(version, version, key_hash), b"")]})
            add({STATE_VALUES[shard]: [(state_value_key(key_hash, version), row)]})


def written_keys(chain: TinyChain, version: int) -> list[bytes]:
    """Keys whose value at `version` is not that before; the chain never writes the same value again."""
    before, after = chain.states[version - 1], chain.states[version]
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]


@pytest.mark.parametrize("name", WANTED)
async def test_a_finished_database_has_exactly_these_rows_and_passes_verify_db(
    database: Path, chain: TinyChain, name: str
) -> None:
    wanted = WANTED[name]
    mark = await restore_chain(database, chain, wanted)
    assert dump(database) == expected_rows(chain, wanted)
    async with Workers(2) as workers:
        found = await check_database(
            database, mark=mark, trusted=(), domain=APTOS, workers=workers, report=silent
        )
    assert found == CheckResult(
        target_version=wanted.target,
        snapshot_version=wanted.snapshot,
        epochs=sum(end <= wanted.target for end in EPOCH_ENDS),
        transactions=wanted.target - wanted.first + 1,
        state_root=chain.root(wanted.snapshot),
        usage=chain.usage(wanted.snapshot),
        usage_at_target=chain.usage(wanted.target),
        accumulator_root=chain.history.root(wanted.target + 1),
    )


async def test_the_steps_come_in_the_order_of_a_crash_safe_restore(database: Path, chain: TinyChain) -> None:
    log = Log()
    await restore_chain(database, chain, WANTED["K below V"], log)
    steps = [event.step for event in log.events if isinstance(event, Durable)]
    # Instances of transactions are written at the same time: each step of them may be the first to end.
    first = list(dict.fromkeys(steps))
    at_once = {name for _, name in TRANSACTION_STEPS}
    assert {first.index(name) for name in at_once} == {STEPS.index(name) for name in at_once}
    assert [name for name in first if name not in at_once] == [name for name in STEPS if name not in at_once]
    # Values before what says how far they are; nodes before the root, the root before the usage.
    assert steps.index("snapshot root") == len(steps) - 1 - steps[::-1].index("snapshot nodes") + 1
    after = steps[steps.index("snapshot root") :]
    assert after[1] == "snapshot usage"
    # Progress comes after all data, and OverallCommitProgress after all progress.
    assert set(steps[steps.index("pruner progress") :]) == set(STEPS[-5:])
    assert steps.count("overall progress") == 1
    assert set(steps[steps.index("overall progress") + 1 :]) == {"tables"}


async def test_small_steps_lead_to_the_same_rows(
    database: Path, chain: TinyChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "STEP_BYTES", 1000)
    log = Log()
    await restore_chain(database, chain, WANTED["K below V"], log)
    assert dump(database) == expected_rows(chain, WANTED["K below V"])
    told = [event.step for event in log.events if isinstance(event, Durable)]
    assert told.count("write sets") == LAST - 4 + 1  # each transaction is a step of its own


class StopError(Exception):
    """What a test interrupts with."""


class StopAt:
    """A report that interrupts after the given occurrence of a step."""

    def __init__(self, step: str, *, occurrence: int, stop: Callable[[], None]) -> None:
        self._step = step
        self._left = occurrence
        self._stop = stop

    def __call__(self, event: Event) -> None:
        if isinstance(event, Durable) and event.step == self._step:
            self._left -= 1
            if self._left == 0:
                self._stop()


def fail() -> None:
    raise StopError


async def test_a_restore_interrupted_after_any_step_ends_in_the_same_rows(
    database: Path, chain: TinyChain
) -> None:
    wanted = WANTED["K below V"]
    stops: list[StopAt] = []

    def report(event: Event) -> None:
        stops[-1](event)

    async with open_rocks(database, report) as target:
        for step in STEPS:
            stops.append(StopAt(step, occurrence=2 if step not in ONCE else 1, stop=fail))
            with pytest.raises(StopError):
                await restore_into(target, chain, wanted)
            last = target._store.get(progress_table(LEDGER_METADATA), progress_key(Progress.OVERALL_COMMIT))
            assert (last is not None) == (step in ("overall progress", "tables"))
    await restore_chain(database, chain, wanted)
    assert dump(database) == expected_rows(chain, wanted)


KILLED = """
import asyncio, os, sys
from pathlib import Path
from tests.target.chain import build_chain, restore_chain
from tests.target.test_rocks import WANTED, StopAt
report = StopAt(sys.argv[2], occurrence=2, stop=lambda: os.kill(os.getpid(), 9))
asyncio.run(restore_chain(Path(sys.argv[1]), build_chain(), WANTED["K below V"], report))
"""


@pytest.mark.parametrize("step", ["snapshot nodes", "state values", "state progress"])
def test_a_restore_killed_after_a_step_ends_in_the_same_rows(
    database: Path, chain: TinyChain, step: str
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, database, step],
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert killed.returncode == -9, killed.stderr
    asyncio.run(restore_chain(database, chain, WANTED["K below V"]))
    assert dump(database) == expected_rows(chain, WANTED["K below V"])


async def test_a_cancelled_restore_ends_its_step_and_continues_later(
    database: Path, chain: TinyChain
) -> None:
    task, wanted = asyncio.current_task(), WANTED["K below V"]
    assert task is not None

    def cancel() -> None:
        task.cancel()

    stops: list[StopAt] = []

    def report(event: Event) -> None:
        stops[-1](event)

    async with open_rocks(database, report) as target:
        for step in ("snapshot values", "write sets", "state progress"):
            stops.append(StopAt(step, occurrence=2, stop=cancel))
            with pytest.raises(asyncio.CancelledError):
                await restore_into(target, chain, wanted)
            task.uncancel()
    await restore_chain(database, chain, wanted)
    assert dump(database) == expected_rows(chain, wanted)


async def test_usage_comes_back_from_replayed_transactions_only(database: Path, chain: TinyChain) -> None:
    async with open_rocks(database) as target:
        await save_snapshot(target, chain, 7)
        assert await save_transactions(target, chain, 5, 7, replay_from=None) is None
        assert await save_transactions(target, chain, 8, 9, replay_from=12) is None
        assert await save_transactions(target, chain, 6, 11, replay_from=8) == chain.usage(11)


async def test_replay_needs_the_usage_before_it(database: Path, chain: TinyChain) -> None:
    async with open_rocks(database) as target:
        with pytest.raises(DamagedTargetError, match="usage before the first replayed version") as caught:
            await save_transactions(target, chain, 8, 9, replay_from=8)
    assert caught.value.version == 7


async def test_another_frozen_subtree_is_refused(database: Path) -> None:
    node = FrozenNode(2, 0, b"\x01" * 32)
    async with open_rocks(database) as target:
        await target.save_frozen_subtrees([node])
        await target.save_frozen_subtrees([node])
        with pytest.raises(DamagedTargetError, match="another frozen subtree") as caught:
            await target.save_frozen_subtrees([FrozenNode(2, 0, b"\x02" * 32)])
    assert caught.value.expected == "02" * 32
    assert caught.value.file == f"{TRANSACTION_ACCUMULATOR} {u64(6).hex()}"


async def test_a_database_whose_transactions_end_elsewhere_is_not_finished(
    database: Path, chain: TinyChain
) -> None:
    async with open_rocks(database) as target:
        with pytest.raises(DamagedTargetError, match="does not end at the target"):
            await target.finish(Outcome(15, 15, 15))
        await fill(target, chain, WANTED["T is V"])
        for version in (14, 16):
            with pytest.raises(DamagedTargetError, match="does not end at the target"):
                await target.finish(Outcome(version, 15, 15))
    assert progress_table("ledger_db/metadata") not in dump(database)


async def test_a_database_without_a_tree_is_not_finished(database: Path, chain: TinyChain) -> None:
    async with open_rocks(database) as target:
        await save_snapshot(target, chain, 15, nodes=False)
        await save_transactions(target, chain, 15, 15, replay_from=None)
        with pytest.raises(DamagedTargetError, match="no root"):
            await target.finish(Outcome(15, 15, 15))


async def test_the_root_is_written_after_all_other_nodes(database: Path, chain: TinyChain) -> None:
    class Seen:
        """Looks for the root after each step."""

        def __init__(self) -> None:
            self.store: RocksStore | None = None
            self.steps: list[str] = []

        def __call__(self, event: Event) -> None:
            assert isinstance(event, Durable)
            assert self.store is not None
            if self.store.last(TREE_ROOTS) is None:
                self.steps.append(event.step)

    seen = Seen()
    async with open_rocks(database, seen) as target:
        seen.store = target._store
        await save_snapshot(target, chain, 15)
    assert "snapshot root" not in seen.steps
    assert seen.steps[-1] == "snapshot nodes"


async def test_a_tree_of_one_leaf_and_an_empty_one_are_their_roots(database: Path) -> None:
    async with open_rocks(database) as target:
        for version, node in ((3, b"\x03"), (4, b"\x01leaf")):
            await target.finish_snapshot(version, Usage(0, 0), nodes=[NodeRow("", node)])
    found = dump(database)
    assert found[TREE_ROOTS] == {node_key(3, ""): b"\x03", node_key(4, ""): b"\x01leaf"}
    assert set(found) == {TREE_ROOTS, VERSION_DATA}


async def test_a_large_chunk_goes_through_table_files_to_the_bottom(database: Path) -> None:
    count = 20 * TABLE_ROWS
    keys = [raw_key(u64(number)) for number in range(count)]
    keys = [key for _, key in sorted(zip(hash_keys(APTOS, keys), keys, strict=True))]
    items = ParsedItems(APTOS, [StateItem(key, b"\x00\x01v") for key in keys])
    nodes = [NodeRow(leaf.key_hash.hex()[:5], b"\x03") for leaf in items.leaves]
    nodes = list({node.path: node for node in nodes}.values())
    async with open_rocks(database) as target:
        staged = target.stage_chunk(9, items, nodes)
        rows = SnapshotRows(9, staged, [], items.leaf(-1).key_hash, Usage(count, 1))
        await target.save_snapshot_rows(rows)
        levels = {
            file["level"]
            for table in (*STATE_VALUES, *TREE_NODES)
            for file in target._store._instances[table.instance]._live().live_files()
        }
    assert levels == {6}
    found = dump(database)
    assert {key: raw for table in STATE_VALUES for key, raw in found[table].items()} == {
        state_value_key(leaf.key_hash, 9): b"\x01\x00\x01v" for leaf in items.leaves
    }
    assert {key for table in TREE_NODES for key in found[table]} == {node_key(9, node.path) for node in nodes}
    assert all(shard_of(key) == shard for shard, table in enumerate(STATE_VALUES) for key in found[table])


async def test_closing_twice_is_fine(database: Path) -> None:
    async with open_rocks(database) as target:
        await target.close()


async def test_chunks_and_finish_give_the_whole_tree(database: Path, chain: TinyChain) -> None:
    keys = [node_key(15, node.path) for node in last_nodes(chain, 15)]
    async with open_rocks(database) as target:
        for rows in snapshot_rows(target, chain, 15, values=True, nodes=True):
            keys += [node_key(15, node.path) for node in rows.nodes]
            keys += [key for staged in rows.staged.nodes for key, _ in staged.rows]
    assert sorted(keys) == sorted(node_key(15, path) for path in NaiveTree(15, chain.leaves(15)).rows())
    assert mark_of(chain, WANTED["T is V"]).snapshot == 15
