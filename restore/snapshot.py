"""State snapshots: every chunk proven against the signed root, then kept.

Chunks are read and decoded concurrently, and joined in manifest order. Nothing reaches the target that its
range proof has not tied to the root; and since a manifest whose last chunks were cut off passes every one of
those proofs, the finished tree must have the manifest's root too.

Source: spec/backup-format.md 6.2; spec/ledger-hashing.md 5 and 6.9.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from restore.catalog.entries import StateSnapshotEntry
from restore.catalog.loading import load_state_snapshot_manifest
from restore.catalog.manifests import StateSnapshotChunk, StateSnapshotManifest
from restore.crypto.digest import sha3_256
from restore.errors import ManifestError, ProofError, located
from restore.fetch import Hold
from restore.flow.stream import OrderedStream
from restore.kernel.choice import uses_native
from restore.ledger.hashes import Domain
from restore.ledger.state import Usage
from restore.proof.builder import NodeRow, TreeState
from restore.proof.columns import PreparedChunk
from restore.proof.edge import Edge
from restore.proof.files import parse_range_proof, parse_state_proof
from restore.proof.frontier import FrontierState
from restore.proof.items import StateItems, read_items
from restore.proof.snapshot import FrontierProver, SnapshotProver, TreeProver
from restore.report.events import Advanced, PhaseFinished, PhaseStarted
from restore.report.stopwatch import Stopwatch, timed
from restore.run import Run
from restore.target.base import SnapshotRows
from restore.target.staged import StagedChunk
from restore.wire.records import FramedRecords

RestoreMode: TypeAlias = Literal["default", "kv_only", "tree_only"]
"""What is kept of a snapshot: values and tree, values only, or the tree only. All three are proven alike."""

DECODED_FACTOR = 8
"""Memory of a chunk decoded to objects over its encoded bytes: 4.7 was measured for items of 500 bytes
(`benchmarks/memory.py`), and smaller items take more."""

COLUMN_BYTES = 320
"""Memory of an item decoded by the kernel besides its encoded bytes, while the tree is built: spans and
hashes 88, nodes twice 48 for each of 1.4, what is worked with the rest."""


NOTHING = Usage(0, 0)


@dataclass(frozen=True, slots=True)
class SnapshotPosition:
    """How far a snapshot is: all that continues it.

    Attributes:
        chunk: index of the next chunk.
        usage: items and bytes of the chunks before it.
        tree: open nodes, where nodes are kept.
        frontier: the frontier, where they are not.
    """

    chunk: int = 0
    usage: Usage = NOTHING
    tree: TreeState | None = None
    frontier: FrontierState | None = None


@dataclass(frozen=True, slots=True)
class FinishedSnapshot:
    """A snapshot that is whole: its proven root and exact usage."""

    root: bytes
    usage: Usage


@dataclass(frozen=True, slots=True)
class _Chunk:
    """One chunk as read, decoded and staged: not yet joined to the tree, so not yet proven."""

    chunk: StateSnapshotChunk
    edge: Edge
    staged: StagedChunk
    usage: Usage
    right_siblings: tuple[bytes, ...]
    size: int
    hold: Hold
    watch: Stopwatch


@dataclass(frozen=True, slots=True)
class _Work:
    """What is done with each chunk of one snapshot."""

    run: Run
    manifest: StateSnapshotManifest
    prover: SnapshotProver
    keeps_values: bool


Commit: TypeAlias = Callable[[SnapshotPosition], Awaitable[None]]


async def restore_snapshot(
    run: Run,
    entry: StateSnapshotEntry,
    *,
    mode: RestoreMode,
    start: SnapshotPosition,
    commit: Commit,
) -> FinishedSnapshot:
    """Proves one snapshot and keeps it, from `start` on.

    Args:
        run: the run's means.
        entry: which snapshot.
        mode: what is kept.
        start: where an earlier run stopped; the beginning by default.
        commit: called after each chunk is durable, with the position after it.

    Raises:
        ManifestError: manifest, metadata line and data contradict each other.
        ProofError: a chunk, or the whole, does not lead to the signed root.
        TrustError: nothing trusted vouches for the root.

    Bounds: the run's budgets.
    """
    with located(version=entry.version):
        manifest = await _load_proven_manifest(run, entry)
        prover: SnapshotProver = FrontierProver(run.domain, start.frontier)
        if run.target.keeps_data and mode != "kv_only":
            prover = TreeProver(run.domain, entry.version, start.tree)
        work = _Work(run, manifest, prover, keeps_values=run.target.keeps_data and mode != "tree_only")
        phase = f"state snapshot {entry.version}"
        return await _restore(work, phase if mode == "default" else f"{phase} ({mode})", start, commit)


async def _restore(work: _Work, phase: str, start: SnapshotPosition, commit: Commit) -> FinishedSnapshot:
    run, manifest, prover = work.run, work.manifest, work.prover
    workers, version = run.fetcher.workers, manifest.version

    async def read(chunk: StateSnapshotChunk) -> _Chunk:
        run.tell_depth(phase, stream)
        with run.fetcher.holding() as hold:
            return await _read_chunk(work, chunk, hold, Stopwatch(run.report, phase))

    items = manifest.chunks[-1].last_idx + 1 if manifest.chunks else 0
    run.report(PhaseStarted(phase, "items", items, done=start.usage.items))
    usage = start.usage
    pending = manifest.chunks[start.chunk :]
    async with OrderedStream(
        pending, read, concurrency=run.fetcher.slots, discard=lambda chunk: chunk.hold.release()
    ) as stream:
        index = start.chunk
        async for chunk in stream:
            run.tell_depth(phase, stream)
            items = chunk.usage.items
            chunk.watch.lap("turn")
            nodes = await workers.run(_join, prover, chunk, manifest.root_hash)
            chunk.watch.lap("prove", items=items, size=chunk.size)
            usage += chunk.usage
            await run.target.save_snapshot_rows(
                SnapshotRows(version, chunk.staged, nodes, chunk.chunk.last_key, usage)
            )
            index += 1
            await commit(SnapshotPosition(index, usage, *prover.states()))
            chunk.watch.lap("save", items=items, size=chunk.size)
            run.report(Advanced(phase, items, chunk.size))
            chunk.hold.release()
    root, nodes = await workers.run(prover.finish)
    if root != manifest.root_hash:
        raise ProofError(
            "the snapshot's chunks are not the whole state: the finished tree has another root",
            expected=manifest.root_hash,
            found=root,
        )
    await run.target.finish_snapshot(version, usage, nodes=nodes)
    run.report(PhaseFinished(phase))
    return FinishedSnapshot(root, usage)


async def _load_proven_manifest(run: Run, entry: StateSnapshotEntry) -> StateSnapshotManifest:
    """Loads the manifest and ties its root to a trusted ledger info."""
    manifest = await load_state_snapshot_manifest(run.fetcher.storage, entry.manifest)
    if (manifest.version, manifest.epoch) != (entry.version, entry.epoch):
        raise ManifestError(
            "manifest is of another snapshot than its metadata line",
            file=entry.manifest,
            expected=f"version {entry.version} of epoch {entry.epoch}",
            found=f"version {manifest.version} of epoch {manifest.epoch}",
        )
    with run.fetcher.holding() as hold:
        data = await run.fetcher.read_small(manifest.proof, hold)
        await run.fetcher.workers.run(_verify_root, run, manifest, data)
        hold.release()
    return manifest


def _verify_root(run: Run, manifest: StateSnapshotManifest, data: bytes) -> None:
    with located(file=manifest.proof):
        proof = parse_state_proof(data)
        ledger_info = proof.signed.info
        run.history.verify(proof.signed)
        if ledger_info.epoch != manifest.epoch or ledger_info.version < manifest.version:
            raise ProofError(
                "ledger info does not cover the snapshot",
                expected=f"epoch {manifest.epoch}, version {manifest.version} or above",
                found=f"epoch {ledger_info.epoch}, version {ledger_info.version}",
            )
        leaf = sha3_256(run.domain.transaction_info + proof.info.raw)
        proof.proof.verify(
            run.domain.transaction_accumulator, leaf, manifest.version, root=ledger_info.executed_state_id
        )
        if proof.info.state_checkpoint_hash is None:
            raise ProofError("transaction of the snapshot's version has no state checkpoint")
        if proof.info.state_checkpoint_hash != manifest.root_hash:
            raise ProofError(
                "manifest has another root than the proven transaction",
                expected=proof.info.state_checkpoint_hash,
                found=manifest.root_hash,
            )


async def _read_chunk(work: _Work, chunk: StateSnapshotChunk, hold: Hold, watch: Stopwatch) -> _Chunk:
    fetcher, target = work.run.fetcher, work.run.target
    expected = chunk.last_idx - chunk.first_idx + 1
    async with fetcher.records(
        chunk.blobs, hold, watch, expected=expected, decoded_bytes=decoded_bytes
    ) as records:
        size = records.size
        (items, part), seconds = await fetcher.workers.run(
            timed, decode_chunk, work.run.domain, chunk, records, work.prover
        )
        watch.lap("decode", items=expected, size=size, seconds=seconds)
        values = items if work.keeps_values else None
        staged, seconds = await fetcher.workers.run(
            timed, target.stage_chunk, work.manifest.version, values, part.nodes
        )
        watch.lap("tables", items=expected, size=size, seconds=seconds)
        edge, usage = part.edge, items.usage
        # Nothing of what was read is needed any more; what waits for its turn is what is in no table file.
        del records, items, values, part
    hold.memory.give_back(max(0, hold.memory.held - staged.held_bytes))
    proof = await fetcher.read_small(chunk.proof, hold)
    with located(file=chunk.proof):
        right_siblings = parse_range_proof(proof)
    return _Chunk(chunk, edge, staged, usage, right_siblings, size, hold, watch)


def decoded_bytes(records: FramedRecords) -> int:
    """Memory that a chunk takes while it is decoded, besides the file."""
    return COLUMN_BYTES * records.count if uses_native() else (DECODED_FACTOR - 1) * records.size


def decode_chunk(
    domain: Domain, chunk: StateSnapshotChunk, records: FramedRecords, prover: SnapshotProver
) -> tuple[StateItems, PreparedChunk]:
    """From records to hashed items and the chunk's part of the tree: pure, no shared state."""
    with located(file=chunk.blobs):
        items = read_items(domain, records)
        for name, wanted, found in (
            ("first", chunk.first_key, items.leaf(0).key_hash),
            ("last", chunk.last_key, items.leaf(-1).key_hash),
        ):
            if wanted != found:
                raise ManifestError(
                    f"{name} key of the chunk is not the manifest's", expected=wanted, found=found
                )
        return items, prover.prepare(items)


def _join(prover: SnapshotProver, chunk: _Chunk, root: bytes) -> list[NodeRow]:
    """Joins the chunk to the tree and proves all leaves so far; only then may its rows be written."""
    with located(file=chunk.chunk.blobs):
        nodes = prover.join(chunk.edge)
        prover.prove(chunk.right_siblings, root=root)
        return nodes
