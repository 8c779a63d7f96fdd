"""Keeps what was verified of a backup's epoch history for later runs, beside the mirror of its metadata.

It is not fetched from anywhere, and nothing proves it: who can write this file says which signatures hold. So
a file counts only if this user alone could have written it; see `cache.private`. Whatever else lies under its
name is ignored and replaced, since all that is lost is time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cache.folder import mirror_path
from cache.private import read_private, write_private
from restore.catalog.mirror import MirrorOptions
from restore.flow.threads import in_thread

FORMAT = b"verified signatures 1\n"
"""Digests of 32 bytes follow."""

DIGEST_BYTES = 32

MOST_DIGESTS = 1 << 17
"""Ten mainnet histories, in 4 MiB: of several policies and versions of this program. Beyond, what was used
longest ago is forgotten."""


class RememberedFile:
    """The file of one backup; none, and nothing is kept, where its metadata is in a folder of this run alone.

    Args:
        options: where the backup's metadata is kept.
        identity: of its storage.
    """

    def __init__(self, options: MirrorOptions, identity: str) -> None:
        self._folder = None if options.folder is None else mirror_path(options.folder, identity)

    @property
    def is_kept(self) -> bool:
        """Whether later runs find it."""
        return self._folder is not None

    async def load(self) -> list[bytes]:
        """The digests that are kept."""
        return [] if self._folder is None else await in_thread(read_digests, self._folder)

    async def add(self, digests: Sequence[bytes]) -> None:
        """Keeps these too, durably.

        It is a convenience, and left undone where the disk is full, or the folder is gone or another user's.
        Of several processes that write at once, what one of them adds remains.
        """
        if self._folder is not None and digests:
            with suppress(OSError):
                await in_thread(_add, self._folder, digests)


async def count_digests(mirror: Path) -> int:
    """How many digests are kept in the folder of a mirror."""
    return len(await in_thread(read_digests, mirror))


def file_of(mirror: Path) -> Path:
    """This user's file in the folder of a mirror."""
    return mirror / f"verified-{os.geteuid()}"


def read_digests(mirror: Path) -> list[bytes]:
    """The digests that are kept in the folder of a mirror; none where the file is not what it should be."""
    data = read_private(file_of(mirror))
    if data is None or not data.startswith(FORMAT) or (len(data) - len(FORMAT)) % DIGEST_BYTES:
        return []
    return [data[place : place + DIGEST_BYTES] for place in range(len(FORMAT), len(data), DIGEST_BYTES)]


def _add(folder: Path, digests: Sequence[bytes]) -> None:
    added = set(digests)
    kept = [digest for digest in read_digests(folder) if digest not in added]
    write_private(file_of(folder), FORMAT + b"".join([*kept, *digests][-MOST_DIGESTS:]))
