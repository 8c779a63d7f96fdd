"""Epoch endings: from the backup's manifests to a verified history, and to the target.

Manifests are read ahead and in parallel; the chain itself is sequential, since each ledger info is checked
with the validators that the one before announced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from restore.catalog.entries import EpochEndingEntry
from restore.catalog.loading import load_epoch_ending_manifest
from restore.catalog.manifests import EpochEndingChunk, EpochEndingManifest
from restore.errors import ManifestError, located
from restore.fetch import Fetcher, Hold
from restore.flow.stream import OrderedStream
from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.waypoint import Waypoint
from restore.proof.trust import TrustedHistory
from restore.report.events import Advanced, PhaseFinished, PhaseStarted
from restore.report.stopwatch import Stopwatch, timed
from restore.run import Run
from restore.wire.records import FramedRecords

PHASE = "epoch endings"

DECODED_FACTOR = 8
"""Memory of a decoded ledger info over its encoded bytes: a validator's 89 bytes become three objects."""


@dataclass(frozen=True, slots=True)
class _Endings:
    """The ledger infos of one backup, as read: each parses, none is trusted yet."""

    manifest: EpochEndingManifest
    infos: list[tuple[str, SignedLedgerInfo]]
    size: int
    hold: Hold


async def restore_epoch_endings(
    run: Run, entries: Sequence[EpochEndingEntry], *, target_version: int, reach: int = 0
) -> tuple[bytes, ...]:
    """Extends the run's history by all these epoch endings, and keeps those up to `target_version`.

    Later ones only vouch: a chunk that reaches beyond the target has a ledger info of a later epoch.

    Returns:
        The ledger infos above `target_version` up to `reach`, with their signatures: what must be known
        besides the kept ones to check that chunk's ledger info again.

    Raises:
        ManifestError: a count, epoch or waypoint that is not what the manifest says.
        TrustError: a ledger info that nothing vouches for.
    """

    async def read(entry: EpochEndingEntry) -> _Endings:
        with run.fetcher.holding() as hold:
            return await _read_endings(run.fetcher, entry, hold, Stopwatch(run.report, PHASE))

    fetcher, history = run.fetcher, run.history
    later: list[bytes] = []
    total = sum(entry.last_epoch - entry.first_epoch + 1 for entry in entries)
    run.report(PhaseStarted(PHASE, "epochs", total))
    async with OrderedStream(
        entries, read, concurrency=fetcher.slots, discard=lambda endings: endings.hold.release()
    ) as stream:
        async for endings in stream:
            # Backups may overlap; what the history has already is not needed again.
            new = [(file, signed) for file, signed in endings.infos if signed.info.epoch >= history.epochs]
            await fetcher.workers.run(_extend, history, new, endings.manifest, run.domain)
            kept = [signed for _, signed in new if signed.info.version <= target_version]
            await run.target.save_ledger_infos(kept)
            later += [signed.raw for _, signed in new if target_version < signed.info.version <= reach]
            endings.hold.release()
            run.report(Advanced(PHASE, len(endings.infos), endings.size))
    run.report(PhaseFinished(PHASE))
    return tuple(later)


async def _read_endings(fetcher: Fetcher, entry: EpochEndingEntry, hold: Hold, watch: Stopwatch) -> _Endings:
    manifest = await load_epoch_ending_manifest(fetcher.storage, entry.manifest)
    if (manifest.first_epoch, manifest.last_epoch) != (entry.first_epoch, entry.last_epoch):
        raise ManifestError(
            "manifest is of other epochs than its metadata line",
            file=entry.manifest,
            expected=f"{entry.first_epoch}..{entry.last_epoch}",
            found=f"{manifest.first_epoch}..{manifest.last_epoch}",
        )
    infos: list[tuple[str, SignedLedgerInfo]] = []
    size = 0
    for chunk in manifest.chunks:
        expected = chunk.last_epoch - chunk.first_epoch + 1
        async with fetcher.records(
            chunk.ledger_infos, hold, watch, expected=expected, decoded_bytes=decoded_bytes
        ) as records:
            size += records.size
            parsed, seconds = await fetcher.workers.run(timed, _parse, chunk, records)
            watch.lap("decode", items=expected, size=records.size, seconds=seconds)
        infos += [(chunk.ledger_infos, signed) for signed in parsed]
    return _Endings(manifest, infos, size, hold)


def decoded_bytes(records: FramedRecords) -> int:
    """Memory that a chunk takes once it is decoded, besides the file."""
    return (DECODED_FACTOR - 1) * records.size


def _parse(chunk: EpochEndingChunk, records: FramedRecords) -> list[SignedLedgerInfo]:
    with located(file=chunk.ledger_infos):
        infos = [SignedLedgerInfo.parse(record) for record in records.cut()]
        for epoch, signed in enumerate(infos, chunk.first_epoch):
            if signed.info.epoch != epoch:
                raise ManifestError(
                    "ledger info of another epoch than the manifest says",
                    version=signed.info.version,
                    expected=epoch,
                    found=signed.info.epoch,
                )
        return infos


def _extend(
    history: TrustedHistory,
    infos: Sequence[tuple[str, SignedLedgerInfo]],
    manifest: EpochEndingManifest,
    domain: Domain,
) -> None:
    """Chains one backup's ledger infos, each compared with the manifest's waypoint first."""
    waypoints = manifest.parsed_waypoints()
    for file, signed in infos:
        with located(file=file, version=signed.info.version):
            expected = waypoints[signed.info.epoch - manifest.first_epoch]
            found = Waypoint.of(signed.info, domain)
            if found != expected:
                raise ManifestError(
                    "ledger info is not the one of the manifest's waypoint", expected=expected, found=found
                )
            history.extend(signed)
