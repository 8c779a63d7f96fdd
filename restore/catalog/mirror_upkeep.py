"""Looks after a folder of mirrors: what lies there, who is at work in it, and what of it may go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cache.errors import DamagedFileError
from cache.folder import MirrorFolder, mirror_paths
from cache.lock import Locks, Mode
from cache.presence import Holder
from cache.prune import Pruned, prune
from cache.survey import MirrorState, survey
from restore.catalog.mirror_errors import typed_errors
from restore.errors import AccessDeniedError, LockedError, UsageError
from restore.flow.threads import in_thread

__all__ = ["Holder", "Holders", "MirrorState", "PruneAttempt", "prune_mirrors", "survey_mirrors"]

Holders: TypeAlias = tuple[tuple[Mode, Holder], ...]
"""Who holds which lock."""

SURVEY_LOCK_SECONDS = 30.0
"""Only a prune is waited for, which takes moments: one that takes longer hangs."""


@dataclass(frozen=True, slots=True)
class PruneAttempt:
    """What became of pruning one mirror.

    Attributes:
        path: its folder.
        identity: of its source; None where the index does not say it.
        pruned: what was removed; None where somebody is at work there.
        holders: who that is, of those that said so.
    """

    path: Path
    identity: str | None
    pruned: Pruned | None
    holders: Holders


async def survey_mirrors(folder: Path, *, thorough: bool) -> list[MirrorState]:
    """Looks at every mirror in a folder that may not be there.

    Args:
        folder: of the mirrors.
        thorough: whether every pack is read and every file in it checked.

    Raises:
        LockedError: a mirror is being pruned for too long.
        UsageError, AccessDeniedError, ResourceError: the folder cannot be used.
    """
    with _typed_errors(folder):
        return await survey(folder, thorough=thorough, timeout_seconds=SURVEY_LOCK_SECONDS)


async def prune_mirrors(folder: Path, *, grace_seconds: float) -> list[PruneAttempt]:
    """Removes from every mirror in a folder what nobody needs; where somebody is at work, nothing.

    Args:
        folder: of the mirrors; may not be there.
        grace_seconds: what is not needed for less than that stays.

    Raises:
        UsageError, AccessDeniedError, ResourceError: the folder cannot be used.
    """
    with _typed_errors(folder):
        paths = await in_thread(mirror_paths, folder)
        return [await _try_to_prune(MirrorFolder(path), grace_seconds) for path in paths]


async def _try_to_prune(folder: MirrorFolder, grace_seconds: float) -> PruneAttempt:
    locks = Locks(folder.path)
    pruned = await prune(folder, locks, grace_seconds=grace_seconds)
    holders = [] if pruned else await locks.holders()
    return PruneAttempt(folder.path, await in_thread(_identity, folder), pruned, tuple(holders))


def _identity(folder: MirrorFolder) -> str | None:
    try:
        index = folder.load_index(identity=None)
    except DamagedFileError:
        return None
    return None if index is None else index.identity


@contextmanager
def _typed_errors(folder: Path) -> Iterator[None]:
    try:
        with typed_errors(folder):
            yield
    except UsageError as error:
        error.hint = "name the folder of a metadata cache"
        raise
    except (AccessDeniedError, LockedError) as error:
        error.hint = error.default_hint  # the other one names what may be done where a backup is read
        raise
