"""What a process does again and again, until a file says that the time is over, or SIGKILL.

    python -m benchmarks.stress.loops ROLE --over FILE --backup DIR --cache DIR --waypoint W

Prints one JSON object a round: what was done, by name and number.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.stress.compaction import Compaction
from cache.mirror import Mirror
from cache.sync import SyncOptions
from restore.catalog.mirror import MirrorOptions, load_view
from restore.catalog.mirror_source import MetadataSource
from restore.catalog.mirror_upkeep import prune_mirrors
from restore.catalog.parsing import parse_files
from restore.catalog.view import MetadataView
from restore.coordinator import BootstrapRequest, bootstrap
from restore.errors import RestoreError
from restore.flow.stop import run
from restore.ledger.waypoint import Waypoint
from restore.limits import Limits
from restore.proof.trust import TrustPolicy
from restore.report.events import Event, Notice
from restore.storage.local import LocalFs
from restore.verify import VerifyRequest, verify

LIMITS = Limits(concurrency=2, max_concurrency=2, memory_bytes=32 << 20, descriptors=32, threads=2)

AT_ONCE = 4
"""Metadata files that are fetched at once."""

COMPACTION_PAUSE_SECONDS = 0.05
"""Between two steps: a sync finds many files changed, and some gone, but the end of it comes."""

PRUNE_PAUSE_SECONDS = 0.02
"""Between two tries: most of them find somebody at work."""

READ_PAUSE_SECONDS = 0.2
"""Before each pack: what is leased outlives some prunes."""

Round = Callable[[], Awaitable[Mapping[str, int]]]


def main() -> None:
    """Does rounds until the time is over."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--over", type=Path, required=True)
    parser.add_argument("--backup", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--waypoint", type=Waypoint.parse, required=True)
    options = parser.parse_args()
    parent = os.getppid()

    async def repeat() -> None:
        one_round = await ROLES[options.role](options)
        while not options.over.exists() and os.getppid() == parent:  # it may be killed, too
            print(json.dumps(await one_round()), flush=True)

    run(repeat)


async def restoring(options: argparse.Namespace) -> Round:
    """Restores into nothing."""
    request = BootstrapRequest(
        storage=LocalFs(options.backup),
        target_dir=None,
        target_version=None,
        ledger_history_start_version=None,
        trust=TrustPolicy((options.waypoint,)),
        accept_older=False,
        limits=LIMITS,
        metadata=MirrorOptions(options.cache),
    )

    async def restore() -> Mapping[str, int]:
        counts = Counter({"syncs": 1, "restores in a loop": 1})
        await bootstrap(request, partial(count_notices, counts))
        return counts

    return restore


async def verifying(options: argparse.Namespace) -> Round:
    """Verifies everything."""
    request = VerifyRequest(
        storage=LocalFs(options.backup),
        start_version=0,
        end_version=None,
        state_snapshot_before_version=None,
        trust=TrustPolicy((options.waypoint,)),
        limits=LIMITS,
        metadata=MirrorOptions(options.cache),
    )

    async def verify_all() -> Mapping[str, int]:
        counts = Counter({"syncs": 1, "verifies in a loop": 1})
        await verify(request, partial(count_notices, counts))
        return counts

    return verify_all


async def slow_reading(options: argparse.Namespace) -> Round:
    """Leases all metadata, and takes its time to read it: it must say the same each time."""
    storage = LocalFs(options.backup)
    expected = contents(await load_view(storage, concurrency=AT_ONCE))
    mirror = Mirror(options.cache, MetadataSource(storage), SyncOptions(concurrency=AT_ONCE))

    async def read() -> Mapping[str, int]:
        entries = []
        async with mirror.synced() as snapshot:
            async for pack in snapshot.packs():
                await asyncio.sleep(READ_PAUSE_SECONDS)
                entries += parse_files((entry.name, entry.content) for entry in pack).entries
        if contents(MetadataView(entries)) != expected:
            raise RestoreError("metadata says something else", file=storage.identity)
        return {"syncs": 1, "slow reads": 1}

    return read


async def compacting(options: argparse.Namespace) -> Round:
    """Rewrites and removes metadata."""
    storage = LocalFs(options.backup)
    compaction = Compaction(storage, await load_view(storage, concurrency=AT_ONCE))

    async def compact() -> Mapping[str, int]:
        await asyncio.sleep(COMPACTION_PAUSE_SECONDS)
        return await compaction.step()

    return compact


async def pruning(options: argparse.Namespace) -> Round:
    """Tries to remove what nobody needs, without grace."""

    async def try_to_prune() -> Mapping[str, int]:
        await asyncio.sleep(PRUNE_PAUSE_SECONDS)
        counts: Counter[str] = Counter()
        for attempt in await prune_mirrors(options.cache, grace_seconds=0):
            if (pruned := attempt.pruned) is None:
                counts["prunes that found somebody at work"] += 1
            else:
                counts["prunes"] += 1
                counts["packs removed"] += pruned.packs
                counts["packs left to readers"] += pruned.leased
                counts["leftovers removed"] += pruned.leftovers
        return counts

    return try_to_prune


def count_notices(counts: Counter[str], event: Event) -> None:
    """Counts what a run says of the cache; that something was damaged it must not have to say."""
    if isinstance(event, Notice):
        if event.warning:
            raise RestoreError(event.text)
        if "listed again" in event.text:
            counts["times that files vanished between being listed and fetched"] += 1


def contents(view: MetadataView) -> tuple[object, ...]:
    """All that a view says, to be compared."""
    return view.epoch_endings, view.state_snapshots, view.transactions, view.problems


ROLES: Mapping[str, Callable[[argparse.Namespace], Awaitable[Round]]] = {
    "restoring": restoring,
    "verifying": verifying,
    "slow-reading": slow_reading,
    "compacting": compacting,
    "pruning": pruning,
}

if __name__ == "__main__":
    main()
