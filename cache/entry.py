"""Files, and the packs that hold many of them: bytes only, no I/O.

A pack is one file on disk, never changed once it has its name:

    b"mirror pack 1\n"                       what it is
    msgpack [identity, nonce, [entry, …]]    entry = [name, tag, digest, content]

Its own name is the SHA-256 of all of its bytes, so a torn, truncated or swapped pack gives itself away. The
nonce is random: no two packs share a name, so one that is retired never becomes another one's file. Each
entry besides carries the digest of what it is (the source's identity, the file's name and its content), made
when the file was fetched: it stays with the content when packs are merged, and a content under another name,
or of another source, does not match it.

Many files share a pack because each durable file costs a sync of the disk, and because one file of 10 MiB is
read hundreds of times faster than 50,000 of 200 bytes.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence

import msgspec

from cache.errors import DamagedFileError

PACK_MAGIC = b"mirror pack 1\n"
PACK_NAME = r"^[0-9a-f]{64}\.pack\Z"
NONCE_BYTES = 16


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file of the source.

    Attributes:
        name: its name at the source.
        tag: the source's tag of this content; empty where it gives none.
        digest: `content_digest` of it.
        content: its bytes.
    """

    name: str
    tag: str
    digest: bytes
    content: bytes


class _Pack(msgspec.Struct, frozen=True, array_like=True, gc=False):
    identity: str
    nonce: bytes
    entries: list[Entry]


def content_digest(identity: str, name: str, content: bytes) -> bytes:
    """SHA-256 over the source's identity and the file's name, each with its length, and the content."""
    source, file = identity.encode(), name.encode()
    return hashlib.sha256(b"%d:%b%d:%b%b" % (len(source), source, len(file), file, content)).digest()


def make_entry(identity: str, name: str, *, tag: str, content: bytes) -> Entry:
    """The entry of a file that was just fetched."""
    return Entry(name, tag, content_digest(identity, name, content), content)


def encode_pack(identity: str, entries: Sequence[Entry]) -> bytes:
    """The bytes of a pack."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return PACK_MAGIC + msgspec.msgpack.encode(_Pack(identity, nonce, list(entries)))


def pack_name(data: bytes) -> str:
    """The name that a pack of these bytes has."""
    return f"{hashlib.sha256(data).hexdigest()}.pack"


def is_pack_name(name: str) -> bool:
    """Whether a file of this name can be a pack."""
    return re.match(PACK_NAME, name) is not None


def check_pack_name(name: str, data: bytes) -> None:
    """Checks that `data` are the bytes of the pack of that name.

    Raises:
        DamagedFileError: they are not.
    """
    found = pack_name(data)
    if found != name:
        raise DamagedFileError("pack is not what its name says", file=name, found=found)


def decode_pack(name: str, data: bytes, *, identity: str) -> list[Entry]:
    """The entries of a pack, all checked.

    Raises:
        DamagedFileError: the pack, or one entry, is not what it should be, or is of another source.
    """
    check_pack_name(name, data)
    if not data.startswith(PACK_MAGIC):
        raise DamagedFileError("pack is of another kind", file=name, found=data[: len(PACK_MAGIC)])
    try:
        pack = msgspec.msgpack.decode(memoryview(data)[len(PACK_MAGIC) :], type=_Pack)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"pack does not parse: {error}", file=name) from error
    if pack.identity != identity:
        raise DamagedFileError("pack is of another source", file=name, expected=identity, found=pack.identity)
    for entry in pack.entries:
        if entry.digest != content_digest(identity, entry.name, entry.content):
            raise DamagedFileError("file in a pack is not what it was", file=entry.name)
    return pack.entries
