"""The whole error tree, with the exit code of each class.

    RestoreError                 1   unexpected
    ├── UsageError               2   the command or its configuration cannot mean anything
    │   └── ForeignTargetError   2   the target folder belongs to something else
    ├── EmptyStorageError       10   the storage answered, and holds no backup
    ├── LockedError             11   another process holds the target, or the metadata cache
    ├── DataError               20   the data is wrong; retrying cannot help
    │   ├── CorruptAnswerError       bytes that the storage got wrong; fetched again before this is told
    │   ├── FormatError              bytes that do not parse
    │   ├── MissingFileError         a listed file is not there
    │   ├── UnsafePathError          a handle that leaves the storage's folder
    │   ├── ManifestError            a manifest or metadata line that contradicts itself or its data
    │   ├── ProofError               a hash or Merkle proof that does not hold
    │   ├── TrustError               a ledger info that is not vouched for
    │   └── DamagedTargetError       a target whose rows contradict its mark
    ├── UnreachableError        21   this backup cannot give what was asked for
    ├── StorageUnavailableError 30   the storage did not answer, after retries
    │   ├── TransientStorageError        a failure that may pass; retried before this is told
    │   │   ├── StalledError             a transfer that made no progress
    │   │   └── CommandFailedError       a command of the adapter that failed
    │   └── ThrottledError               the storage asked us to slow down
    ├── AccessDeniedError       31   the storage, or a local file, refused us
    ├── ResourceError           40   local disk, memory or descriptors
    │   ├── DiskFullError            no space, or a file grew too large
    │   └── BoundExceededError       more tasks, children, descriptors or memory than this run may have
    └── InterruptedRunError     75   stopped by a signal; the same command continues

A class says what the caller would do differently. Values are fields, not text: pure code raises what it
knows (offset, expected, found), and the layers above add where it was with `located`. A message is one clause
with the values at its end; `hint` is the next step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

EXIT_OK = 0
EXIT_SECOND_SIGNAL = 130


class RestoreError(Exception):
    """Base of everything this project raises on purpose.

    Args:
        message: one clause, lower case, no full stop, without the values that have a field.
        file: handle or path of the file at fault.
        version: ledger version (or epoch, where the message says so) at fault.
        offset: byte offset in `file`.
        expected: what had to be there, as text.
        found: what was there, as text.
        hint: the next step for the operator.
    """

    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = (
        "this is not foreseen; please report it, with what aptos-restore doctor says"
    )

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        version: int | None = None,
        offset: int | None = None,
        expected: object = None,
        found: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.version = version
        self.offset = offset
        self.expected = None if expected is None else _text(expected)
        self.found = None if found is None else _text(found)
        self.hint = hint or self.default_hint

    def __str__(self) -> str:
        """The message with its values, without the hint."""
        named = ("file", "version", "offset", "expected", "found")
        values = [f"{name} {value}" for name in named if (value := getattr(self, name)) is not None]
        return ": ".join([self.message, ", ".join(values)]) if values else self.message


class UsageError(RestoreError):
    """The command or its configuration cannot mean anything."""

    exit_code = 2
    default_hint = "see aptos-restore COMMAND --help"


class ForeignTargetError(UsageError):
    """The target folder belongs to something else: another plan, or files that are not ours."""

    default_hint = "choose an empty folder, or the command that began this target"


class EmptyStorageError(RestoreError):
    """The storage answered, and holds no backup."""

    exit_code = 10
    default_hint = "check the path of the backup; it must hold a folder named metadata"


class LockedError(RestoreError):
    """Another process holds the target, or works in the metadata cache."""

    exit_code = 11
    default_hint = "wait for the other process, or end it"


class DataError(RestoreError):
    """The data is wrong; retrying cannot help."""

    exit_code = 20
    default_hint = "use another replica of the backup"


class CorruptAnswerError(DataError):
    """Bytes that cannot be what the storage holds: another range, another object's, damaged in compression.

    Asking again may bring the right ones, so it is told only after that was tried.
    """

    default_hint = "it came damaged each time it was fetched; use another replica of the backup"


class FormatError(DataError):
    """Bytes that do not parse."""

    default_hint = "the file is damaged, or of another format; restore it from another replica of the backup"


class MissingFileError(DataError):
    """A file that the metadata or a manifest lists is not there."""

    default_hint = "the backup is incomplete; use another replica, or a version that does not need this file"


class UnsafePathError(DataError):
    """A handle that leaves the storage's folder, or that never ends (a loop of links)."""

    default_hint = "the manifest is not to be trusted; use another replica of the backup"


