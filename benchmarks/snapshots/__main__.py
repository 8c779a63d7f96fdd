"""Makes a backup of one huge state snapshot, and says where it is and what to trust.

python -m benchmarks.snapshots --items 4000000
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.samples import FOLDER
from benchmarks.snapshots.spec import SnapshotSpec
from benchmarks.snapshots.writing import snapshot


def main() -> None:
    """Makes it if it is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--chunk-mib", type=int, default=16, help="unpacked MiB of a chunk, about")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    backup, waypoint = snapshot(SnapshotSpec(options.items, options.chunk_mib << 20), options.folder)
    print(f"{backup}\n{waypoint}")


if __name__ == "__main__":
    main()
