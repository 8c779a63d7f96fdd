"""Metadata lines: which backups there are. A line is one JSON object with one key, the variant's name.

Source: spec/backup-format.md section 4.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from restore.errors import FormatError, ManifestError

U64: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
"""A version, epoch or index; its upper bound is checked where the line is read."""

MAX_U64 = (1 << 64) - 1


class EpochEndingEntry(msgspec.Struct, frozen=True, order=True):
    """A backup of consecutive epoch endings; versions are those of its first and last ledger info."""

    first_epoch: U64
    last_epoch: U64
    first_version: U64
    last_version: U64
    manifest: str


class StateSnapshotEntry(msgspec.Struct, frozen=True, order=True):
    """A backup of the whole state at one version."""

    epoch: U64
    version: U64
    manifest: str


class TransactionEntry(msgspec.Struct, frozen=True, order=True):
    """A backup of consecutive transactions."""

    first_version: U64
    last_version: U64
    manifest: str


class IdentityEntry(msgspec.Struct, frozen=True):
    """Written once into an empty storage; its value is used by nobody."""

    id: str


class CompactionEntry(msgspec.Struct, frozen=True):
    """When each metadata file was first seen replaced; Unix seconds, or null for not replaced."""

    file_compacted_at: U64
    compaction_timestamps: dict[str, U64 | None]


Entry: TypeAlias = EpochEndingEntry | StateSnapshotEntry | TransactionEntry | IdentityEntry | CompactionEntry

VARIANTS: dict[str, type[Entry]] = {
    "EpochEndingBackup": EpochEndingEntry,
    "StateSnapshotBackup": StateSnapshotEntry,
    "TransactionBackup": TransactionEntry,
    "Identity": IdentityEntry,
    "CompactionTimestamps": CompactionEntry,
}


def parse_entries(data: bytes, *, file: str) -> list[Entry]:
    """Parses one metadata file.

    Raises:
        FormatError: a line that does not parse; the message names it.
        ManifestError: a line whose range is reversed.
    """
    entries = []
    offset = 0
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        if line.strip():
            try:
                entries.append(_parse_line(line))
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
                raise FormatError(
                    f"metadata line {number} does not parse: {error}", file=file, offset=offset
                ) from error
            _check_range(entries[-1], file=file, line=number)
        offset += len(line)
    return entries


def encode_entry(entry: Entry) -> str:
    """The line of an entry, without its line break."""
    name = next(name for name, kind in VARIANTS.items() if kind is type(entry))
    return msgspec.json.encode({name: entry}).decode()


def _parse_line(line: bytes) -> Entry:
    outer = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    if len(outer) != 1:
        raise ValueError("expected an object with one key")
    ((name, body),) = outer.items()
    kind = VARIANTS.get(name)
    if kind is None:
        raise ValueError(f"unknown kind {name!r}")
    entry = msgspec.json.decode(body, type=kind)
    for field in entry.__struct_fields__:
        value = getattr(entry, field)
        if isinstance(value, int) and value > MAX_U64:
            raise ValueError(f"{field} is above 64 bits")
    return entry


def _check_range(entry: Entry, *, file: str, line: int) -> None:
    ranges: list[tuple[str, int, int]] = []
    if isinstance(entry, EpochEndingEntry):
        ranges.append(("epochs", entry.first_epoch, entry.last_epoch))
    if isinstance(entry, EpochEndingEntry | TransactionEntry):
        ranges.append(("versions", entry.first_version, entry.last_version))
    for name, first, last in ranges:
        if first > last:
            raise ManifestError(
                f"metadata line {line} has reversed {name}", file=file, found=f"{first}..{last}"
            )
