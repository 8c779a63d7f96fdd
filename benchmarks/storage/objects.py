"""The objects that are read: gzip streams, as the files of published backups are.

Their content is records of a hash and a phrase of a few hundred ones, which gzip packs about 2:1, as it does
the records of a state snapshot. They are made once, and kept for the next run.
"""

from __future__ import annotations

import gzip
import os
import random
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

BUCKET = "objects"
"""The folder below the servers' root that holds all objects; a bucket, where they are served as S3."""

HASH_BYTES = 32
PHRASE_BYTES = 50
PHRASES = 256


@dataclass(frozen=True, slots=True)
class Kind:
    """Objects of one size.

    Attributes:
        name: of their folder.
        count: how many there are at full scale.
        size: bytes of each as it is stored, at most.
        text: says it in a table.
    """

    name: str
    count: int
    size: int
    text: str


LARGE = Kind("large", 64, 16 << 20, "64 x 16 MiB")
SMALL = Kind("small", 2000, 256 << 10, "2000 x 256 KiB")
TINY = Kind("tiny", 2000, 1 << 10, "2000 x 1 KiB")


@dataclass(frozen=True, slots=True)
class Objects:
    """Some objects of one kind.

    Attributes:
        names: below the bucket.
        stored: bytes of all of them.
        unpacked: bytes of their content.
    """

    names: tuple[str, ...]
    stored: int
    unpacked: int


def make_objects(root: Path, kind: Kind, *, scale: float) -> None:
    """Makes those objects of a kind that are not below `root` yet."""
    names = _names(kind, _count(kind, scale))
    missing = [name for name in names if not (root / BUCKET / name).exists()]
    if not missing:
        return
    (root / BUCKET / kind.name).mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(_make, root / BUCKET, kind, _content_size(kind)), missing, chunksize=4))
    print(f"made {len(missing)} objects of {kind.size >> 10} KiB in {time.monotonic() - began:.0f} s")


def objects_of(
    root: Path, kind: Kind, *, scale: float = 1.0, most: int | None = None, repeats: int = 1
) -> Objects:
    """Objects that `make_objects` made at that scale, to be read.

    Args:
        root: the servers' root.
        kind: which.
        scale: as they were made.
        most: only so many of them; None for all.
        repeats: so often each.
    """
    names = _names(kind, _count(kind, scale))[:most]
    paths = [root / BUCKET / name for name in names]
    stored = sum(path.stat().st_size for path in paths)
    unpacked = sum(unpacked_size(path) for path in paths)
    return Objects(names * repeats, stored * repeats, unpacked * repeats)


def unpacked_size(path: Path) -> int:
    """Bytes of the content of a file with one gzip member, from its trailer."""
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def _count(kind: Kind, scale: float) -> int:
    return max(8, round(kind.count * scale))


def _names(kind: Kind, count: int) -> tuple[str, ...]:
    return tuple(f"{kind.name}/{number:04}.chunk" for number in range(count))


def _make(root: Path, kind: Kind, content_size: int, name: str) -> None:
    packed = gzip.compress(_content(content_size, name), 6, mtime=0)
    assert len(packed) <= kind.size, f"{name} has {len(packed)} bytes"
    half = root / f"{name}.half"
    half.write_bytes(packed)
    half.rename(root / name)


def _content_size(kind: Kind) -> int:
    """Bytes of content that gzip packs into a little less than the kind's size."""
    probe = min(2 * kind.size, 1 << 20)
    packed = len(gzip.compress(_content(probe, kind.name), 6))
    return int(probe / packed * kind.size * (0.98 if kind.size > 64 << 10 else 0.9))


def _content(size: int, seed: str) -> bytes:
    phrases = [random.Random(number).randbytes(PHRASE_BYTES) for number in range(PHRASES)]
    randomness = random.Random(seed)
    count = -(-size // (HASH_BYTES + PHRASE_BYTES))
    hashes = memoryview(randomness.randbytes(count * HASH_BYTES))
    chosen = randomness.choices(phrases, k=count)
    pieces = [
        piece
        for place, phrase in zip(range(0, len(hashes), HASH_BYTES), chosen, strict=True)
        for piece in (hashes[place : place + HASH_BYTES], phrase)
    ]
    return b"".join(pieces)[:size]
