"""Epoch endings: from the backup's manifests to a verified history, and to the target.

Manifests are read ahead and in parallel, a group of them in each task. The chain itself is sequential, since
each ledger info is checked with the validators that the one before announced. But what it announced can be
read before it is verified: so the signatures are checked early, in batches and in processes, under the
validators that the ending before *claims*. Then each ending is added to the history in order, which takes a
signature for checked only if it was under the very validators that it knows by then. So nothing is trusted
before all that lies before it is, and what does not hold is found and named in order, as if nothing had been
checked early.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from restore.catalog.entries import EpochEndingEntry
from restore.catalog.loading import load_epoch_ending_manifest
from restore.catalog.manifests import EpochEndingChunk
from restore.catalog.mirror_remembered import RememberedFile
from restore.errors import ManifestError, located
from restore.fetch import Fetcher, Hold
from restore.flow.stream import HELD_PER_RUNNING, OrderedStream
from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import EpochState, SignedLedgerInfo
from restore.ledger.signatures import Claim
from restore.ledger.waypoint import Waypoint
from restore.limits import Limits
from restore.proof.remembered import Remembered
from restore.proof.trust import TrustedHistory
from restore.report.events import Advanced, Notice, PhaseFinished, PhaseStarted
from restore.report.figures import show_count
from restore.report.stopwatch import Stopwatch, timed
from restore.run import Run
from restore.signatures import SignatureChecks
from restore.wire.records import FramedRecords

PHASE = "epoch endings"

DECODED_FACTOR = 8
"""Memory of a decoded ledger info over its encoded bytes: a validator's 89 bytes become three objects."""

GROUP_EPOCHS = 64
"""Most backups are of one epoch. So many are read by one task, where there are enough of them, and make one
batch; on mainnet they take 7 MiB."""


@dataclass(frozen=True, slots=True)
class _Ending:
    """The ledger info of one epoch, as read: it parses, it is not trusted yet.

    Attributes:
        file: it is from.
        signed: the ledger info.
        waypoint: what the manifest says of it.
    """

    file: str
    signed: SignedLedgerInfo
    waypoint: Waypoint


@dataclass(frozen=True, slots=True)
class _Group:
    """The endings of some consecutive backups.

    Attributes:
        endings: in order.
        checked: by epoch, the validators whose signatures hold.
        size: encoded bytes.
        hold: what pays for it.
    """

    endings: list[_Ending]
    checked: dict[int, EpochState]
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
    fetcher, history = run.fetcher, run.history
    file = RememberedFile(run.metadata, fetcher.storage.identity)
    remembered = Remembered(history.policy, run.domain, await file.load()) if file.is_kept else None

    announced: asyncio.Future[EpochState | None] = asyncio.get_running_loop().create_future()
    announced.set_result(history.announced)

    async def read(group: Sequence[EpochEndingEntry]) -> _Group:
        # Each group tells the next one whom it announces, as soon as it is read: no older one waits for it.
        nonlocal announced
        before, announced = announced, asyncio.get_running_loop().create_future()
        after = announced
        run.tell_depth(PHASE, stream)
        with fetcher.holding() as hold:
            watch = Stopwatch(run.report, PHASE)
            endings, size = await _read_group(fetcher, group, hold, watch)
            after.set_result(endings[-1].signed.info.next_epoch_state)
            checked = await checks.check(_claims(endings, await asyncio.shield(before)))
            watch.lap("decode")  # of endings that were counted when they were parsed
            return _Group(endings, checked, size, hold)

    later: list[bytes] = []
    total = sum(map(_epochs, entries))
    run.report(PhaseStarted(PHASE, "epochs", total))
    async with (
        SignatureChecks(
            fetcher.workers, run.domain, processes=_processes(fetcher.limits), remembered=remembered
        ) as checks,
        OrderedStream(
            _grouped(entries, epochs=_group_epochs(total, fetcher.slots.downloads)),
            read,
            concurrency=fetcher.slots,
            discard=lambda group: group.hold.release(),
        ) as stream,
    ):
        async for group in stream:
            # Backups may overlap; what the history has already is not needed again.
            new = [ending for ending in group.endings if ending.signed.info.epoch >= history.epochs]
            await fetcher.workers.run(_extend, history, new, group.checked, run.domain)
            infos = [ending.signed for ending in new]
            await run.target.save_ledger_infos(
                [signed for signed in infos if signed.info.version <= target_version]
            )
            later += [signed.raw for signed in infos if target_version < signed.info.version <= reach]
            group.hold.release()
            run.report(Advanced(PHASE, len(group.endings), group.size))
    if remembered is not None:
        await _remember(run, file, remembered)
    run.report(PhaseFinished(PHASE))
    return tuple(later)


