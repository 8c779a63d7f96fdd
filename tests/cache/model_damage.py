"""What may happen to a mirror's files from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from cache.entry import encode_pack, make_entry, pack_name
from cache.folder import MirrorFolder
from cache.index import Index, encode_index
from tests.cache.model import NAMES, pack_paths

Damage: TypeAlias = Callable[[Path, float], None]
"""Is done to a file; a fraction below 1 says where in it, or with which other one."""

_FOREIGN = "memory:foreign"
_FOREIGN_INDEX = encode_index(Index(_FOREIGN))
_FOREIGN_PACK = encode_pack(
    _FOREIGN, [make_entry(_FOREIGN, name, tag="", content=b"foreign") for name in NAMES]
)


def flip_a_bit(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[int(at * len(data))] ^= 1
    path.write_bytes(data)


def truncate(path: Path, at: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(at * len(data))])


def delete(path: Path, at: float) -> None:
    path.unlink()


def replace_by_garbage(path: Path, at: float) -> None:
    path.write_bytes(b"garbage")


def replace_by_foreign(path: Path, at: float) -> None:
    path.write_bytes(_FOREIGN_INDEX if path.name == "index" else _FOREIGN_PACK)


def swap_with_another_pack(path: Path, at: float) -> None:
    paths = pack_paths(MirrorFolder(path.parents[1]))
    other = paths[int(at * len(paths))]
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


def add_foreign_pack(path: Path, at: float) -> None:
    path.with_name(pack_name(_FOREIGN_PACK)).write_bytes(_FOREIGN_PACK)


DAMAGES: tuple[Damage, ...] = (flip_a_bit, truncate, delete, replace_by_garbage, replace_by_foreign)
"""To any file."""

PACK_DAMAGES = (*DAMAGES, swap_with_another_pack, add_foreign_pack)
"""To a pack."""
