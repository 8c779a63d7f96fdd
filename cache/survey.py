"""What a folder of mirrors holds, who is at work in it, and whether it is sound. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cache.errors import DamagedFileError
from cache.folder import MirrorFolder, mirror_paths
from cache.index import Index
from cache.lease import Lease, living_leases
from cache.lock import Locks, Mode
from cache.presence import Holder
from cache.threads import in_thread


@dataclass(frozen=True, slots=True)
class MirrorState:
    """What one mirror holds.

    Attributes:
        path: its folder.
        identity: of its source; None where the index does not say it.
        files: mirrored files.
        packs: that hold them.
        size: bytes of those packs.
        retired_packs: packs that nobody needs, and that are still there.
        retired_size: their bytes.
        synced_at: when it was last found or brought up to date, in Unix seconds; None for never.
        leases: who reads which packs.
        holders: who holds which lock.
        problems: what is not as it should be; the next sync mends it.
    """

    path: Path
    identity: str | None
    files: int
    packs: int
    size: int
    retired_packs: int
    retired_size: int
    synced_at: float | None
    leases: tuple[Lease, ...]
    holders: tuple[tuple[Mode, Holder], ...]
    problems: tuple[str, ...]


async def survey(root: Path, *, thorough: bool, timeout_seconds: float | None = None) -> list[MirrorState]:
    """Looks at every mirror under `root`.

    Args:
        root: the folder of mirrors.
        thorough: whether every pack is read and every file in it checked.
        timeout_seconds: so long a lock is waited for.

    Raises:
        LockTimeoutError: a mirror is being pruned for too long.
    """
    states = []
    for path in await in_thread(mirror_paths, root):
        locks = Locks(path, timeout_seconds=timeout_seconds)
        holders = tuple(await locks.holders())
        async with locks.hold(Mode.READ):
            states.append(await in_thread(partial(_state, MirrorFolder(path), holders, thorough=thorough)))
    return states


def _state(folder: MirrorFolder, holders: tuple[tuple[Mode, Holder], ...], *, thorough: bool) -> MirrorState:
    problems = []
    index = None
    try:
        index = folder.load_index(identity=None)
    except DamagedFileError as error:
        problems.append(str(error))
    leases: list[Lease] = []
    try:
        leases = living_leases(folder)
    except DamagedFileError as error:
        problems.append(str(error))
    if index is not None and thorough:
        problems += _problems_of_packs(folder, index)
    known = index or Index("")
    return MirrorState(
        path=folder.path,
        identity=None if index is None else index.identity,
        files=len(known.tags()),
        packs=len(known.packs),
        size=known.size,
        retired_packs=len(known.retired),
        retired_size=sum(folder.pack_size(file) or 0 for file in known.retired),
        synced_at=folder.synced_at(),
        leases=tuple(leases),
        holders=holders,
        problems=tuple(problems),
    )


def _problems_of_packs(folder: MirrorFolder, index: Index) -> list[str]:
    """What is wrong with the packs that count."""
    problems = []
    for pack in index.packs:
        try:
            entries = folder.read_pack(pack.file, identity=index.identity)
        except DamagedFileError as error:
            problems.append(str(error))
            continue
        held = {entry.name: entry.tag for entry in entries}
        absent = pack.live.items() - held.items()
        if absent:
            problems.append(f"pack lacks {len(absent)} files of the index: file {pack.file}")
    return problems
