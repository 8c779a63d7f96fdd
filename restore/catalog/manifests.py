"""Manifests: which files a backup consists of, and what each must hold.

Every check that a manifest allows by itself is made when it is parsed; the controllers check it against the
data.

Source: spec/backup-format.md section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import msgspec

from restore.catalog.entries import DECODING_ERRORS, U64, check_u64
from restore.errors import FormatError, ManifestError, UsageError, located
from restore.ledger.transaction import ChunkFormat
from restore.ledger.waypoint import Waypoint
from restore.storage.names import check_handle

HASH_DIGITS = 64


class HashValue(bytes):
    """A 32-byte hash; in JSON, 64 hexadecimal digits."""

    __slots__ = ()


class EpochEndingChunk(msgspec.Struct, frozen=True):
    """Consecutive epoch endings in one record file."""

    first_epoch: U64
    last_epoch: U64
    ledger_infos: str


class EpochEndingManifest(msgspec.Struct, frozen=True):
    """A backup of epoch endings; `waypoints` has one for each epoch, as text."""

    first_epoch: U64
    last_epoch: U64
    waypoints: tuple[str, ...]
    chunks: tuple[EpochEndingChunk, ...]

    def parsed_waypoints(self) -> list[Waypoint]:
        """The waypoints, parsed.

        Raises:
            FormatError: one does not parse.
        """
        try:
            return [Waypoint.parse(text) for text in self.waypoints]
        except UsageError as error:  # of the user's flag, usually
            raise FormatError(f"waypoint in the manifest does not parse: {error}") from error


class StateSnapshotChunk(msgspec.Struct, frozen=True):
    """Consecutive state items, by index in key-hash order; keys are hashes of state keys."""

    first_idx: U64
    last_idx: U64
    first_key: HashValue
    last_key: HashValue
    blobs: str
    proof: str


class StateSnapshotManifest(msgspec.Struct, frozen=True):
    """A backup of the whole state at one version."""

    version: U64
    epoch: U64
    root_hash: HashValue
    chunks: tuple[StateSnapshotChunk, ...]
    proof: str


class TransactionChunk(msgspec.Struct, frozen=True):
    """Consecutive transactions in one record file; `declared_format` is absent in older ones."""

    first_version: U64
    last_version: U64
    transactions: str
    proof: str
    declared_format: ChunkFormat | msgspec.UnsetType = msgspec.field(name="format", default=msgspec.UNSET)

    @property
    def format(self) -> ChunkFormat:
        """The format of the records: where none is declared, the only one that older tools know."""
        return "V0" if self.declared_format is msgspec.UNSET else self.declared_format


class TransactionManifest(msgspec.Struct, frozen=True):
    """A backup of consecutive transactions."""

    first_version: U64
    last_version: U64
    chunks: tuple[TransactionChunk, ...]


Manifest = TypeVar("Manifest", EpochEndingManifest, StateSnapshotManifest, TransactionManifest)


def parse_epoch_ending_manifest(data: bytes, *, file: str) -> EpochEndingManifest:
    """Parses and checks a manifest of epoch endings.

    Raises:
        FormatError: it does not parse.
        ManifestError: it contradicts itself.
        UnsafePathError: it names a file outside the storage.
    """
    manifest = _parse(data, EpochEndingManifest, file)
    with located(file=file):
        first, last = manifest.first_epoch, manifest.last_epoch
        _check_ranges(
            "epoch", first, last, [(chunk.first_epoch, chunk.last_epoch) for chunk in manifest.chunks]
        )
        _check_handles([chunk.ledger_infos for chunk in manifest.chunks])
        if len(manifest.waypoints) != last - first + 1:
            raise ManifestError(
                "another number of waypoints than epochs",
                expected=last - first + 1,
                found=len(manifest.waypoints),
            )
        for before, after in pairwise(manifest.parsed_waypoints()):
            if before.version >= after.version:
                raise ManifestError("waypoints do not ascend", version=after.version, found=before.version)
    return manifest


def parse_state_snapshot_manifest(data: bytes, *, file: str) -> StateSnapshotManifest:
    """Parses and checks a manifest of a state snapshot.

    Raises:
        FormatError: it does not parse.
        ManifestError: it contradicts itself.
        UnsafePathError: it names a file outside the storage.
    """
    manifest = _parse(data, StateSnapshotManifest, file)
    with located(file=file):
        chunks = manifest.chunks
        last = chunks[-1].last_idx if chunks else 0
        _check_ranges("index", 0, last, [(chunk.first_idx, chunk.last_idx) for chunk in chunks])
        _check_handles(
            [manifest.proof, *(handle for chunk in chunks for handle in (chunk.blobs, chunk.proof))]
        )
        keys = [key for chunk in chunks for key in (chunk.first_key, chunk.last_key)]
        for number, (before, after) in enumerate(pairwise(keys)):
            chunk = chunks[number // 2]
            is_single = number % 2 == 0 and chunk.first_idx == chunk.last_idx
            if before != after if is_single else before >= after:
                raise ManifestError(
                    "keys of the chunks do not ascend", expected=f"above {before.hex()}", found=after
                )
    return manifest


def parse_transaction_manifest(data: bytes, *, file: str) -> TransactionManifest:
    """Parses and checks a manifest of transactions.

    Raises:
        FormatError: it does not parse.
        ManifestError: it contradicts itself.
        UnsafePathError: it names a file outside the storage.
    """
    manifest = _parse(data, TransactionManifest, file)
    with located(file=file):
        _check_ranges(
            "version",
            manifest.first_version,
            manifest.last_version,
            [(chunk.first_version, chunk.last_version) for chunk in manifest.chunks],
        )
        _check_handles([handle for chunk in manifest.chunks for handle in (chunk.transactions, chunk.proof)])
    return manifest


def encode_manifest(manifest: EpochEndingManifest | StateSnapshotManifest | TransactionManifest) -> bytes:
    """The one line of JSON that the manifest's file holds, without a line break."""
    return msgspec.json.encode(manifest, enc_hook=_encode_value)


