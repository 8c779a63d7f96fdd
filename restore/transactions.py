"""Transactions: every record tied to a signed ledger info, then saved; write sets applied where state is
built.

Chunks are read and proven concurrently: each has its own ledger info and range proof. What goes in order is
the running accumulator, which ties the chunks to each other and to every epoch ending that they pass.

Source: spec/backup-format.md 6.3; spec/ledger-hashing.md 6.5 to 6.8.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from restore.catalog.entries import TransactionEntry
from restore.catalog.loading import load_transaction_manifest
from restore.catalog.manifests import TransactionChunk, TransactionManifest
from restore.errors import ManifestError, ProofError, located
from restore.fetch import Hold
from restore.flow.budget import Lease
from restore.flow.stream import OrderedStream
from restore.kernel.choice import uses_native
from restore.ledger.state import Usage
from restore.proof.accumulator import Accumulator, frozen_subtrees
from restore.proof.batch import Transactions, prove_transactions
from restore.proof.files import TransactionProof, parse_transaction_proof
from restore.proof.ranges import AccumulatorRangeProof
from restore.proof.trust import TrustedHistory
from restore.report.events import Advanced, PhaseFinished, PhaseStarted
from restore.report.stopwatch import Stopwatch, timed
from restore.run import Run
from restore.target.base import TransactionRows
from restore.target.staged import StagedTransactions
from restore.wire.bcs import HASH_BYTES
from restore.wire.records import FramedRecords

DECODED_FACTOR = 4
"""Memory of decoded transactions over their encoded bytes, for records of 1 KiB (`benchmarks/memory.py`)."""


@dataclass(frozen=True, slots=True)
class Voucher:
    """What vouches for one version: a signed ledger info, and the proof of that version's info under it."""

    ledger_info: bytes
    proof: AccumulatorRangeProof


@dataclass(frozen=True, slots=True)
class TransactionPosition:
    """How far the transactions are.

    Attributes:
        count: leaves of the accumulator, so the next version; None before the first chunk.
        roots: frozen roots of those leaves, left to right.
        voucher: what vouches for the last of them, once it is the target version.
        usage: usage after the last of them, where write sets are applied.
    """

    count: int | None = None
    roots: tuple[bytes, ...] = ()
    voucher: Voucher | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class TransactionRange:
    """Which versions, and what is done with them.

    Attributes:
        last: last version wanted; later records of its chunk are checked and dropped.
        replay_from: first version whose write set is applied to the state; None for none.
    """

    last: int
    replay_from: int | None


