"""`bootstrap-db`: plans, then runs the plan's steps into one target, from where an earlier run stopped.

The steps (V = snapshot, T = target, K = where the state history starts, if older than V):

    epochs           on every start: everything else is checked with this history
    snapshot K       values only                                      } only where
    transactions     up to V, write sets applied from K+1 on          } K is asked for
    snapshot V       values and tree; after K the tree only
    transactions     up to T, write sets applied from V+1 on
    state at T       the root at the last checkpoint is recomputed, where T > V
    finish           progress rows; the one that makes the database look whole comes last

Source: design.md, Target and Resume; spec/backup-format.md 6.4.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from restore.catalog.entries import StateSnapshotEntry
from restore.catalog.mirror import PRIVATE, MirrorOptions, load_view
from restore.epochs import restore_epoch_endings
from restore.errors import DamagedTargetError, ForeignTargetError, ProofError, TrustError
from restore.fetch import Fetcher
from restore.flow.slots import Slots
from restore.flow.threads import Workers
from restore.ledger.hashes import APTOS, Domain
from restore.ledger.waypoint import Waypoint
from restore.limits import Limits
from restore.plan import Plan, PlanRequest, make_plan
from restore.proof.accumulator import Accumulator
from restore.proof.trust import TrustedHistory, TrustPolicy
from restore.report.events import Notice, Report
from restore.report.result import Result, UsageResult
from restore.resume import Journal, plan_mark, plan_of_mark, refuse_unchecked, state_mark
from restore.run import Run
from restore.snapshot import RestoreMode, restore_snapshot
from restore.storage.base import Storage
from restore.target.base import Outcome
from restore.target.dry import DryTarget
from restore.target.mark import BEGINNING, FinishedMark, PlanMark, TargetFolder
from restore.target.opening import open_target
from restore.target.waypoints import check_stored_waypoints
from restore.transactions import TransactionRange, restore_transactions

COMMAND = "bootstrap-db"


@dataclass(frozen=True, slots=True)
class BootstrapRequest:
    """What the user asks for.

    Attributes:
        storage: where the backup is.
        target_dir: folder of the database; None for a dry run, which proves everything and keeps nothing.
        target_version: last version wanted; None for the newest that a node can open.
        ledger_history_start_version: first version whose state must be readable; None for the snapshot's.
        trust: what the proofs must end in.
        accept_older: whether less than asked for is welcome.
        limits: bounds of the run.
        slots: how many chunks may be in progress; always `limits.concurrency` if not given.
        metadata: where the backup's metadata is kept.
        domain: the network's hashes.
    """

    storage: Storage
    target_dir: Path | None
    target_version: int | None
    ledger_history_start_version: int | None
    trust: TrustPolicy
    accept_older: bool
    limits: Limits
    slots: Slots | None = None
    metadata: MirrorOptions = PRIVATE
    domain: Domain = APTOS


async def bootstrap(request: BootstrapRequest, report: Report) -> Result:
    """Restores a backup, or continues; a target that is finished is left alone.

    Raises:
        RestoreError: the class says what to do; see `restore.errors`.

    Cancellation: leaves a target that the same request continues.
    Bounds: `request.limits`.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = None
        if request.target_dir is not None:
            folder = stack.enter_context(TargetFolder(request.target_dir))
            if folder.load_pieces() is not None:
                raise ForeignTargetError(
                    "the target was begun with oneoff commands", file=str(request.target_dir)
                )
        mark = folder.load_mark() if folder is not None else BEGINNING
        # Until the epoch endings verify, nothing is worth keeping: a mistaken waypoint may be corrected.
        known = folder.load_plan() if folder is not None and mark.ledger_infos is not None else None
        if known is not None:
            _check_same(known, request)
        request.trust.check()
        if folder is not None and mark.finished is not None:
            report(Notice("the target is finished; nothing to do"))
            return await _known_result(folder, mark.finished, request, began=began)
        if folder is not None:
            refuse_unchecked(request.trust, mark)
        if known is not None:
            request = _with_known_trust(request, known)
        plan = plan_of_mark(known) if known is not None else await _make_plan(request, folder, report)
        return await _restore(request, plan, folder, report, began=began)


