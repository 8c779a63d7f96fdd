"""Maps failures of the local disk into the error tree."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from restore.errors import AccessDeniedError, DiskFullError, ResourceError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def local_failures(path: Path) -> Iterator[None]:
    """Turns an `OSError` on the target's side into its typed error, naming `path`."""
    try:
        yield
    except OSError as error:
        text = f"{error.strerror or error}"
        if error.errno in _FULL:
            raise DiskFullError(f"cannot write the target: {text}", file=str(path)) from error
        if error.errno in _DENIED:
            raise AccessDeniedError(f"cannot use the target: {text}", file=str(path)) from error
        raise ResourceError(f"cannot use the target: {text}", file=str(path)) from error
