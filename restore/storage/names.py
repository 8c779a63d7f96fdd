"""What names, handles and lines may look like.

Source: spec/backup-format.md section 1.
"""

from __future__ import annotations

import re

from restore.errors import FormatError, UnsafePathError, UsageError

_SHELL_SAFE = re.compile(r"\A[a-zA-Z0-9][a-zA-Z0-9._-]{2,126}\Z")

METADATA_FOLDER = "metadata"


def check_name(name: str) -> str:
    """Returns the name of a backup or file, if it is safe in a shell: 3 to 127 plain characters.

    Raises:
        UsageError: it is not.
    """
    if not _SHELL_SAFE.match(name):
        raise UsageError("name is not safe for a storage", found=repr(name))
    return name


def check_handle(handle: str) -> str:
    """Returns the handle of a file, if it stays inside the storage: relative, without "." or "..".

    Raises:
        UnsafePathError: it does not.
    """
    parts = handle.split("/")
    if any(part in {"", ".", ".."} for part in parts) or not handle.isprintable() or "\\" in handle:
        raise UnsafePathError("file handle leaves the storage", file=handle)
    return handle


def check_line(line: str) -> str:
    """Returns the text of a metadata line, if it is one line.

    Raises:
        FormatError: it has a line break.
    """
    if "\n" in line or "\r" in line:
        raise FormatError("metadata line has a line break", found=repr(line[:80]))
    return line
