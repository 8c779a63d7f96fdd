"""Reads metadata lines: strictly, and each for itself, so that a bad one costs nothing but itself.

Source: spec/backup-format.md section 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from restore.catalog.entries import (
    DECODING_ERRORS,
    MAX_U64,
    VARIANTS,
    CompactionEntry,
    Entry,
    EpochEndingEntry,
    StateSnapshotEntry,
    TransactionEntry,
    check_u64,
)
from restore.errors import DataError, FormatError, ManifestError, UnsafePathError
from restore.storage.names import check_handle

MAX_PROBLEMS_OF_FILE = 100
"""A file of 16 MiB has room for millions; who mends it needs the first ones."""

MAX_REASON_LENGTH = 200
"""Characters of what the decoder says: it repeats names, and they may be as long as the file."""

MetadataFile: TypeAlias = tuple[str, bytes]
"""The name of a metadata file, and what is in it."""

_HINT = (
    "take this file from another replica of the backup; until then a restore needs a --target-version "
    "that the rest reaches"
)

_DECODER = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Line",
        [(name, kind | msgspec.UnsetType, msgspec.UNSET) for name, kind in VARIANTS.items()],
        forbid_unknown_fields=True,
        gc=False,
    )
)
"""Reads a line as an object that has a field for each kind; one of them is to be set."""


@dataclass(frozen=True, slots=True)
class ParsedFiles:
    """What metadata files hold.

    Attributes:
        entries: of all good lines, in their order.
        problems: of each bad line, or file without a line, what `parse_entries` would raise for it.
    """

    entries: list[Entry]
    problems: tuple[DataError, ...]


def parse_entries(data: bytes, *, file: str) -> list[Entry]:
    """Parses one metadata file in which every line must be good.

    Raises:
        FormatError: a line that does not parse, named in the message; or there is none: each file that is
            written has one, so it was torn.
        ManifestError: a line whose range is reversed.
        UnsafePathError: a line with a manifest outside the storage.
    """
    parsed = parse_files([(file, data)])
    if parsed.problems:
        raise parsed.problems[0]
    return parsed.entries


def parse_files(files: Iterable[MetadataFile]) -> ParsedFiles:
    """Parses metadata files: a bad line becomes a problem, and everything else is kept.

    Bounds: besides the entries, one file; of each file `MAX_PROBLEMS_OF_FILE`.
    """
    entries: list[Entry] = []
    problems: list[DataError] = []
    for file, data in files:
        if not data.strip():
            problems.append(FormatError("metadata file is empty", file=file, hint=_HINT))
        most = len(problems) + MAX_PROBLEMS_OF_FILE
        offset = 0
        for number, line in enumerate(data.splitlines(keepends=True), 1):
            try:
                if not line.isspace():
                    entries.append(_parse_line(line))
            except (*DECODING_ERRORS, DataError) as error:
                if len(problems) < most:
                    problems.append(_problem(error, file=file, number=number, offset=offset))
            offset += len(line)
    return ParsedFiles(entries, tuple(problems))


def _parse_line(line: bytes) -> Entry:
    fields = msgspec.structs.astuple(_DECODER.decode(line))
    found: list[Entry] = [field for field in fields if field is not msgspec.UNSET]
    if len(found) != 1:
        raise ValueError("expected an object with one key")
    _check(found[0])
    return found[0]


def _check(entry: Entry) -> None:
    """Checks what the types do not say."""
    match entry:
        case TransactionEntry():
            _check_range(entry, "versions", entry.first_version, entry.last_version)
            check_handle(entry.manifest)
        case EpochEndingEntry():
            _check_range(entry, "epochs", entry.first_epoch, entry.last_epoch)
            _check_range(entry, "versions", entry.first_version, entry.last_version)
            check_handle(entry.manifest)
        case StateSnapshotEntry():
            check_u64(entry)
            check_handle(entry.manifest)
        case CompactionEntry():
            check_u64(entry)


def _check_range(entry: EpochEndingEntry | TransactionEntry, what: str, first: int, last: int) -> None:
    if not first <= last <= MAX_U64:
        check_u64(entry)
        raise ManifestError(f"reversed {what}", found=f"{first}..{last}")


def _problem(error: Exception, *, file: str, number: int, offset: int) -> DataError:
    """What is wrong with a line, and where it is."""
    line, found = f"metadata line {number}", None
    match error:
        case ManifestError():
            message, found = f"{line} has {error.message}", error.found
        case UnsafePathError():
            message, found = f"{line} names a file outside the storage", error.file
        case _:
            message = f"{line} does not parse: {str(error)[:MAX_REASON_LENGTH]}"
    kind = type(error) if isinstance(error, DataError) else FormatError
    return kind(message, file=file, offset=offset, found=found, hint=_HINT)
