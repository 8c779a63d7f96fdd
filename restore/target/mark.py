"""The resume mark: a side file that says how far a target is, replaced whole after each durable step.

The 42 instances share no transaction. So the order is: rows durable in every instance, then the mark; after a
crash the chunk that the mark names next is written again, which leaves the same rows. In `D/.aptos-restore/`
lie:

    plan.json     what `bootstrap-db` restores: written once, before the first row
    pieces.json   in its place, where a database is put together by `oneoff` commands
    mark.json     how far it is: replaced atomically (temp, fsync, rename, fsync of the folder)
    created       all instances were created; from then on a missing one is damage
    lock          held by the one process that works on the target

No keys of ours go into the database.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import TypeVar

import msgspec

from cache.atomic import make_directory_durably, write_durably
from restore.errors import DamagedTargetError, ForeignTargetError, LockedError
from restore.proof.builder import TreeState
from restore.proof.frontier import FrontierState
from restore.report.result import Result
from restore.target.failures import local_failures
from restore.target.schema import INSTANCES

S = TypeVar("S", bound=msgspec.Struct)

SIDE_FOLDER = ".aptos-restore"
PLAN_FILE = "plan.json"
PIECES_FILE = "pieces.json"
MARK_FILE = "mark.json"
LOCK_FILE = "lock"
CREATED_FILE = "created"
"""All instances were created; a missing one, or a missing mark, is damage from then on."""


class SnapshotMark(msgspec.Struct, frozen=True):
    """A state snapshot of the plan."""

    epoch: int
    version: int
    manifest: str


class TransactionMark(msgspec.Struct, frozen=True):
    """A transaction backup of the plan: its versions and manifest."""

    first: int
    last: int
    manifest: str


class EpochMark(msgspec.Struct, frozen=True):
    """An epoch-ending backup of the plan: its epochs, the versions they end at, and its manifest."""

    first_epoch: int
    last_epoch: int
    first_version: int
    last_version: int
    manifest: str


class PlanMark(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a target, fixed before its first row.

    Attributes:
        domain: prefix text of the network's hashes.
        requested: the version asked for; None if the newest.
        history_start: the history start asked for; None if none.
        target: T. snapshot: V's. kv_snapshot: K's, if the history starts before V.
        transactions: backups from the one that holds K or V to the one that holds T.
        epoch_endings: backups from epoch 0 to T.
        waypoints: trusted waypoints, as text.
        trust_genesis: whether the genesis is taken on trust.
    """

    domain: str
    requested: int | None
    history_start: int | None
    target: int
    snapshot: SnapshotMark
    kv_snapshot: SnapshotMark | None
    transactions: tuple[TransactionMark, ...]
    epoch_endings: tuple[EpochMark, ...]
    waypoints: tuple[str, ...]
    trust_genesis: bool


class AccumulatorMark(msgspec.Struct, frozen=True):
    """The transaction accumulator after the last durable transaction: leaf count and frozen roots."""

    count: int
    roots: tuple[bytes, ...]


class VoucherMark(msgspec.Struct, frozen=True):
    """The signed ledger info that vouches for T, and the proof of T's transaction info under it."""

    ledger_info: bytes
    left: tuple[bytes, ...]
    right: tuple[bytes, ...]


class StateMark(msgspec.Struct, frozen=True):
    """A finished state tree: its root, leaves, and the bytes of its keys and values."""

    root: bytes
    items: int
    size: int


