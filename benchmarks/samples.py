"""Sample backups for measurements, made once and kept for the next run."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.packing import pack
from restore.flow.stop import run
from restore.sample.backup import write_sample
from restore.sample.spec import SampleSpec

FOLDER = Path(tempfile.gettempdir()) / "aptos-restore-benchmarks"
"""Where measurements keep what they make, unless told otherwise."""

READY_FILE = "ready.json"


def keep(spec: object, folder: Path, make: Callable[[Path], str]) -> tuple[Path, str]:
    """The backup of `spec` below `folder`, and its genesis waypoint; made if it is not there yet.

    Args:
        spec: says all that the backup depends on in its `repr`.
        folder: where backups are kept.
        make: writes the backup into a folder that is not there yet, and returns its genesis waypoint.
    """
    name = hashlib.sha256(repr(spec).encode()).hexdigest()[:12]
    root = folder / f"sample-{name}"
    ready = root / READY_FILE
    if not ready.exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        began = time.monotonic()
        waypoint = make(root / "backup")
        print(f"made {spec} in {time.monotonic() - began:.0f} s")
        ready.write_bytes(msgspec.json.encode({"spec": repr(spec), "waypoint": waypoint}))
    kept: str = msgspec.json.decode(ready.read_bytes())["waypoint"]
    return root / "backup", kept


def sample(spec: SampleSpec, folder: Path) -> tuple[Path, str]:
    """The backup of a whole sample chain, and its genesis waypoint."""

    def make(root: Path) -> str:
        return str(run(lambda: write_sample(spec, root)).genesis_waypoint)

    return keep(spec, folder, make)


def packed_sample(spec: SampleSpec, folder: Path) -> tuple[Path, str]:
    """The same with every file packed, as backups are published."""

    def make(root: Path) -> str:
        plain, waypoint = sample(spec, root.parent)
        pack(plain, root)
        shutil.rmtree(plain.parent)
        return waypoint

    return keep(("packed", spec), folder, make)


def folder_bytes(root: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