class ManifestError(DataError):
    """A manifest or a metadata line that contradicts itself, or the data that it describes."""

    default_hint = "the backup is damaged here; use another replica, or an older version"


class ProofError(DataError):
    """A hash or a Merkle proof that does not hold; nothing of the chunk was written."""

    default_hint = "the data is not what the validators signed; use another replica of the backup"


class TrustError(DataError):
    """A ledger info that nothing trusted vouches for."""

    default_hint = "check --trust-waypoint, and that the backup is of the network you mean"


class DamagedTargetError(DataError):
    """A target whose rows contradict its mark or each other."""

    default_hint = "delete the target folder and restore again"


class UnreachableError(RestoreError):
    """This backup cannot give what was asked for."""

    exit_code = 21
    default_hint = "run the plan command to see what is reachable, or give --accept-older"


class StorageUnavailableError(RestoreError):
    """The storage did not answer, after retries."""

    exit_code = 30
    default_hint = "try again later; a restore continues where it stopped"


class TransientStorageError(StorageUnavailableError):
    """A failure that may pass: a reset, a time-out, a server's own error."""


class StalledError(TransientStorageError):
    """A transfer, or a command, that made no progress."""


class CommandFailedError(TransientStorageError):
    """A command of the adapter failed; its status cannot say whether another try would help."""

    default_hint = "run the command of the adapter's configuration by hand; what it printed is above"


class ThrottledError(StorageUnavailableError):
    """The storage asked us to slow down.

    Args:
        message: as in `RestoreError`.
        retry_after: seconds it asked us to wait; None where it did not say.
        file: as in `RestoreError`.
        found: as in `RestoreError`.
    """

    default_hint = "give fewer --concurrent-downloads, or try again later"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        file: str | None = None,
        found: object = None,
    ) -> None:
        super().__init__(message, file=file, found=found)
        self.retry_after = retry_after


class AccessDeniedError(RestoreError):
    """The storage, or a local file, refused us."""

    exit_code = 31
    default_hint = "check the permissions and the credentials of this user"


class ResourceError(RestoreError):
    """Local disk, memory or descriptors."""

    exit_code = 40
    default_hint = "see what this machine gives with aptos-restore doctor, and run the same command again"


class DiskFullError(ResourceError):
    """No space left for the target, or a file may not grow further."""

    default_hint = "free space (or raise the file-size limit) and run the same command again"


class BoundExceededError(ResourceError):
    """More live tasks, children, descriptors or memory than this run may have: stopped before it drowns."""

    default_hint = "give fewer --concurrent-downloads or a smaller --memory-budget; please report it"


class InterruptedRunError(RestoreError):
    """Stopped by a signal; the same command continues."""

    exit_code = 75
    default_hint = "run the same command again; a restore continues where it stopped"


@contextmanager
def located(*, file: str | None = None, version: int | None = None) -> Iterator[None]:
    """Adds where it was to any `RestoreError` that passes and does not know yet.

    The innermost place wins: a field that is already set stays.
    """
    try:
        yield
    except RestoreError as error:
        error.file = error.file or file
        error.version = version if error.version is None else error.version
        raise


def printable(text: str) -> str:
    """The text with everything escaped that is none: others' words may control a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _text(value: object) -> str:
    """Hashes and keys as hex, everything else as it prints."""
    return value.hex() if isinstance(value, bytes) else printable(str(value))
