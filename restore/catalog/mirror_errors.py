"""What a mirror and its file system raise, as errors of ours."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.errors import (
    DamagedFileError,
    EmptyListingError,
    LeaseLostError,
    LockTimeoutError,
    MirrorError,
    NoLocksError,
    UnfetchableError,
    UnsettledError,
)
from restore.errors import (
    AccessDeniedError,
    DiskFullError,
    EmptyStorageError,
    LockedError,
    MissingFileError,
    ResourceError,
    RestoreError,
    StorageUnavailableError,
    UsageError,
)

_NEXT_STEP = "give another --metadata-cache-dir, or none: then a temporary folder is used"
_FIRST_STEPS: dict[type[RestoreError], str] = {
    AccessDeniedError: "let this user write there, or ",
    DiskFullError: "free space there, or ",
}
"""What may be done to the folder itself."""

_NEXT_STEP_IF_PRIVATE = "give a --metadata-cache-dir, or name another folder for temporary files with TMPDIR"

_MIRROR_ERRORS: dict[type[MirrorError], tuple[type[RestoreError], str | None]] = {
    LockTimeoutError: (LockedError, "end that process, or raise --metadata-lock-timeout"),
    NoLocksError: (UsageError, _NEXT_STEP),
    LeaseLostError: (ResourceError, "keep others from deleting the folder, and run the same command again"),
    EmptyListingError: (
        EmptyStorageError,
        "check where the backup is; if it was emptied on purpose, delete the metadata cache folder",
    ),
    UnfetchableError: (MissingFileError, None),
    UnsettledError: (StorageUnavailableError, None),
    DamagedFileError: (ResourceError, "delete the metadata cache folder; it is filled again"),
}
"""What the mirror's errors are to an operator, and the next step where the class does not say it."""

_SYSTEM_ERRORS: dict[int | None, type[RestoreError]] = {
    errno.EEXIST: UsageError,  # a file lies where the folder is to be made
    errno.ENOTDIR: UsageError,
    errno.EACCES: AccessDeniedError,
    errno.EPERM: AccessDeniedError,
    errno.EROFS: AccessDeniedError,
    errno.ENOSPC: DiskFullError,
    errno.EDQUOT: DiskFullError,
    errno.EFBIG: DiskFullError,
}
"""What the file system's errors are to an operator; all others are a matter of resources."""


@contextmanager
def typed_errors(folder: Path | None) -> Iterator[None]:
    """Turns what comes of working in a folder of mirrors into errors of ours; None for a private one."""
    try:
        yield
    except MirrorError as error:
        kind, hint = _MIRROR_ERRORS.get(type(error), (RestoreError, None))
        raise kind(
            f"metadata cache: {error.message}",
            file=error.file,
            expected=error.expected,
            found=error.found,
            hint=hint,
        ) from error
    except OSError as error:
        kind = _SYSTEM_ERRORS.get(error.errno, ResourceError)
        # A folder was to be made where something else lies, which the system words the other way round.
        reason = os.strerror(errno.ENOTDIR) if error.errno == errno.EEXIST else error.strerror
        message = (reason or str(error)).lower()
        next_step = _NEXT_STEP_IF_PRIVATE if folder is None else _NEXT_STEP
        file = error.filename or folder or tempfile.tempdir
        raise kind(
            f"metadata cache cannot be used: {message}",
            file=None if file is None else str(file),
            hint=_FIRST_STEPS.get(kind, "") + next_step,
        ) from error