class FinishedMark(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished database holds, for whoever opens it next: all that `verify-db` needs besides its rows.

    Attributes:
        target: T. snapshot: V. history: K, or V. first_saved: first version with a transaction.
        voucher: what vouches for T.
        later_endings: epoch endings above T that lead to the voucher's validators.
        result: what the command that finished it reported.
    """

    target: int
    snapshot: int
    history: int
    first_saved: int
    voucher: VoucherMark
    later_endings: tuple[bytes, ...]
    result: Result


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far a target is.

    Attributes:
        step: index of the step in progress; earlier ones are complete.
        chunk: index of the next chunk of that step.
        items, size: usage of the snapshot in progress, up to that chunk.
        tree: open nodes of the snapshot's tree, where nodes are written.
        frontier: the binary frontier, where only values are written.
        accumulator: the transaction accumulator so far.
        voucher: what vouches for T, once its chunk is durable.
        later_endings: signed epoch endings above T that lead to the voucher's validators.
        genesis: waypoint of the chain's genesis; every later start must find the same.
        usage: items and bytes after the last durable transaction, where write sets are applied.
        ledger_infos: epoch endings stored and verified; None until that step is complete.
        state: what the tree at V holds, once it is complete.
        finished: what the finished database holds; None until it is finished.
    """

    step: int
    chunk: int = 0
    items: int = 0
    size: int = 0
    tree: TreeState | None = None
    frontier: FrontierState | None = None
    accumulator: AccumulatorMark | None = None
    voucher: VoucherMark | None = None
    later_endings: tuple[bytes, ...] = ()
    genesis: str | None = None
    usage: tuple[int, int] | None = None
    ledger_infos: int | None = None
    state: StateMark | None = None
    finished: FinishedMark | None = None


BEGINNING = Mark(step=0)
"""Nothing is durable yet but, perhaps, ledger infos."""


class PieceMark(msgspec.Struct, frozen=True, kw_only=True):
    """One `oneoff` restore into the target.

    Attributes:
        kind: "epoch-ending", "state-snapshot" or "transaction".
        manifest: what was restored.
        options: what else the command said, as text; the same piece has the same.
        first, last: epochs or versions; of a snapshot, its version twice.
        has_values, has_tree: what of a snapshot was kept.
        replayed: whether write sets were applied up to `last`.
        result: what the command reported when the piece was complete; None until then.
    """

    kind: str
    manifest: str
    options: str
    first: int
    last: int
    has_values: bool = False
    has_tree: bool = False
    replayed: bool = False
    result: Result | None = None


class PiecesMark(msgspec.Struct, frozen=True):
    """All `oneoff` restores into a target, in order: in place of a plan."""

    domain: str
    pieces: tuple[PieceMark, ...] = ()


class TargetFolder:
    """The target's folder with its side files, held by one process at a time.

    Use as a context manager. A folder that is not empty and has no plan of ours is refused untouched.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._side = root / SIDE_FOLDER
        self._lock: int | None = None

    def __enter__(self) -> TargetFolder:
        """Creates the folder if needed, and takes its lock.

        Raises:
            ForeignTargetError: the folder holds something else.
            LockedError: another process works on it.
        """
        with local_failures(self.root):
            if self._is_foreign():
                raise ForeignTargetError("target folder is not empty and not ours", file=str(self.root))
            make_directory_durably(self._side)
            self._lock = os.open(self._side / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.__exit__()
            raise LockedError("another process works on the target", file=str(self.root)) from None
        return self

    def __exit__(self, *exception: object) -> None:
        """Gives the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load_plan(self) -> PlanMark | None:
        """The plan; None in a fresh folder."""
        return _load(self._side / PLAN_FILE, PlanMark)

    def load_mark(self) -> Mark:
        """How far the target is; the beginning in a fresh folder.

        Raises:
            DamagedTargetError: the database is there, and its mark is lost or does not parse.
        """
        mark = _load(self._side / MARK_FILE, Mark)
        if mark is None and (self._side / CREATED_FILE).exists():
            raise DamagedTargetError("resume mark is missing", file=str(self._side / MARK_FILE))
        return mark or BEGINNING

    def clear(self) -> None:
        """Removes what a run left whose epoch endings did not verify: at most ledger infos of ours.

        Raises:
            ForeignTargetError: the folder holds pieces of `oneoff` commands; they stay.
        """
        if self.load_pieces() is not None:
            raise ForeignTargetError("the target was begun with oneoff commands", file=str(self.root))
        with local_failures(self.root):
            # The sign that a database is there goes first: without it, half of one is no damage.
            (self._side / CREATED_FILE).unlink(missing_ok=True)
            ours = [self.root / name for name in sorted({name.split("/")[0] for name in INSTANCES})]
            for path in (*ours, *self._side.iterdir()):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.parent == self._side and path.name != LOCK_FILE:
                    path.unlink()

    def load_pieces(self) -> PiecesMark | None:
        """What `oneoff` commands put there; None if none did."""
        return _load(self._side / PIECES_FILE, PiecesMark)

    def save_pieces(self, pieces: PiecesMark) -> None:
        """Notes the pieces, durably."""
        self._save(PIECES_FILE, pieces)

    def save_plan(self, plan: PlanMark) -> None:
        """Fixes the plan, durably."""
        self._save(PLAN_FILE, plan)

    def save_mark(self, mark: Mark) -> None:
        """Replaces the mark, durably and whole."""
        self._save(MARK_FILE, mark)

    def _is_foreign(self) -> bool:
        """Whether something is there that no command of ours put there: each notes its plan before a row."""
        if not self.root.is_dir():
            return os.path.lexists(self.root)
        if any((self._side / name).exists() for name in (PLAN_FILE, PIECES_FILE)):
            return False
        return any(path != self._side or not path.is_dir() for path in self.root.iterdir())

    def _save(self, name: str, value: msgspec.Struct) -> None:
        with local_failures(self._side / name):
            write_durably(self._side / name, msgspec.json.encode(value))


def load_finished(root: Path) -> tuple[FinishedMark, str]:
    """What a finished target says of itself, and the prefix text of its network's hashes; changes nothing.

    Raises:
        ForeignTargetError: the folder is not a target of ours, or not finished.
        DamagedTargetError: its side files do not parse.
    """
    side = root / SIDE_FOLDER
    begun = _load(side / PLAN_FILE, PlanMark) or _load(side / PIECES_FILE, PiecesMark)
    if begun is None:
        raise ForeignTargetError(
            "folder holds no database of ours",
            file=str(root),
            hint="give the folder that bootstrap-db, or oneoff commands, restored into",
        )
    mark = _load(side / MARK_FILE, Mark)
    if mark is None or mark.finished is None:
        raise ForeignTargetError(
            "the database is not finished",
            file=str(root),
            hint="give the command that began it again, or the oneoff commands that are missing",
        )
    return mark.finished, begun.domain


def _load(path: Path, kind: type[S]) -> S | None:
    with local_failures(path):
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None  # of any other failure nobody knows whether it is there
        if not path.is_file():  # reading a pipe would wait for ever
            raise DamagedTargetError("resume mark is not a file", file=str(path))
        data = path.read_bytes()
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedTargetError(f"resume mark does not parse: {error}", file=str(path)) from error
