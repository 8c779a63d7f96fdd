"""Metadata lines: which backups there are. A line is one JSON object with one key, the variant's name.

Source: spec/backup-format.md section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from restore.errors import ManifestError

U64: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
"""A version, epoch or index; its upper bound, too large for msgspec, is checked by `check_u64`."""

MAX_U64 = (1 << 64) - 1


class EpochEndingEntry(msgspec.Struct, frozen=True, order=True, gc=False):
    """A backup of consecutive epoch endings; versions are those of its first and last ledger info."""

    first_epoch: U64
    last_epoch: U64
    first_version: U64
    last_version: U64
    manifest: str

    @property
    def bounds(self) -> tuple[int, int]:
        """First and last epoch."""
        return self.first_epoch, self.last_epoch


class StateSnapshotEntry(msgspec.Struct, frozen=True, order=True, gc=False):
    """A backup of the whole state at one version."""

    epoch: U64
    version: U64
    manifest: str


class TransactionEntry(msgspec.Struct, frozen=True, order=True, gc=False):
    """A backup of consecutive transactions."""

    first_version: U64
    last_version: U64
    manifest: str

    @property
    def bounds(self) -> tuple[int, int]:
        """First and last version."""
        return self.first_version, self.last_version


class IdentityEntry(msgspec.Struct, frozen=True, gc=False):
    """Written once into an empty storage; its value is used by nobody."""

    id: str


class CompactionEntry(msgspec.Struct, frozen=True, gc=False):
    """When each metadata file was first seen replaced; Unix seconds, or null for not replaced."""

    file_compacted_at: U64
    compaction_timestamps: dict[str, U64 | None]


Entry: TypeAlias = EpochEndingEntry | StateSnapshotEntry | TransactionEntry | IdentityEntry | CompactionEntry

BackupEntry = TypeVar("BackupEntry", EpochEndingEntry, StateSnapshotEntry, TransactionEntry)

VARIANTS: dict[str, type[Entry]] = {
    "EpochEndingBackup": EpochEndingEntry,
    "StateSnapshotBackup": StateSnapshotEntry,
    "TransactionBackup": TransactionEntry,
    "Identity": IdentityEntry,
    "CompactionTimestamps": CompactionEntry,
}

DECODING_ERRORS = (ValueError, RecursionError)
"""What bytes that are not the JSON asked for raise: msgspec's and Unicode's errors are `ValueError`; brackets
nested too deep are the other."""


def encode_entry(entry: Entry) -> str:
    """The line of an entry, without its line break."""
    name = next(name for name, kind in VARIANTS.items() if kind is type(entry))
    return msgspec.json.encode({name: entry}).decode()


def file_name(entry: Entry) -> str:
    """The name of the metadata file that holds this entry alone."""
    match entry:
        case EpochEndingEntry():
            stem = f"epoch_ending_{entry.first_epoch}-{entry.last_epoch}"
        case StateSnapshotEntry():
            stem = f"state_snapshot_ver_{entry.version}"
        case TransactionEntry():
            stem = f"transaction_{entry.first_version}-{entry.last_version}"
        case IdentityEntry():
            stem = "identity"
        case CompactionEntry():
            stem = f"compaction_timestamps_{entry.file_compacted_at}"
    return f"{stem}.meta"


def compacted_file_name(group: Sequence[BackupEntry]) -> str:
    """The name of the metadata file that holds these entries, of one kind and at least one, in order.

    Raises:
        ManifestError: one does not begin where the one before it ends; snapshots need not.
    """
    first, last = group[0], group[-1]
    if isinstance(first, StateSnapshotEntry) and isinstance(last, StateSnapshotEntry):
        return f"state_snapshot_compacted_epoch_{first.epoch}_{last.epoch}.meta"
    for before, after in pairwise(group):
        if after.bounds[0] != before.bounds[1] + 1:
            raise ManifestError(
                "backups of one compacted file are not continuous",
                file=after.manifest,
                expected=before.bounds[1] + 1,
                found=after.bounds[0],
            )
    kind = "epoch_ending" if isinstance(first, EpochEndingEntry) else "transaction"
    return f"{kind}_compacted_{first.bounds[0]}-{last.bounds[1]}.meta"


def check_u64(value: msgspec.Struct) -> None:
    """Checks the numbers of a struct, and of what its fields hold, against 64 bits.

    Raises:
        ValueError: one is larger; the message names its field.
    """
    for field in value.__struct_fields__:
        for number in _numbers(getattr(value, field)):
            if number > MAX_U64:
                raise ValueError(f"{field} is above 64 bits")


def _numbers(value: object) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict):
        yield from (number for number in value.values() if number is not None)
