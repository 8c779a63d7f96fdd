"""`verify-db`: checks a finished database again, from its rows alone, without writing.

    progress          the rows by which a node judges the database; tables that must be empty are
    ledger infos      every epoch ending, its signatures again
    transactions      every record against its info, every info against the accumulator, the accumulator
                      against the ledger infos, and at T against the one that the mark kept
    state             every node of the tree, every value by its leaf, the state at K and at the last
                      checkpoint against their roots
    write sets        replayed again: values, stale rows, usage of every version

Source: spec/aptosdb-schema.md sections 3.1 and 8.3.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from restore.errors import DamagedTargetError, FormatError, ProofError
from restore.flow.threads import Workers
from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.state import Usage
from restore.ledger.waypoint import Waypoint
from restore.proof.ranges import AccumulatorRangeProof
from restore.proof.trust import TrustedHistory, TrustPolicy
from restore.report.events import Advanced, PhaseFinished, PhaseStarted, Report
from restore.target.base import Outcome
from restore.target.check_ledger import LedgerCheck, LedgerFindings
from restore.target.check_progress import check_ledger_infos, check_progress, check_snapshot_progress
from restore.target.check_replay import ReplayFindings, check_replay, stored_usage
from restore.target.check_rows import Steps, damaged
from restore.target.check_state import StateCheck, StateFindings
from restore.target.check_tree import TreeCheck
from restore.target.mark import FinishedMark
from restore.target.schema import STATE_VALUES, TRANSACTION_INFO, VERSION_DATA, u64
from restore.target.store import RocksStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a database was found to hold.

    Attributes:
        target_version: T.
        snapshot_version: V.
        epochs: ledger infos stored.
        transactions: versions stored.
        state_root: root of the tree at V.
        usage: items and bytes at V.
        usage_at_target: the same at T.
        accumulator_root: over all versions up to T.
    """

    target_version: int
    snapshot_version: int
    epochs: int
    transactions: int
    state_root: bytes
    usage: Usage
    usage_at_target: Usage
    accumulator_root: bytes


async def check_database(
    root: Path,
    *,
    mark: FinishedMark,
    trusted: Sequence[Waypoint],
    domain: Domain,
    workers: Workers,
    report: Report,
) -> CheckResult:
    """Checks the finished database below `root` against its mark and itself.

    Args:
        root: the target's folder.
        mark: what the finished target says of itself.
        trusted: waypoints to check the epoch endings with; without any, epoch 0 is taken on trust.
        domain: the network's hashes.
        workers: do the work.
        report: takes events.

    Raises:
        DamagedTargetError: naming the first row, or version, that is missing, too many or wrong.
        TrustError: nothing trusted vouches for a ledger info.
        LockedError, AccessDeniedError, ResourceError: the database cannot be read.

    Cancellation: between steps of well under a second. Nothing is written at any time.
    Bounds: some thousand items or transactions, or 64 MiB of them and one.
    """
    async with _opened(root, workers) as store:
        check = _DatabaseCheck(store, mark, domain, workers, report)
        with _as_damage():
            return await check.run(trusted)


