"""What this package raises on purpose.

    MirrorError
    ├── LockTimeoutError       another process held a lock for too long
    ├── LockOrderError         a lock was asked for that would wait for ourselves: a mistake in code
    ├── NoLocksError           the file system does not lock, so the folder must not be shared
    ├── LeaseLostError         leased files, or the lease itself, were taken away from outside
    ├── VanishedError          raised by a source: a file that it listed is there no more
    ├── UnfetchableError       a file is still listed, and still cannot be fetched
    ├── UnsettledError         the source changes faster than it can be read
    ├── EmptyListingError      a source that had files lists none
    └── DamagedFileError       bytes that are not the pack, the index or the lease that they should be

What the file system raises (`OSError`) and what a source raises passes as it is.
"""

from __future__ import annotations


class MirrorError(Exception):
    """Base of all errors of this package.

    Args:
        message: one clause, lower case, no full stop, without the values that follow.
        file: path or name at fault.
        expected: what had to be there.
        found: what was there.
    """

    def __init__(
        self, message: str, *, file: object = None, expected: object = None, found: object = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = None if file is None else str(file)
        self.expected = None if expected is None else str(expected)
        self.found = None if found is None else str(found)

    def __str__(self) -> str:
        """The message with its values."""
        named = ("file", "expected", "found")
        values = [f"{name} {value}" for name in named if (value := getattr(self, name)) is not None]
        return ": ".join([self.message, ", ".join(values)]) if values else self.message


class LockTimeoutError(MirrorError):
    """Another process held a lock for longer than this one wanted to wait; `found` names it."""


class LockOrderError(MirrorError):
    """A lock was asked for while one is held that it would wait for: it would wait for ourselves."""


class NoLocksError(MirrorError):
    """The file system does not lock, or only within this machine."""


class LeaseLostError(MirrorError):
    """What was leased, or the lease itself, was removed or replaced from outside."""


class VanishedError(MirrorError):
    """A file that the source listed is there no more."""


class UnfetchableError(MirrorError):
    """A file is listed again after it could not be fetched, and still cannot."""


class UnsettledError(MirrorError):
    """In each of many listings were files that were gone when they were fetched."""


class EmptyListingError(MirrorError):
    """A source that had files before lists none."""


class DamagedFileError(MirrorError):
    """Bytes that are not the pack, the index or the lease that they should be."""