def _parse(data: bytes, kind: type[Manifest], file: str) -> Manifest:
    try:
        manifest: Manifest = msgspec.json.decode(data, type=kind, dec_hook=_decode_value)
        for value in (manifest, *manifest.chunks):
            check_u64(value)
        return manifest
    except DECODING_ERRORS as error:
        raise FormatError(f"manifest does not parse: {error}", file=file) from error


def _decode_value(kind: type[Any], value: Any) -> Any:
    if kind is not HashValue:
        raise NotImplementedError
    if not isinstance(value, str) or len(value) != HASH_DIGITS or not value.isalnum():
        raise ValueError(f"expected {HASH_DIGITS} hexadecimal digits")
    return HashValue(bytes.fromhex(value))


def _encode_value(value: Any) -> str:
    if not isinstance(value, HashValue):
        raise NotImplementedError
    return value.hex()


def _check_ranges(unit: str, first: int, last: int, chunks: Sequence[tuple[int, int]]) -> None:
    """Checks that chunks are not empty, follow each other without a gap, and make up first..last."""
    if not chunks:
        raise ManifestError("manifest has no chunks")
    if first > last:
        raise ManifestError(f"manifest has a reversed {unit} range", found=f"{first}..{last}")
    expected = first
    for begin, end in chunks:
        if begin != expected:
            raise ManifestError(
                f"chunk does not begin where the one before it ends: {unit}", expected=expected, found=begin
            )
        if end < begin:
            raise ManifestError(f"chunk has a reversed {unit} range", found=f"{begin}..{end}")
        expected = end + 1
    if expected != last + 1:
        raise ManifestError(
            f"chunks end at another {unit} than the manifest", expected=last, found=expected - 1
        )


def _check_handles(handles: Sequence[str]) -> None:
    for handle in handles:
        check_handle(handle)
