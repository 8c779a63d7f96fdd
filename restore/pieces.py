"""Puts a target together piece by piece: what the `oneoff` commands share.

The target notes each piece before it begins and when it is complete. Once the pieces make a whole database (a
tree at V, and transactions from V or before to T) its last rows are written, and `verify-db` and a node take
it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from restore.catalog.entries import MAX_U64, EpochEndingEntry
from restore.catalog.mirror import PRIVATE, MirrorOptions, load_view
from restore.epochs import restore_epoch_endings
from restore.errors import (
    EmptyStorageError,
    ForeignTargetError,
    UsageError,
)
from restore.fetch import Fetcher
from restore.flow.slots import Slots
from restore.ledger.hashes import APTOS, Domain
from restore.limits import Limits
from restore.proof.trust import TrustedHistory, TrustPolicy
from restore.report.events import Notice, Report
from restore.report.result import Result
from restore.resume import Journal, refuse_unchecked
from restore.run import Run
from restore.storage.base import Storage
from restore.target.base import Outcome, Target
from restore.target.dry import DryTarget
from restore.target.mark import FinishedMark, PieceMark, PiecesMark, TargetFolder
from restore.target.opening import open_target


@dataclass(frozen=True, slots=True)
class OneoffRequest:
    """What all `oneoff` commands share.

    Attributes:
        storage: where the backup is.
        target_dir: folder of the database; None for a dry run.
        target_version: nothing above it is kept; None for no bound.
        trust: what the proofs must end in.
        limits: bounds of the run.
        slots: how many chunks may be in progress; always `limits.concurrency` if not given.
        metadata: where the backup's metadata is kept.
        domain: the network's hashes.
    """

    storage: Storage
    target_dir: Path | None
    target_version: int | None
    trust: TrustPolicy
    limits: Limits
    slots: Slots | None = None
    metadata: MirrorOptions = PRIVATE
    domain: Domain = APTOS


@dataclass(frozen=True, slots=True)
class Session:
    """One `oneoff` command at work.

    Attributes:
        run: the run's means.
        journal: the mark.
        pieces: what earlier commands completed.
        epoch_endings: the backup's epoch endings, continuous from epoch 0.
    """

    run: Run
    journal: Journal
    pieces: tuple[PieceMark, ...]
    epoch_endings: tuple[EpochEndingEntry, ...]

    @property
    def trust(self) -> str:
        """What the proofs end in."""
        return self.run.history.policy.name

    def first_saved(self, piece: PieceMark | None = None) -> int:
        """First version with a transaction, `piece` included."""
        return min(
            part.first for part in (*self.pieces, *([piece] if piece else [])) if part.kind == "transaction"
        )


async def restore_piece(
    request: OneoffRequest,
    report: Report,
    piece: PieceMark,
    keep: Callable[[Session], Awaitable[Result]],
    *,
    reads_epochs: bool = True,
    reach: int = 0,
) -> Result:
    """Restores one piece, or tells that it is there.

    Args:
        request: what all `oneoff` commands share.
        report: takes events.
        piece: what will be noted of it.
        keep: does the work, and says what came of it.
        reads_epochs: whether the epoch endings are verified first; else `keep` does that.
        reach: last version of the piece's last chunk; see `restore_epoch_endings`.

    Raises:
        RestoreError: the class says what to do; see `restore.errors`.
    """
    began = time.monotonic()
    epoch_endings = await _epoch_endings(request, report)
    trust = request.trust
    if not epoch_endings and not trust.skip and reads_epochs:
        report(Notice("the backup has no epoch endings: no signature is checked", warning=True))
        trust = TrustPolicy(skip=True)
    history = TrustedHistory(trust, request.domain, keep_from=0)
    with contextlib.ExitStack() as stack:
        folder = None
        if request.target_dir is not None:
            folder = stack.enter_context(TargetFolder(request.target_dir))
        known = _known_pieces(folder, request, piece)
        for part in known:
            if part.result is not None and msgspec.structs.replace(part, result=None) == piece:
                report(Notice("the target has this piece; nothing to do"))
                return msgspec.structs.replace(part.result, seconds=round(time.monotonic() - began, 3))
        if folder is not None and epoch_endings:
            refuse_unchecked(trust, folder.load_mark())
        pieces = _begin_piece(folder, request, piece, known)
        async with _opened(request, folder, report) as (fetcher, target):
            run = Run(fetcher, request.domain, history, target, report, request.metadata)
            session = Session(run, Journal(folder, fetcher.workers, report), pieces, epoch_endings)
            if reads_epochs and not trust.skip:
                later = await restore_epoch_endings(
                    replace(run, target=DryTarget()), epoch_endings, target_version=piece.last, reach=reach
                )
                await session.journal.note(later_endings=later)
                history.check_waypoints(target=MAX_U64, versions=(piece.last,))
                await session.journal.pin(history)
            result = await keep(session)
            result = msgspec.structs.replace(result, seconds=round(time.monotonic() - began, 3))
            if folder is not None:
                done = (*pieces, msgspec.structs.replace(piece, result=result))
                await _finish_if_whole(replace(session, pieces=done), result)
                folder.save_pieces(PiecesMark(request.domain.text, done))
            return result


async def _epoch_endings(request: OneoffRequest, report: Report) -> tuple[EpochEndingEntry, ...]:
    """The backup's epoch endings from epoch 0 on; none where it has no metadata, or none of them.

    Raises:
        DataError: metadata that does not parse, and may have been of epoch endings.
    """
    try:
        view = await load_view(
            request.storage, request.metadata, concurrency=request.limits.concurrency, report=report
        )
    except EmptyStorageError:
        return ()
    for problem in view.problems:
        report(Notice(str(problem), warning=True))
    entries = tuple(view.cover_epochs().entries)
    if not entries:
        view.require_complete()  # else one bad line would switch all checks of signatures off
    return entries


@contextlib.asynccontextmanager
async def _opened(
    request: OneoffRequest, folder: TargetFolder | None, report: Report
) -> AsyncIterator[tuple[Fetcher, Target]]:
    async with (
        Fetcher(request.storage, request.limits, slots=request.slots) as fetcher,
        open_target(folder, fetcher.workers, report=report, domain=request.domain) as target,
    ):
        yield fetcher, target


def _known_pieces(
    folder: TargetFolder | None, request: OneoffRequest, piece: PieceMark
) -> tuple[PieceMark, ...]:
    """The pieces that earlier commands put into the target, the last one perhaps in progress.

    Raises:
        ForeignTargetError: the target is another command's, or another piece is in progress.
    """
    if folder is None:
        return ()
    if folder.load_plan() is not None:
        raise ForeignTargetError("the target was begun with bootstrap-db", file=str(folder.root))
    known = folder.load_pieces() or PiecesMark(request.domain.text)
    if known.domain != request.domain.text:
        raise ForeignTargetError(
            "the target was begun with another network", expected=known.domain, found=request.domain.text
        )
    for part in known.pieces:
        if part.result is None and part != piece:
            raise ForeignTargetError(
                f"another piece is in progress: oneoff {part.kind} {part.manifest}",
                file=str(folder.root),
                hint="give that command again to complete it first",
            )
    return known.pieces


def _begin_piece(
    folder: TargetFolder | None, request: OneoffRequest, piece: PieceMark, known: tuple[PieceMark, ...]
) -> tuple[PieceMark, ...]:
    """Notes the piece in the target, unless it is there to be continued; returns the complete ones."""
    done = tuple(part for part in known if part.result is not None)
    if folder is not None and piece not in known:
        # A new piece begins at its first chunk; what the target holds as a whole stays noted.
        mark = folder.load_mark()
        folder.save_mark(msgspec.structs.replace(mark, chunk=0, items=0, size=0, tree=None, frontier=None))
        folder.save_pieces(PiecesMark(request.domain.text, (*done, piece)))
    return done


def check_first_state(session: Session, piece: PieceMark) -> None:
    """Refuses a second state tree, or second values, in one target."""
    for part in session.pieces:
        if (part.has_tree and piece.has_tree) or (part.has_values and piece.has_values):
            raise UsageError(
                "the target holds a state snapshot already",
                expected=f"version {part.last}",
                found=f"version {piece.last}",
                hint="restore another snapshot into a folder of its own",
            )


def check_continues(session: Session, piece: PieceMark, replay_from: int | None) -> None:
    """Refuses transactions that would leave a gap, in the ledger or in the state that they build on."""
    saved = [part for part in session.pieces if part.kind == "transaction"]
    if saved and saved[-1].last + 1 < piece.first:
        raise UsageError(
            "transactions do not continue those in the target", expected=saved[-1].last + 1, found=piece.first
        )
    if replay_from is None or not session.run.target.keeps_data:
        return
    states = [part.last for part in session.pieces if part.has_values or part.replayed]
    if replay_from - 1 not in states:
        raise UsageError(
            "write sets can be applied only after a state in the target",
            expected=", ".join(str(version + 1) for version in states) or "none",
            found=replay_from,
            hint="restore the state snapshot of the version before first",
        )


async def _finish_if_whole(session: Session, result: Result) -> None:
    """Writes the last rows if the pieces make a database that a node opens."""
    mark, pieces = session.journal.mark, session.pieces
    trees = [part.last for part in pieces if part.has_tree]
    states = [part.last for part in pieces if part.has_values]
    saved = [part for part in pieces if part.kind == "transaction"]
    if not (trees and states and saved and mark.voucher and mark.state and mark.ledger_infos):
        return
    snapshot, last = trees[0], saved[-1].last
    if session.run.history.end_of(mark.ledger_infos - 1) not in range(last + 1):
        return  # epoch endings beyond the transactions: a node, too, would take the database for torn
    reached = max([*states, *(part.last for part in saved if part.replayed)])
    if not session.first_saved() <= snapshot <= last or (last > snapshot and reached < last):
        return
    outcome = Outcome(last, snapshot, min(states))
    await session.run.target.verify_state(outcome)
    await session.run.target.finish(outcome)
    finished = FinishedMark(
        target=last,
        snapshot=snapshot,
        history=min(states),
        first_saved=session.first_saved(),
        voucher=mark.voucher,
        later_endings=mark.later_endings,
        result=result,
    )
    await session.journal.note(finished=finished)
