"""Sample backups for measurements, made once and kept for the next run."""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import msgspec

from restore.flow.stop import run
from restore.sample.backup import write_sample
from restore.sample.spec import SampleSpec

READY_FILE = "ready.json"


def sample(spec: SampleSpec, folder: Path) -> tuple[Path, str]:
    """The backup of `spec` below `folder`, and its genesis waypoint; made if it is not there yet."""
    name = hashlib.sha256(repr(spec).encode()).hexdigest()[:12]
    root = folder / f"sample-{name}"
    ready = root / READY_FILE
    if not ready.exists():
        shutil.rmtree(root, ignore_errors=True)
        began = time.monotonic()
        backup = run(lambda: write_sample(spec, root / "backup"))
        print(f"made a backup of {spec.state_items:,} items in {time.monotonic() - began:.0f} s")
        ready.write_bytes(
            msgspec.json.encode({"spec": asdict(spec), "waypoint": str(backup.genesis_waypoint)})
        )
    waypoint: str = msgspec.json.decode(ready.read_bytes())["waypoint"]
    return root / "backup", waypoint


def folder_bytes(root: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
