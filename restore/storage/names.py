"""What names, handles and lines may look like.

Source: spec/backup-format.md section 1.
"""

from __future__ import annotations

import re

from restore.errors import FormatError, UnsafePathError, UsageError

_SHELL_SAFE = re.compile(r"\A[a-zA-Z0-9][a-zA-Z0-9._-]{2,126}\Z")

_SUFFIX = re.compile(r"\A[0-9a-f]{4}\Z")

METADATA_FOLDER = "metadata"

RETIRED_FOLDER = "metadata_backup"


def check_name(name: str) -> str:
    """Returns the name of a backup or file, if it is safe in a shell: 3 to 127 plain characters.

    Raises:
        UsageError: it is not.
    """
    if not _SHELL_SAFE.match(name):
        raise UsageError("name is not safe for a storage", found=repr(name))
    return name


def backup_name(base: str, *, suffix: str) -> str:
    """The name of a backup's folder: its base and four hexadecimal digits, another for another try.

    Raises:
        UsageError: it is not safe, or the suffix is something else.
    """
    if not _SUFFIX.match(suffix):
        raise UsageError("suffix of a backup is not four hexadecimal digits", found=repr(suffix))
    return check_name(f"{base}.{suffix}")


def check_handle(handle: str) -> str:
    """Returns the handle of a file, if it stays inside the storage: relative, without "." or "..".

    Raises:
        UnsafePathError: it does not.
    """
    parts = handle.split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or not handle.isprintable() or "\\" in handle:
        # Escaped, lest a control character in a manifest reach the operator's terminal.
        name = handle if handle.isprintable() else ascii(handle)
        raise UnsafePathError("file handle leaves the storage", file=name)
    return handle


def check_line(line: str) -> str:
    """Returns the text of a metadata line, if it is one line.

    Raises:
        FormatError: it has a line break.
    """
    if "\n" in line or "\r" in line:
        raise FormatError("metadata line has a line break", found=repr(line[:80]))
    return line
