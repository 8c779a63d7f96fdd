"""What a run remembers comes back as it was: positions through the mark, the plan through its file."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.catalog.view import Gap
from restore.errors import DiskFullError
from restore.flow.threads import Workers
from restore.ledger.state import Usage
from restore.plan import Plan
from restore.proof.builder import TreeState
from restore.proof.edge import TreeLeaf
from restore.proof.frontier import FrontierState
from restore.proof.ranges import AccumulatorRangeProof
from restore.report.events import Durable, Event, silent
from restore.resume import Journal, plan_mark, plan_of_mark, state_mark
from restore.snapshot import FinishedSnapshot, SnapshotPosition
from restore.target.mark import (
    BEGINNING,
    AccumulatorMark,
    Mark,
    PlanMark,
    StateMark,
    TargetFolder,
    VoucherMark,
)
from restore.transactions import TransactionPosition, Voucher
from tests.structs import MAX_U64, structs

NUMBERS = st.integers(0, MAX_U64)
HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple)
USAGES = st.builds(Usage, NUMBERS, NUMBERS)
SNAPSHOT_POSITIONS = st.builds(
    SnapshotPosition,
    NUMBERS,
    USAGES,
    st.none() | structs(TreeState),
    st.none() | structs(FrontierState),
)
VOUCHERS = st.builds(Voucher, st.binary(max_size=40), st.builds(AccumulatorRangeProof, HASHES, HASHES))
TRANSACTION_POSITIONS = st.builds(
    TransactionPosition, NUMBERS, HASHES, st.none() | VOUCHERS, st.none() | USAGES
) | st.just(TransactionPosition())

SNAPSHOT = SnapshotPosition(
    3,
    Usage(10, 2000),
    TreeState(TreeLeaf(b"k" * 32, b"v" * 32, b"key")),
    FrontierState(b"k" * 32, b"v" * 32, ((1, b"s" * 32),)),
)
TRANSACTIONS = TransactionPosition(
    7,
    (b"a" * 32, b"b" * 32, b"c" * 32),
    Voucher(b"ledger info", AccumulatorRangeProof((b"l" * 32,), (b"r" * 32,))),
    Usage(11, 2100),
)


async def remembered(root: Path, work: Callable[[Journal], Awaitable[None]]) -> Mark:
    """The mark that is in the folder after `work`."""
    async with Workers(1) as workers:
        with TargetFolder(root) as folder:
            journal = Journal(folder, workers, silent)
            await work(journal)
            assert folder.load_mark() == journal.mark
    with TargetFolder(root) as folder:
        return folder.load_mark()


async def journal_of(root: Path) -> Journal:
    """The journal of a run that starts on what is in the folder."""
    async with Workers(1) as workers:
        with TargetFolder(root) as folder:
            return Journal(folder, workers, silent)


async def test_a_fresh_target_starts_at_the_beginning(tmp_path: Path) -> None:
    for journal in (await journal_of(tmp_path), Journal(None, Workers(1), silent)):
        assert journal.mark == BEGINNING
        assert journal.snapshot_position() == SnapshotPosition()
        assert journal.transaction_position() == TransactionPosition()


@given(SNAPSHOT_POSITIONS)
@settings(max_examples=30)
def test_the_position_in_a_snapshot_comes_back(position: SnapshotPosition) -> None:
    async def through(root: Path) -> SnapshotPosition:
        await remembered(root, lambda journal: journal.at_snapshot(position))
        return (await journal_of(root)).snapshot_position()

    with tempfile.TemporaryDirectory() as root:
        assert repr(asyncio.run(through(Path(root)))) == repr(position)


@given(TRANSACTION_POSITIONS)
@settings(max_examples=30)
def test_the_position_in_the_transactions_comes_back(position: TransactionPosition) -> None:
    async def through(root: Path) -> TransactionPosition:
        await remembered(root, lambda journal: journal.at_transactions(position))
        return (await journal_of(root)).transaction_position()

    with tempfile.TemporaryDirectory() as root:
        assert repr(asyncio.run(through(Path(root)))) == repr(position)


async def test_the_two_positions_do_not_touch_each_other(tmp_path: Path) -> None:
    async def work(journal: Journal) -> None:
        await journal.note(ledger_infos=5)
        await journal.at_transactions(TRANSACTIONS)
        await journal.at_snapshot(SNAPSHOT)

    mark = await remembered(tmp_path, work)
    journal = await journal_of(tmp_path)
    assert journal.transaction_position() == TRANSACTIONS
    assert journal.snapshot_position() == SNAPSHOT
    assert mark == Mark(
        step=0,
        chunk=3,
        items=10,
        size=2000,
        tree=SNAPSHOT.tree,
        frontier=SNAPSHOT.frontier,
        accumulator=AccumulatorMark(7, TRANSACTIONS.roots),
        voucher=VoucherMark(b"ledger info", (b"l" * 32,), (b"r" * 32,)),
        usage=(11, 2100),
        ledger_infos=5,
    )


async def test_a_finished_step_leaves_the_next_one_at_its_beginning(tmp_path: Path) -> None:
    finished = StateMark(b"r" * 32, 10, 2000)

    async def work(journal: Journal) -> None:
        await journal.at_transactions(TRANSACTIONS)
        await journal.at_snapshot(SNAPSHOT)
        await journal.finish_step(state=finished)
        await journal.finish_step()

    mark = await remembered(tmp_path, work)
    assert (mark.step, mark.state) == (2, finished)
    journal = await journal_of(tmp_path)
    assert journal.snapshot_position() == SnapshotPosition()
    assert journal.transaction_position() == TRANSACTIONS  # the next transactions go on from there


async def test_without_a_folder_the_mark_is_kept_in_memory_and_nothing_is_durable() -> None:
    events: list[Event] = []
    async with Workers(1) as workers:
        journal = Journal(None, workers, events.append)
        await journal.at_snapshot(SNAPSHOT)
        await journal.at_transactions(TRANSACTIONS)
        assert journal.snapshot_position() == SNAPSHOT
        assert journal.transaction_position() == TRANSACTIONS
        await journal.finish_step()
    assert (journal.mark.step, journal.snapshot_position()) == (1, SnapshotPosition())
    assert events == []


async def test_a_mark_is_called_durable_only_once_it_is_in_the_folder(tmp_path: Path) -> None:
    seen: list[Mark] = []
    with TargetFolder(tmp_path) as folder:

        def report(event: Event) -> None:
            assert event == Durable("mark")
            seen.append(folder.load_mark())

        async with Workers(1) as workers:
            journal = Journal(folder, workers, report)
            await journal.note(chunk=1)
            await journal.finish_step()
    assert seen == [Mark(step=0, chunk=1), Mark(step=1)]


class GatedFolder(TargetFolder):
    """A target whose marks are written when the test says so."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self.gate = threading.Event()

    def save_mark(self, mark: Mark) -> None:
        self.loop.call_soon_threadsafe(self.begun.set)
        assert self.gate.wait(20)
        super().save_mark(mark)


