"""Parses many metadata files at once.

Most of what a small file costs is the calls that parse it. So files are joined, and a batch of them is
decoded in one call. If that gives as many objects as there are lines, each line stood for itself: none went
on past the end of its line, or of its file. Whatever is unusual is left to `parse_lines`, which alone says
what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import msgspec

from restore.catalog.entries import DECODING_ERRORS, VARIANTS, Entry, check_entry, parse_lines
from restore.errors import DataError

BATCH_BYTES = 256 << 10
"""About 2,000 lines: the call costs nothing any more, and so many are parsed again for one that is bad."""

MAX_PROBLEMS_OF_FILE = 100
"""A file of 16 MiB has room for millions; who mends it needs the first ones."""

MetadataFile: TypeAlias = tuple[str, bytes]
"""The name of a metadata file, and what is in it."""

_Line = msgspec.defstruct(
    "_Line",
    [(name, kind | msgspec.UnsetType, msgspec.UNSET) for name, kind in VARIANTS.items()],
    forbid_unknown_fields=True,
    gc=False,
)
"""A line as an object of which any field may be set; one should be."""

_DECODER = msgspec.json.Decoder(_Line)


@dataclass(frozen=True, slots=True)
class ParsedFiles:
    """What metadata files hold.

    Attributes:
        entries: of all good lines, in their order.
        problems: of each bad line, or file without one, what `parse_entries` would raise for it.
    """

    entries: list[Entry]
    problems: tuple[DataError, ...]


def parse_files(files: Iterable[MetadataFile]) -> ParsedFiles:
    """Parses metadata files; a bad line costs nothing but itself.

    Bounds: besides the entries, copies of `BATCH_BYTES` and one file; of each file, so many problems as
        `MAX_PROBLEMS_OF_FILE`.
    """
    entries: list[Entry] = []
    problems: list[DataError] = []
    for batch in _batches(files):
        try:
            entries += _decode(batch)
        except (*DECODING_ERRORS, DataError):
            for file, data in batch:
                found = list(parse_lines(data, file=file))
                entries += [line for line in found if not isinstance(line, DataError)]
                bad = (line for line in found if isinstance(line, DataError))
                problems += islice(bad, MAX_PROBLEMS_OF_FILE)
    return ParsedFiles(entries, tuple(problems))


def _batches(files: Iterable[MetadataFile]) -> Iterator[list[MetadataFile]]:
    batch: list[MetadataFile] = []
    size = 0
    for file in files:
        batch.append(file)
        size += len(file[1])
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _decode(batch: list[MetadataFile]) -> list[Entry]:
    """The entries of a batch, in one call.

    Raises:
        ValueError, RecursionError, DataError: a line is bad, or not as lines usually are.
    """
    # A file without a line becomes an empty one; a carriage return elsewhere ends a line of `parse_lines`.
    joined = b"\n".join([data.rstrip(b"\r\n") for _, data in batch])
    lines = _DECODER.decode_lines(joined)
    if len(lines) != joined.count(b"\n") + 1 or b"\r" in joined:
        raise ValueError("a line is not one object")
    entries = [_only_field(line) for line in lines]
    for entry in entries:
        check_entry(entry)
    return entries


def _only_field(line: msgspec.Struct) -> Entry:
    (entry,) = [value for value in msgspec.structs.astuple(line) if value is not msgspec.UNSET]
    found: Entry = entry
    return found
