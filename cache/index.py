"""The index of a mirror: which files it holds, in which packs, and which packs nobody needs any more.

    32 bytes                     SHA-256 of what follows
    msgpack [identity, packs, retired, state]

It is a summary: whatever it says follows from the packs and from the last listing, so a damaged or missing
one costs some reading and nothing else. Values here never change; each function makes the next index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Annotated, TypeAlias

import msgspec

from cache.entry import PACK_NAME
from cache.errors import DamagedFileError

DIGEST_BYTES = 32

STATE_BYTES = 16

PACK_BYTES = 2 << 20
"""A pack is closed at this size: 50,000 files of 200 bytes take six, and three times as much unpacked."""

MAX_SMALL_PACKS = 8
"""More packs below half of `PACK_BYTES` are merged: each sync of a growing source leaves one."""


PackFile: TypeAlias = Annotated[str, msgspec.Meta(pattern=PACK_NAME)]
"""Name of a pack. An index that names any other file must not make us read or remove it."""


class PackRecord(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a pack.

    Attributes:
        file: its name.
        size: its bytes.
        entries: how many it holds, those that nobody needs any more included.
        live: name and tag of those that are listed at the source; no name is live in two packs.
    """

    file: PackFile
    size: int
    entries: int
    live: dict[str, str]


class Index(msgspec.Struct, frozen=True, array_like=True):
    """What a mirror holds.

    Attributes:
        identity: of the source.
        packs: those that hold a live entry.
        retired: the other packs, and since when (Unix seconds) they are not needed.
        state: random; the same as long as `packs` are.
    """

    identity: str
    packs: tuple[PackRecord, ...] = ()
    retired: dict[PackFile, float] = {}
    state: Annotated[bytes, msgspec.Meta(max_length=STATE_BYTES)] = b""

    @property
    def size(self) -> int:
        """Bytes of its packs, retired ones left out."""
        return sum(pack.size for pack in self.packs)

    def tags(self) -> dict[str, str]:
        """Name and tag of every live entry."""
        held: dict[str, str] = {}
        for pack in self.packs:
            held |= pack.live
        return held


def seal(body: bytes) -> bytes:
    """`body` with its digest before it."""
    return hashlib.sha256(body).digest() + body


def unseal(data: bytes) -> bytes | None:
    """What was sealed; None if it is not what it was."""
    digest, body = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    return body if digest == hashlib.sha256(body).digest() else None


def encode_index(index: Index) -> bytes:
    """The bytes of an index."""
    return seal(msgspec.msgpack.encode(index))


def decode_index(data: bytes, *, identity: str | None) -> Index:
    """The index that `data` are.

    Args:
        data: of the file.
        identity: whose it must be; None for anybody's.

    Raises:
        DamagedFileError: they are none, or one of another source.
    """
    body = unseal(data)
    if body is None:
        raise DamagedFileError("index is damaged")
    try:
        index = msgspec.msgpack.decode(body, type=Index)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"index does not parse: {error}") from error
    if identity not in {None, index.identity}:
        raise DamagedFileError("index is of another source", expected=identity, found=index.identity)
    return index


def with_packs(index: Index, added: Iterable[PackRecord], *, now: float) -> Index:
    """Adds packs; where a name is in several, the last one counts."""
    packs = (*index.packs, *added)
    owners = {name: pack.file for pack in packs for name in pack.live}
    return _with_live(
        msgspec.structs.replace(index, packs=packs), lambda pack, name, _: owners[name] == pack.file, now=now
    )


def without_packs(index: Index, files: Container[str], *, now: float) -> Index:
    """Retires packs, whatever they hold."""
    gone = {pack.file: now for pack in index.packs if pack.file in files}
    return msgspec.structs.replace(
        index,
        packs=tuple(pack for pack in index.packs if pack.file not in gone),
        retired=index.retired | gone,
    )


def with_listing(index: Index, listing: Mapping[str, str], *, now: float) -> Index:
    """Retires what is not listed, or is listed with another tag."""
    if listing == index.tags():
        return index
    return _with_live(index, lambda _, name, tag: listing.get(name) == tag, now=now)


def forget_retired(index: Index, files: Container[str]) -> Index:
    """Leaves out retired packs, which are gone."""
    kept = {file: since for file, since in index.retired.items() if file not in files}
    return msgspec.structs.replace(index, retired=kept)


def packs_to_merge(index: Index) -> Sequence[PackRecord]:
    """Packs that are better written anew: many small ones, and those that mostly hold what nobody needs."""
    small = [pack for pack in index.packs if pack.size < PACK_BYTES // 2]
    merged = {pack.file for pack in small} if len(small) > MAX_SMALL_PACKS else set()
    return [pack for pack in index.packs if pack.file in merged or len(pack.live) < pack.entries // 2]


def _with_live(index: Index, keep: Callable[[PackRecord, str, str], bool], *, now: float) -> Index:
    """Keeps of each pack's names those that `keep` says; a pack of which none is left retires."""
    packs, retired = [], {}
    for pack in index.packs:
        live = {name: tag for name, tag in pack.live.items() if keep(pack, name, tag)}
        if not live:
            retired[pack.file] = now
        elif len(live) < len(pack.live):
            packs.append(msgspec.structs.replace(pack, live=live))
        else:
            packs.append(pack)
    return msgspec.structs.replace(index, packs=tuple(packs), retired=index.retired | retired)
