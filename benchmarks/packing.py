"""Backups as they are published: every file a gzip stream, under the same name."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path


def pack(source: Path, target: Path) -> None:
    """Packs all files below `source` into the new folder `target`, which is whole or not there."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        packed = unfinished / file.relative_to(source)
        packed.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as plain, gzip.open(packed, "wb", compresslevel=6) as stream:
            shutil.copyfileobj(plain, stream, 1 << 20)
    unfinished.replace(target)