async def _known_result(
    folder: TargetFolder, finished: FinishedMark, request: BootstrapRequest, *, began: float
) -> Result:
    """What a finished target holds, once it is there and agrees with what is trusted now."""
    async with Workers(1) as workers:
        await workers.run(
            partial(
                check_stored_waypoints,
                folder.root,
                request.trust.waypoints,
                domain=request.domain,
                target_version=finished.target,
            )
        )
    return msgspec.structs.replace(finished.result, seconds=round(time.monotonic() - began, 3))


async def _make_plan(request: BootstrapRequest, folder: TargetFolder | None, report: Report) -> Plan:
    """Plans, says what falls short, and fixes the plan in the target before its first row."""
    view = await load_view(
        request.storage, request.metadata, concurrency=request.limits.concurrency, report=report
    )
    wanted = PlanRequest(
        request.target_version,
        request.ledger_history_start_version,
        accept_older=request.accept_older,
        check_epochs=not request.trust.skip,
    )
    plan = make_plan(view, wanted)
    for note in plan.notes:
        report(Notice(note, warning=True))
    if folder is not None:
        folder.clear()
        folder.save_plan(
            plan_mark(
                plan,
                domain=request.domain.text,
                history_start=request.ledger_history_start_version,
                waypoints=tuple(str(waypoint) for waypoint in request.trust.waypoints),
                genesis=request.trust.genesis,
            )
        )
        folder.save_mark(BEGINNING)
    return plan


async def _restore(
    request: BootstrapRequest, plan: Plan, folder: TargetFolder | None, report: Report, *, began: float
) -> Result:
    history = TrustedHistory(request.trust, request.domain, keep_from=plan.first_saved)
    async with (
        Fetcher(request.storage, request.limits, slots=request.slots) as fetcher,
        open_target(folder, fetcher.workers, report=report, domain=request.domain) as target,
    ):
        run = Run(fetcher, request.domain, history, target, report, request.metadata)
        journal = Journal(folder, fetcher.workers, report)
        await _restore_epochs(run, plan, journal)
        await _Steps(run, plan, journal).run()
        return await _finish(run, plan, journal, began=began)


async def _restore_epochs(run: Run, plan: Plan, journal: Journal) -> None:
    """Verifies the epoch endings, on every start; keeps them on the first."""
    if run.history.policy.skip:
        run.report(Notice("epoch endings are skipped: no signature is checked", warning=True))
        return
    keeper = run if journal.mark.ledger_infos is None else replace(run, target=DryTarget())
    later = await restore_epoch_endings(
        keeper, plan.epoch_endings, target_version=plan.target, reach=plan.transactions[-1].last_version
    )
    versions = tuple(snapshot.version for snapshot in plan.snapshots)
    run.history.check_waypoints(target=plan.target, versions=versions)
    await journal.pin(run.history)
    await journal.note(ledger_infos=run.history.epochs_to(plan.target), later_endings=later)


class _Steps:
    """The steps of one plan after the epochs, each skipped once the mark is past it."""

    def __init__(self, run: Run, plan: Plan, journal: Journal) -> None:
        self._run = run
        self._plan = plan
        self._journal = journal
        self._index = 0

    async def run(self) -> None:
        plan = self._plan
        version, older = plan.snapshot.version, plan.kv_snapshot
        if older is not None:
            await self._snapshot(older, "kv_only")
            await self._transactions(last=version, replay_from=older.version + 1)
        await self._snapshot(plan.snapshot, "default" if older is None else "tree_only")
        await self._transactions(last=plan.target, replay_from=version + 1)

    async def _snapshot(self, entry: StateSnapshotEntry, mode: RestoreMode) -> None:
        if self._is_done():
            return
        finished = await restore_snapshot(
            self._run,
            entry,
            mode=mode,
            start=self._journal.snapshot_position(),
            commit=self._journal.at_snapshot,
        )
        replayed, counted = self._journal.mark.usage, finished.usage
        keeps_state = self._run.target.keeps_data  # a dry run applies no write sets
        if mode == "tree_only" and keeps_state and replayed != (counted.items, counted.bytes):
            raise ProofError(
                "write sets lead to another usage than the snapshot has",
                version=entry.version,
                expected=counted,
                found=replayed,
            )
        await self._journal.finish_step(state=state_mark(finished))

    async def _transactions(self, *, last: int, replay_from: int) -> None:
        if self._is_done():
            return
        wanted = TransactionRange(last, replay_from if replay_from <= last else None)
        await restore_transactions(
            self._run,
            self._plan.transactions,
            wanted,
            start=self._journal.transaction_position(),
            commit=self._journal.at_transactions,
        )
        await self._journal.finish_step()

    def _is_done(self) -> bool:
        self._index += 1
        return self._index <= self._journal.mark.step


