"""Restores, verifies, a compaction and a pruner share one metadata cache, and are killed at random.

    python -m benchmarks.stress --seconds 60 --seed 1

The backup stays restorable at every moment, so nobody may fail who was not killed; and in the end the cache
must be sound, with nothing left over.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.stress.ending import check_ending
from benchmarks.stress.running import StressError, run_actors
from benchmarks.stress.scene import SPEC, everybody, make_scene


def main() -> None:
    """Runs the stress, and prints what was done; exits 1 at the first thing that is not as it must be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1, help="of who is killed when")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "aptos-restore-benchmarks"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        scene = make_scene(SPEC, options.folder, Path(scratch))
        try:
            counts = asyncio.run(
                run_actors(everybody(scene), scene.over, seconds=options.seconds, seed=options.seed)
            )
            state = asyncio.run(check_ending(scene))
        except StressError as error:
            sys.exit(f"seed {options.seed}: {error}")
    for name, count in sorted(counts.items()):
        print(f"{count:>8,} {name}")
    print(f"nobody failed; the cache of {state.files} files in {state.packs} packs is sound")


if __name__ == "__main__":
    main()