class _DatabaseCheck:
    """The checks of one database, in order."""

    def __init__(
        self, store: RocksStore, mark: FinishedMark, domain: Domain, workers: Workers, report: Report
    ) -> None:
        self._store = store
        self._mark = mark
        self._outcome = Outcome(mark.target, mark.snapshot, mark.history)
        self._domain = domain
        self._workers = workers
        self._report = report

    async def run(self, trusted: Sequence[Waypoint]) -> CheckResult:
        mark = self._mark
        await self._phase("progress rows", "rows", None, check_progress(self._store, self._outcome))
        history = await self._check_ledger_infos(trusted)
        ledger = await self._check_ledger(history)
        tree = TreeCheck(self._store, self._domain, mark.snapshot)
        await self._workers.run(tree.open)
        self._check_root(ledger, tree)
        state = await self._check_state(ledger, tree)
        replayed = await self._check_replay(state)
        return CheckResult(
            target_version=mark.target,
            snapshot_version=mark.snapshot,
            epochs=history.epochs_to(mark.target),
            transactions=mark.target - mark.first_saved + 1,
            state_root=tree.root,
            usage=replayed.usages[mark.snapshot],
            usage_at_target=replayed.usages[mark.target],
            accumulator_root=ledger.accumulator_root,
        )

    async def _check_ledger_infos(self, trusted: Sequence[Waypoint]) -> TrustedHistory:
        """Checks the epoch endings, and the ledger info that vouches for T."""
        mark = self._mark
        policy = TrustPolicy(waypoints=tuple(trusted), genesis=not trusted)
        history = TrustedHistory(policy, self._domain, keep_from=mark.target)
        steps = check_ledger_infos(
            self._store, history, target_version=mark.target, epochs=mark.result.epochs
        )
        await self._phase("ledger infos", "epochs", mark.result.epochs, steps)
        history.check_waypoints(target=mark.target, versions=(mark.history, mark.snapshot))
        for raw in mark.later_endings:
            await self._workers.run(history.extend, SignedLedgerInfo.parse(raw))
        return history

    async def _check_ledger(self, history: TrustedHistory) -> LedgerFindings:
        mark = self._mark
        voucher = SignedLedgerInfo.parse(mark.voucher.ledger_info)
        await self._workers.run(history.verify, voucher)
        check = LedgerCheck(
            self._store,
            self._domain,
            history,
            first_version=mark.first_saved,
            target_version=mark.target,
            state_versions=frozenset((mark.history, mark.snapshot)),
            voucher=AccumulatorRangeProof(mark.voucher.left, mark.voucher.right),
            voucher_root=voucher.info.executed_state_id,
        )
        total = mark.target - mark.first_saved + 1
        return await self._phase("transactions", "transactions", total, check.run())

    def _check_root(self, ledger: LedgerFindings, tree: TreeCheck) -> None:
        for version in (self._mark.history, self._mark.snapshot):
            if version not in ledger.state_roots:
                raise damaged(
                    TRANSACTION_INFO,
                    u64(version),
                    "transaction of a snapshot is no checkpoint",
                    version=version,
                )
        expected = ledger.state_roots[self._mark.snapshot]
        if tree.root != expected:
            raise DamagedTargetError(
                "state tree has another root than its transaction commits to",
                version=self._mark.snapshot,
                expected=expected,
                found=tree.root,
            )

    async def _check_state(self, ledger: LedgerFindings, tree: TreeCheck) -> StateFindings:
        """Checks values and tree, and the usage that follows from them."""
        mark = self._mark
        check = StateCheck(
            self._store,
            self._domain,
            tree,
            snapshot_version=mark.snapshot,
            history_version=mark.history,
            target_version=mark.target,
            roots=ledger.state_roots,
        )
        found = await self._phase("state", "items", mark.result.state_items, check.run())
        at_snapshot = Usage(found.items[mark.snapshot], found.value_bytes[mark.snapshot] + found.key_bytes)
        self._check_usage(mark.snapshot, at_snapshot)
        return found

    async def _check_replay(self, state: StateFindings) -> ReplayFindings:
        """Checks what write sets did, and the usage at both ends by what was counted there."""
        mark = self._mark
        steps = check_replay(
            self._store,
            self._domain,
            history_version=mark.history,
            target_version=mark.target,
            versions=frozenset((mark.snapshot, mark.target)),
        )
        found = await self._phase("write sets", "versions", mark.target - mark.history, steps)
        for shard, (rows, written) in enumerate(zip(state.later_rows, found.written, strict=True)):
            if rows != written:
                raise DamagedTargetError(
                    "state values have rows that no write set made",
                    file=str(STATE_VALUES[shard]),
                    expected=written,
                    found=rows,
                )
        for version in (mark.history, mark.target):
            grown = found.key_bytes[version] - found.key_bytes[mark.snapshot]
            counted = state.value_bytes[version] + state.key_bytes + grown
            self._check_usage(version, Usage(state.items[version], counted))
        usage = found.usages[mark.history]
        last_key = state.last_keys.get(mark.history)
        check_snapshot_progress(self._store, self._outcome, last_key=last_key, usage=usage)
        return found

    def _check_usage(self, version: int, counted: Usage) -> None:
        stated = stored_usage(self._store, version)
        if stated != counted:
            raise damaged(
                VERSION_DATA,
                u64(version),
                "usage is not what was counted",
                version=version,
                expected=counted,
                found=stated,
            )

    async def _phase(self, name: str, unit: str, total: int | None, steps: Steps[T]) -> T:
        """Runs the steps of one check in worker threads, and reports how far it is."""
        self._report(PhaseStarted(name, unit, total))
        while not isinstance(step := await self._workers.run(_advance, steps), _Done):
            self._report(Advanced(name, step, 0))
        self._report(PhaseFinished(name))
        return step.found


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    """The end of a check."""

    found: T


def _advance(steps: Steps[T]) -> int | _Done[T]:
    # A thread's result cannot be StopIteration.
    try:
        return next(steps)
    except StopIteration as end:
        return _Done(end.value)


@asynccontextmanager
async def _opened(root: Path, workers: Workers) -> AsyncIterator[RocksStore]:
    store = await workers.run(lambda: RocksStore.open(root, read_only=True))
    try:
        yield store
    finally:
        await workers.run(store.close)


@contextmanager
def _as_damage() -> Iterator[None]:
    """Whatever does not parse or hold here is damage of the database, not of a backup."""
    try:
        yield
    except (FormatError, ProofError) as error:
        raise DamagedTargetError(
            error.message,
            file=error.file,
            version=error.version,
            offset=error.offset,
            expected=error.expected,
            found=error.found,
        ) from error