class _Wanted(NamedTuple):
    """A chunk, and which places of it are wanted."""

    chunk: TransactionChunk
    part: range


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What is wanted of one chunk, proven under the chunk's own ledger info.

    Attributes:
        files: where it came from.
        part: which places of it are wanted.
        leaves: of the accumulator, 32 bytes for each transaction wanted.
        staged: their rows.
        left_roots: frozen roots of all leaves before the chunk.
        voucher: what vouches for the last version wanted, if the chunk has it.
        size: bytes read.
        hold: what it holds of the budgets.
        watch: tells how long each stage takes.
    """

    files: TransactionChunk
    part: range
    leaves: bytes
    staged: Sequence[StagedTransactions]
    left_roots: tuple[bytes, ...]
    voucher: Voucher | None
    size: int
    hold: Hold
    watch: Stopwatch


Commit: TypeAlias = Callable[[TransactionPosition], Awaitable[None]]


async def restore_transactions(
    run: Run,
    entries: Sequence[TransactionEntry],
    wanted: TransactionRange,
    *,
    start: TransactionPosition,
    commit: Commit,
) -> TransactionPosition:
    """Proves transactions and keeps them, from `start` on.

    Args:
        run: the run's means.
        entries: backups that cover the range, in order; they may overlap.
        wanted: which versions, and from where write sets are applied.
        start: where an earlier run stopped; the beginning by default.
        commit: called after each chunk is durable, with the position after it.

    Returns:
        The position after the last version.

    Raises:
        ManifestError: manifests, metadata lines and data contradict each other.
        ProofError: a record, a range proof or the running accumulator does not hold.
        TrustError: nothing trusted vouches for a chunk's ledger info.

    Bounds: the run's budgets, and the manifests (400 bytes a chunk).
    """
    chunks = await _load_chunks(run, entries, wanted, next_version=start.count)
    phase = (
        "transactions" if wanted.replay_from is None else f"transactions (state from {wanted.replay_from})"
    )
    first = chunks[0].chunk.first_version if chunks else wanted.last + 1
    begun = start.count if start.count is not None else first
    run.report(PhaseStarted(phase, "transactions", max(0, wanted.last + 1 - begun)))
    position = start

    async def read(chunk: _Wanted) -> _Chunk:
        run.tell_depth(phase, stream)
        with run.fetcher.holding() as hold:
            return await _read_chunk(run, chunk, wanted, hold, Stopwatch(run.report, phase))

    async with OrderedStream(
        chunks, read, concurrency=run.fetcher.slots, discard=lambda chunk: chunk.hold.release()
    ) as stream:
        async for chunk in stream:
            run.tell_depth(phase, stream)
            chunk.watch.lap("turn")
            if position.count is None:
                nodes = frozen_subtrees(chunk.files.first_version, chunk.left_roots)
                await run.target.save_frozen_subtrees(nodes)
                position = TransactionPosition(chunk.files.first_version, chunk.left_roots)
            position = await _append(run, chunk, position)
            await commit(position)
            chunk.watch.lap("save", items=len(chunk.part), size=chunk.size)
            run.report(Advanced(phase, len(chunk.part), chunk.size))
            chunk.hold.release()
    run.report(PhaseFinished(phase))
    return position


async def _append(run: Run, chunk: _Chunk, position: TransactionPosition) -> TransactionPosition:
    """Ties a proven chunk to those before it, and keeps what it adds."""
    first_version = chunk.files.first_version + chunk.part.start
    accumulator = Accumulator(run.domain.transaction_accumulator, first_version, position.roots)
    with located(file=chunk.files.proof):
        if chunk.part.start == 0 and chunk.left_roots != position.roots:
            raise ProofError("proof of the chunk does not continue the one before it", version=first_version)
        nodes = await run.fetcher.workers.run(_append_leaves, run, accumulator, chunk.leaves)
    chunk.watch.lap("prove", items=len(chunk.part), size=chunk.size)
    usage = await run.target.save_transactions(TransactionRows(first_version, chunk.staged, nodes))
    return TransactionPosition(
        accumulator.count,
        accumulator.frozen_roots,
        chunk.voucher or position.voucher,
        usage or position.usage,
    )


def _append_leaves(run: Run, accumulator: Accumulator, leaves: bytes) -> bytes:
    """Appends leaves, stopping at each epoch's end to compare the root with the one the validators signed."""
    nodes = []
    begun = 0
    for version in _epoch_ends(run.history, accumulator.count, len(leaves) // HASH_BYTES):
        end = begun + HASH_BYTES * (version + 1 - accumulator.count)
        nodes.append(accumulator.extend(leaves[begun:end]))
        begun = end
        expected = run.history.root_at(version)
        if accumulator.root() != expected:
            raise ProofError(
                "accumulator at the end of an epoch is not the one its ledger info signed",
                version=version,
                expected=expected,
                found=accumulator.root(),
            )
    nodes.append(accumulator.extend(leaves[begun:]))
    return b"".join(nodes)


def _epoch_ends(history: TrustedHistory, first_version: int, count: int) -> Iterator[int]:
    """Which of `count` versions end an epoch."""
    epoch = history.epochs_to(first_version - 1)
    while (version := history.end_of(epoch)) is not None and version < first_version + count:
        yield version
        epoch += 1


async def _load_chunks(
    run: Run, entries: Sequence[TransactionEntry], wanted: TransactionRange, *, next_version: int | None
) -> list[_Wanted]:
    """What to read, continuous from `next_version` (or the first backup's first) to the last version."""

    async def load(entry: TransactionEntry) -> TransactionManifest:
        manifest = await load_transaction_manifest(run.fetcher.storage, entry.manifest)
        if (manifest.first_version, manifest.last_version) != (entry.first_version, entry.last_version):
            raise ManifestError(
                "manifest is of other versions than its metadata line",
                file=entry.manifest,
                expected=f"{entry.first_version}..{entry.last_version}",
                found=f"{manifest.first_version}..{manifest.last_version}",
            )
        return manifest

    chunks: list[_Wanted] = []
    reached = next_version
    async with OrderedStream(entries, load, concurrency=run.fetcher.limits.concurrency) as manifests:
        async for manifest in manifests:
            for chunk in manifest.chunks:
                if chunk.first_version > wanted.last or (
                    reached is not None and chunk.last_version < reached
                ):
                    continue
                if reached is not None and chunk.first_version > reached:
                    raise ManifestError(
                        "chunk does not continue the one before it",
                        file=chunk.transactions,
                        expected=reached,
                        found=chunk.first_version,
                    )
                first = chunk.first_version if reached is None else reached
                reached = min(chunk.last_version, wanted.last) + 1
                chunks.append(
                    _Wanted(chunk, range(first - chunk.first_version, reached - chunk.first_version))
                )
    return chunks


async def _read_chunk(
    run: Run, chunk: _Wanted, wanted: TransactionRange, hold: Hold, watch: Stopwatch
) -> _Chunk:
    fetcher, (files, part) = run.fetcher, chunk
    expected = files.last_version - files.first_version + 1
    proof = await fetcher.read_small(files.proof, hold)
    with located(file=files.proof):
        parsed = parse_transaction_proof(proof)
    async with fetcher.records(
        files.transactions, hold, watch, expected=expected, decoded_bytes=decoded_bytes
    ) as records:
        size = records.size
        (transactions, voucher), seconds = await fetcher.workers.run(
            timed, _prove, run, files, records, parsed, wanted.last
        )
        watch.lap("decode", items=expected, size=size, seconds=seconds)
        staged, seconds = await fetcher.workers.run(
            timed, _stage, run, files, transactions, part, wanted.replay_from
        )
        watch.lap("tables", items=len(part), size=size, seconds=seconds)
        leaves = transactions.leaves[HASH_BYTES * part.start : HASH_BYTES * part.stop]
        # Their rows are in table files, or few: little of what was read is needed any more.
        del records, transactions
    await _hold_only(hold.memory, len(leaves) + sum(step.memory_bytes for step in staged))
    roots = tuple(reversed(parsed.range.left))
    return _Chunk(files, part, leaves, staged, roots, voucher, size, hold, watch)


def decoded_bytes(records: FramedRecords) -> int:
    """Memory that a chunk takes while it is decoded, besides the file."""
    return records.size if uses_native() else (DECODED_FACTOR - 1) * records.size


async def _hold_only(memory: Lease, size: int) -> None:
    """Pays for `size` bytes, no more and no less."""
    if memory.held > size:
        memory.give_back(memory.held - size)
    else:
        await memory.take(size - memory.held)


def _prove(
    run: Run, chunk: TransactionChunk, records: FramedRecords, proof: TransactionProof, last: int
) -> tuple[Transactions, Voucher | None]:
    """Ties one chunk's records to its ledger info: pure, in any order."""
    first = chunk.first_version
    with located(file=chunk.transactions):
        transactions = prove_transactions(run.domain, records, chunk.format, first_version=first)
    seed, ledger_info, leaves = run.domain.transaction_accumulator, proof.signed.info, transactions.leaves
    with located(file=chunk.proof, version=chunk.last_version):
        run.history.verify(proof.signed)
        if ledger_info.version < chunk.last_version:
            raise ProofError(
                "ledger info does not cover the chunk", expected=chunk.last_version, found=ledger_info.version
            )
        proof.range.verify(seed, leaves, first, root=ledger_info.executed_state_id)
        if chunk.last_version < last:
            return transactions, None
        return transactions, Voucher(proof.signed.raw, proof.range.narrowed(seed, leaves, first, keep=last))


def _stage(
    run: Run, chunk: TransactionChunk, transactions: Transactions, part: range, replay_from: int | None
) -> list[StagedTransactions]:
    """Makes the rows of what is wanted of a chunk ready to be kept."""
    with located(file=chunk.transactions):
        return run.target.stage_transactions(transactions, part, replay_from=replay_from)