async def _remember(run: Run, file: RememberedFile, remembered: Remembered) -> None:
    if remembered.has_news:
        await file.add(remembered.confirmed)
    if remembered.recalled:
        recalled = show_count(remembered.recalled, "epoch endings")
        run.report(Notice(f"the signatures of {recalled} were checked by an earlier run"))


def _processes(limits: Limits) -> int:
    """For signatures: as many as there may be chunks in progress, where there are CPUs for them."""
    return min(limits.concurrency, limits.threads)


def _group_epochs(total: int, slots: int) -> int:
    """Epochs that one task reads: so few that every slot has some, where that is less."""
    return max(1, min(GROUP_EPOCHS, total // (HELD_PER_RUNNING * slots)))


def _grouped(entries: Sequence[EpochEndingEntry], *, epochs: int) -> Iterator[list[EpochEndingEntry]]:
    """Consecutive backups, put together until they have so many epochs."""
    group: list[EpochEndingEntry] = []
    for entry in entries:
        group.append(entry)
        if sum(map(_epochs, group)) >= epochs:
            yield group
            group = []
    if group:
        yield group


def _epochs(entry: EpochEndingEntry) -> int:
    return entry.last_epoch - entry.first_epoch + 1


def _claims(endings: Sequence[_Ending], announced: EpochState | None) -> list[Claim]:
    """Each ending, with the validators that the one before it claims: `announced` for the first of them."""
    infos = [ending.signed for ending in endings]
    before = [announced, *(signed.info.next_epoch_state for signed in infos[:-1])]
    return [
        Claim(signed, validators)
        for signed, validators in zip(infos, before, strict=True)
        if validators is not None and validators.epoch == signed.info.epoch
    ]


async def _read_group(
    fetcher: Fetcher, entries: Sequence[EpochEndingEntry], hold: Hold, watch: Stopwatch
) -> tuple[list[_Ending], int]:
    """The endings of some backups, and their size in bytes."""
    endings: list[_Ending] = []
    size = 0
    for entry in entries:
        manifest = await load_epoch_ending_manifest(fetcher.storage, entry.manifest)
        if (manifest.first_epoch, manifest.last_epoch) != (entry.first_epoch, entry.last_epoch):
            raise ManifestError(
                "manifest is of other epochs than its metadata line",
                file=entry.manifest,
                expected=f"{entry.first_epoch}..{entry.last_epoch}",
                found=f"{manifest.first_epoch}..{manifest.last_epoch}",
            )
        infos: list[tuple[str, SignedLedgerInfo]] = []
        for chunk in manifest.chunks:
            expected = chunk.last_epoch - chunk.first_epoch + 1
            async with fetcher.records(
                chunk.ledger_infos, hold, watch, expected=expected, decoded_bytes=decoded_bytes
            ) as records:
                size += records.size
                parsed, seconds = await fetcher.workers.run(timed, _parse, chunk, records)
                watch.lap("decode", items=expected, size=records.size, seconds=seconds)
            infos += [(chunk.ledger_infos, signed) for signed in parsed]
        for (file, signed), waypoint in zip(infos, manifest.parsed_waypoints(), strict=True):
            endings.append(_Ending(file, signed, waypoint))
    return endings, size


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
    history: TrustedHistory, endings: Sequence[_Ending], checked: Mapping[int, EpochState], domain: Domain
) -> None:
    """Chains endings, each compared with the manifest's waypoint first."""
    for ending in endings:
        signed, expected = ending.signed, ending.waypoint
        with located(file=ending.file, version=signed.info.version):
            found = Waypoint.of(signed.info, domain)
            if found != expected:
                raise ManifestError(
                    "ledger info is not the one of the manifest's waypoint", expected=expected, found=found
                )
            history.extend(signed, checked_under=checked.get(signed.info.epoch))
