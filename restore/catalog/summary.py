"""A view as few bytes that are read quickly: what all metadata files together said.

    msgpack [FORMAT, epoch endings, state snapshots, transactions], each a list of columns

To parse 50,000 lines takes several times as long as to read this. It is only ever written from a view whose
lines were all parsed and checked, and whoever keeps it vouches that it comes back as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap
from typing import Literal

import msgspec

from restore.catalog.entries import BackupEntry, EpochEndingEntry, StateSnapshotEntry, TransactionEntry
from restore.catalog.view import MetadataView

FORMAT: Literal["metadata view 1"] = "metadata view 1"
"""Another one for other columns: a summary that an older or newer program kept is not used."""

Numbers = list[int]
Texts = list[str]


class _Summary(msgspec.Struct, array_like=True, gc=False):
    format: Literal["metadata view 1"]
    epoch_endings: tuple[Numbers, Numbers, Numbers, Numbers, Texts]
    state_snapshots: tuple[Numbers, Numbers, Texts]
    transactions: tuple[Numbers, Numbers, Texts]


def encode_view(view: MetadataView) -> bytes:
    """The bytes of a view without problems."""
    kinds = (
        _columns(EpochEndingEntry, view.epoch_endings),
        _columns(StateSnapshotEntry, view.state_snapshots),
        _columns(TransactionEntry, view.transactions),
    )
    return msgspec.msgpack.encode((FORMAT, *kinds))


def decode_view(data: bytes) -> MetadataView | None:
    """The view that `data` are; None if they are of another format."""
    try:
        summary = msgspec.msgpack.decode(data, type=_Summary)
        return MetadataView.of_sorted(
            epoch_endings=tuple(starmap(EpochEndingEntry, zip(*summary.epoch_endings, strict=True))),
            state_snapshots=tuple(starmap(StateSnapshotEntry, zip(*summary.state_snapshots, strict=True))),
            transactions=tuple(starmap(TransactionEntry, zip(*summary.transactions, strict=True))),
        )
    except (ValueError, RecursionError):
        return None


def _columns(kind: type[BackupEntry], entries: Sequence[BackupEntry]) -> list[list[object]]:
    return [[getattr(entry, field) for entry in entries] for field in kind.__struct_fields__]