async def test_a_mark_that_is_being_written_is_awaited_though_the_run_is_cancelled(tmp_path: Path) -> None:
    folder = GatedFolder(tmp_path)
    with folder:
        async with Workers(1) as workers:
            task = asyncio.create_task(Journal(folder, workers, silent).note(chunk=1))
            await folder.begun.wait()
            task.cancel()
            asyncio.get_running_loop().call_soon(folder.gate.set)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert folder.load_mark() == Mark(step=0, chunk=1)


class FullFolder(TargetFolder):
    """A target on a disk that is full."""

    def save_mark(self, mark: Mark) -> None:
        raise DiskFullError("cannot write the target")


async def test_a_mark_that_cannot_be_written_is_not_called_durable(tmp_path: Path) -> None:
    events: list[Event] = []
    with FullFolder(tmp_path) as folder:
        async with Workers(1) as workers:
            with pytest.raises(DiskFullError):
                await Journal(folder, workers, events.append).note(chunk=1)
    assert events == []


def test_a_finished_snapshot_leaves_its_root_and_usage() -> None:
    assert state_mark(FinishedSnapshot(b"r" * 32, Usage(5, 600))) == StateMark(b"r" * 32, 5, 600)


def marked(plan: Plan, like: PlanMark) -> PlanMark:
    """The mark of `plan`, with what is not the plan's own taken from `like`."""
    return plan_mark(
        plan,
        domain=like.domain,
        history_start=like.history_start,
        waypoints=like.waypoints,
        genesis=like.trust_genesis,
    )


@given(structs(PlanMark))
def test_a_plan_comes_back_from_its_mark_and_the_mark_from_the_plan(mark: PlanMark) -> None:
    plan = plan_of_mark(mark)
    assert marked(plan, mark) == mark
    stored = msgspec.json.decode(msgspec.json.encode(mark), type=PlanMark)
    assert repr(plan_of_mark(stored)) == repr(plan)
    # Why not more is said when the plan is made; it does not matter to whoever continues.
    explained = replace(plan, notes=("why not more",), gaps=(Gap("versions", 1, None, None, None),))
    assert plan_of_mark(marked(explained, mark)) == plan


@given(structs(PlanMark))
def test_a_plan_that_comes_back_means_the_same(mark: PlanMark) -> None:
    plan = plan_of_mark(mark)
    assert (plan.requested, plan.target) == (mark.requested, mark.target)
    assert (plan.snapshot.epoch, plan.snapshot.version, plan.snapshot.manifest) == (
        mark.snapshot.epoch,
        mark.snapshot.version,
        mark.snapshot.manifest,
    )
    older = mark.kv_snapshot or mark.snapshot
    assert plan.history_version == older.version
    assert len(plan.snapshots) == (1 if mark.kv_snapshot is None else 2)
    assert [(part.first_version, part.last_version, part.manifest) for part in plan.transactions] == [
        (part.first, part.last, part.manifest) for part in mark.transactions
    ]
    assert [
        (part.first_epoch, part.last_epoch, part.first_version, part.last_version, part.manifest)
        for part in plan.epoch_endings
    ] == [
        (part.first_epoch, part.last_epoch, part.first_version, part.last_version, part.manifest)
        for part in mark.epoch_endings
    ]
