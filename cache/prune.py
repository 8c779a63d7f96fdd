"""Removes what nobody needs: retired packs that no living reader leases, and what killed processes left.

It only tries: while anybody reads the index or brings the mirror up to date there is nothing urgent to
remove. What is removed here can at worst be fetched again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cache.errors import DamagedFileError
from cache.folder import MirrorFolder
from cache.index import Index, forget_retired
from cache.lease import living_leases
from cache.lock import Locks, Mode
from cache.presence import remove_dead
from cache.threads import in_thread

GRACE_SECONDS = 3600.0
"""A pack stays so long after it was retired. Leases alone keep readers safe; this keeps recent packs for
whoever wants to see what was there, and makes pruning rare."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed.

    Attributes:
        packs: retired packs.
        size: their bytes.
        leftovers: files of killed processes.
        leased: retired packs that stay, because somebody reads them.
    """

    packs: int
    size: int
    leftovers: int
    leased: int


async def prune(
    folder: MirrorFolder,
    locks: Locks,
    *,
    grace_seconds: float = GRACE_SECONDS,
    now: Callable[[], float] = time.time,
) -> Pruned | None:
    """Removes what nobody needs; None if somebody is at work in the mirror, who is not waited for.

    Args:
        folder: the mirror's.
        locks: of the mirror.
        grace_seconds: packs that were retired later than that stay.
        now: the clock, in Unix seconds.

    Raises:
        DamagedFileError: a lease that cannot be read; nothing is removed.

    Cancellation: what was removed is noted in the index.
    """
    async with locks.try_hold(Mode.PRUNE) as held:
        return await in_thread(_prune, folder, now() - grace_seconds) if held else None


def _prune(folder: MirrorFolder, before: float) -> Pruned:
    leased = {file for lease in living_leases(folder) for file in lease.files}
    index = _index(folder)
    due = {file for file, since in index.retired.items() if since <= before}
    sizes = [folder.remove_pack(file) for file in sorted(due - leased)]
    if sizes:
        folder.sync()
        synced_at = folder.synced_at()
        # Last: a pack that is gone and still noted is forgotten later; one that is there and was forgotten
        # would be taken over by the next sync, as if it had been left by a killed one.
        folder.save_index(forget_retired(index, due - leased))
        if synced_at is not None:  # the index's time, which is that of a sync and of no prune
            folder.touch_index(synced_at)
    leftovers = folder.remove_temporary_files(before=before)
    leftovers += sum(map(remove_dead, (folder.leases, folder.holders)))
    return Pruned(len(sizes), sum(sizes), leftovers, len(due & leased))


def _index(folder: MirrorFolder) -> Index:
    """The index; an empty one where there is none, or a damaged one: then nothing is known to be retired."""
    try:
        return folder.load_index(identity=None) or Index("")
    except DamagedFileError:
        return Index("")