async def _finish(run: Run, plan: Plan, journal: Journal, *, began: float) -> Result:
    """Checks the state at T, writes the last rows, and notes what the database holds."""
    mark = journal.mark
    state, accumulator, voucher = mark.state, mark.accumulator, mark.voucher
    if state is None or accumulator is None or voucher is None or accumulator.count != plan.target + 1:
        raise DamagedTargetError("resume mark does not reach the target", expected=plan.target)
    outcome = Outcome(plan.target, plan.snapshot.version, plan.history_version)
    await run.target.verify_state(outcome)
    await run.target.finish(outcome)
    usage: tuple[int, int] | None = (state.items, state.size)
    if plan.target > plan.snapshot.version:
        usage = mark.usage
    seed = run.domain.transaction_accumulator
    result = Result(
        command=COMMAND,
        trust=run.history.policy.name,
        waypoints=run.history.policy.names,
        requested_version=plan.requested,
        target_version=plan.target,
        snapshot_version=plan.snapshot.version,
        state_root_hash=state.root.hex(),
        state_items=state.items,
        state_bytes=state.size,
        usage_at_target=None if usage is None else UsageResult(*usage),
        transactions=plan.target - plan.first_saved + 1,
        epochs=mark.ledger_infos,
        ledger_version=plan.target,
        accumulator_root_hash=Accumulator(seed, accumulator.count, accumulator.roots).root().hex(),
        seconds=round(time.monotonic() - began, 3),
    )
    finished = FinishedMark(
        target=plan.target,
        snapshot=plan.snapshot.version,
        history=plan.history_version,
        first_saved=plan.first_saved,
        voucher=voucher,
        later_endings=mark.later_endings,
        result=result,
    )
    await journal.note(finished=finished)
    return result


def _check_same(known: PlanMark, request: BootstrapRequest) -> None:
    """Refuses a request that is not the one the target was begun with; what it leaves open is the plan's."""
    for name, asked, begun in (
        ("network", request.domain.text, {known.domain}),
        ("target version", request.target_version, {known.requested, known.target}),
        ("history start", request.ledger_history_start_version, {known.history_start}),
    ):
        if asked is not None and asked not in begun:
            raise ForeignTargetError(
                f"the target was begun with another {name}",
                file=str(request.target_dir),
                expected=" or ".join(sorted(str(value) for value in begun if value is not None)) or "none",
                found=asked,
            )


def _with_known_trust(request: BootstrapRequest, known: PlanMark) -> BootstrapRequest:
    """Adds what the target was begun with to what is trusted now: more waypoints only check more.

    Raises:
        TrustError: one contradicts what the target was begun with.
    """
    waypoints = {waypoint.version: waypoint for waypoint in map(Waypoint.parse, known.waypoints)}
    for waypoint in request.trust.waypoints:
        begun = waypoints.setdefault(waypoint.version, waypoint)
        if begun != waypoint:
            raise TrustError(
                "the target was begun with another trusted waypoint",
                file=str(request.target_dir),
                version=waypoint.version,
                expected=begun,
                found=waypoint,
            )
    trust = replace(
        request.trust,
        waypoints=tuple(waypoints.values()),
        genesis=request.trust.genesis or known.trust_genesis,
    )
    return replace(request, trust=trust)
