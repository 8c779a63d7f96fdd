"""Files that count as this user's own word: nobody else could have written them.

The rest of a mirror is checked against what it came from. What is kept here is not, so it is read only if
this user (or root) alone may have written it: a file of its own, with no rights for anybody else. The folder
may be open to others: what they put under the name, or bring back, is either no such file or an older one.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cache.atomic import DurableFile
from cache.index import seal, unseal

PRIVATE_MODE = 0o600

MOST_BYTES = 64 << 20
"""Of such a file; a longer one is none of ours."""


def read_private(path: Path) -> bytes | None:
    """What `write_private` wrote; None where there is nothing, it is damaged, or somebody else could have."""
    try:
        # A link leads elsewhere; a named pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not _is_private(os.fstat(descriptor)):
                return None
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return unseal(file.read())
        finally:
            os.close(descriptor)
    except OSError:
        return None


def write_private(path: Path, data: bytes) -> None:
    """Replaces `path` by a file of `data` that only this user may read and write, whole and durable."""
    with DurableFile(path, mode=PRIVATE_MODE) as file:
        file.write(seal(data))


def _is_private(found: os.stat_result) -> bool:
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_uid == os.geteuid()
        and not found.st_mode & ~PRIVATE_MODE & 0o777
        and found.st_size <= MOST_BYTES
    )
