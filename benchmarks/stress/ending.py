"""What must hold when everybody is gone: the cache is sound, and nothing is left in it that nobody needs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.stress.loops import AT_ONCE, contents
from benchmarks.stress.running import StressError
from benchmarks.stress.scene import Scene
from cache.survey import MirrorState, survey
from restore.catalog.mirror import MirrorOptions, load_view
from restore.catalog.mirror_remembered import file_of
from restore.catalog.mirror_upkeep import prune_mirrors
from restore.storage.local import LocalFs


async def check_ending(scene: Scene) -> MirrorState:
    """Synchronises once more, prunes, and looks at everything; returns the state of the mirror.

    Raises:
        StressError: something is damaged, lost or left over.
    """
    storage = LocalFs(scene.backup)
    through_cache = await load_view(storage, MirrorOptions(scene.cache), concurrency=AT_ONCE)
    if contents(through_cache) != contents(await load_view(storage, concurrency=AT_ONCE)):
        raise StressError("the cache and the backup say something else")
    (attempt,) = await prune_mirrors(scene.cache, grace_seconds=0)
    if attempt.pruned is None or attempt.pruned.leased:
        raise StressError(f"somebody is still there: {attempt}")
    (state,) = await survey(scene.cache, thorough=True)
    if state.problems or state.leases or state.holders or state.retired_packs:
        raise StressError(f"the cache is not as it should be: {state}")
    if state.files != len(await storage.list_metadata()):
        raise StressError(f"{state.files} files are kept, which are not as many as are listed")
    kept = [path for path in sorted(scene.cache.rglob("*")) if path.is_file()]
    if left_over := [path for path in kept if not _belongs(path)]:
        raise StressError(f"left over: {', '.join(map(str, left_over))}")
    if (packs := sum(path.suffix == ".pack" for path in kept)) != state.packs:
        raise StressError(f"{packs} packs are there, of which {state.packs} are needed")
    return state


def _belongs(path: Path) -> bool:
    return (
        path.name in {"CACHEDIR.TAG", "index", "summary", "removal.lock", "sync.lock"}
        or path.suffix == ".pack"
        or path == file_of(path.parent)
    )
