"""State snapshots: every chunk proven against the signed root, then kept.

Chunks are read and decoded concurrently, and joined in manifest order. Nothing reaches the target that its
range proof has not tied to the root; and since a manifest whose last chunks were cut off passes every one of
those proofs, the finished tree must have the manifest's root too.

Source: spec/backup-format.md 6.2; spec/ledger-hashing.md 5 and 6.9.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Literal, TypeAlias, TypeVar

from restore.catalog.entries import StateSnapshotEntry
from restore.catalog.loading import load_state_snapshot_manifest
from restore.catalog.manifests import StateSnapshotChunk, StateSnapshotManifest
from restore.crypto.digest import sha3_256
from restore.errors import ManifestError, ProofError, located
from restore.fetch import Hold
from restore.flow.stream import OrderedStream
from restore.ledger.hashes import Domain
from restore.ledger.state import Usage, hash_keys, hash_values, item_usage, split_state_record
from restore.proof.builder import NodeRow, TreeLeaf, TreeState
from restore.proof.files import parse_range_proof, parse_state_proof
from restore.proof.frontier import FrontierState
from restore.proof.snapshot import FrontierProver, SnapshotProver, TreeProver
from restore.report.events import Advanced, PhaseFinished, PhaseStarted
from restore.run import Run
from restore.target.base import SnapshotRows

RestoreMode: TypeAlias = Literal["default", "kv_only", "tree_only"]
"""What is kept of a snapshot: values and tree, values only, or the tree only. All three are proven alike."""

DECODED_FACTOR = 8
"""Memory of a decoded chunk over its encoded bytes: 4.7 was measured for items of 500 bytes
(`benchmarks/memory.py`), and smaller items take more."""

Part = TypeVar("Part")


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
class _Chunk(Generic[Part]):
    """One chunk as read and decoded: not yet joined to the tree, so not yet proven."""

    chunk: StateSnapshotChunk
    values: list[tuple[bytes, bytes]]
    part: Part
    usage: Usage
    right_siblings: tuple[bytes, ...]
    size: int
    hold: Hold


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
        if run.target.keeps_data and mode != "kv_only":
            return await _restore(
                run, manifest, TreeProver(run.domain, entry.version, start.tree), mode, start, commit
            )
        return await _restore(run, manifest, FrontierProver(run.domain, start.frontier), mode, start, commit)


async def _restore(
    run: Run,
    manifest: StateSnapshotManifest,
    prover: SnapshotProver[Part],
    mode: RestoreMode,
    start: SnapshotPosition,
    commit: Commit,
) -> FinishedSnapshot:
    workers, version = run.fetcher.workers, manifest.version
    keeps_values = run.target.keeps_data and mode != "tree_only"

    async def read(chunk: StateSnapshotChunk) -> _Chunk[Part]:
        with run.fetcher.holding() as hold:
            return await _read_chunk(run, chunk, prover, hold, keeps_values=keeps_values)

    phase = f"state snapshot {version}" if mode == "default" else f"state snapshot {version} ({mode})"
    items = manifest.chunks[-1].last_idx + 1 if manifest.chunks else 0
    run.report(PhaseStarted(phase, "items", items, done=start.usage.items))
    usage = start.usage
    pending = manifest.chunks[start.chunk :]
    async with OrderedStream(
        pending, read, concurrency=run.fetcher.slots, discard=lambda chunk: chunk.hold.release()
    ) as stream:
        index = start.chunk
        async for chunk in stream:
            nodes = await workers.run(_join, prover, chunk, manifest.root_hash)
            usage += chunk.usage
            await run.target.save_snapshot_rows(
                SnapshotRows(version, chunk.values, nodes, chunk.chunk.last_key, usage)
            )
            index += 1
            await commit(SnapshotPosition(index, usage, *prover.states()))
            run.report(Advanced(phase, chunk.usage.items, chunk.size))
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


async def _read_chunk(
    run: Run,
    chunk: StateSnapshotChunk,
    prover: SnapshotProver[Part],
    hold: Hold,
    *,
    keeps_values: bool,
) -> _Chunk[Part]:
    records, size = await run.fetcher.read_records(
        chunk.blobs, hold, expected=chunk.last_idx - chunk.first_idx + 1, factor=DECODED_FACTOR
    )
    proof = await run.fetcher.read_small(chunk.proof, hold)
    with located(file=chunk.proof):
        right_siblings = parse_range_proof(proof)
    values, part, usage = await run.fetcher.workers.run(
        partial(decode_chunk, run.domain, chunk, records, prover, keeps_values=keeps_values)
    )
    return _Chunk(chunk, values, part, usage, right_siblings, size, hold)


def decode_chunk(
    domain: Domain,
    chunk: StateSnapshotChunk,
    records: Sequence[bytes],
    prover: SnapshotProver[Part],
    *,
    keeps_values: bool,
) -> tuple[list[tuple[bytes, bytes]], Part, Usage]:
    """From records to values by key hash, the chunk's part of the tree, and usage: pure, no shared state."""
    with located(file=chunk.blobs):
        items = [split_state_record(record) for record in records]
        keys = hash_keys(domain, [item.key for item in items])
        for name, wanted, found in (("first", chunk.first_key, keys[0]), ("last", chunk.last_key, keys[-1])):
            if wanted != found:
                raise ManifestError(
                    f"{name} key of the chunk is not the manifest's", expected=wanted, found=found
                )
        hashes = hash_values(domain, [item.value for item in items])
        leaves = [
            TreeLeaf(key, value, item.key) for key, value, item in zip(keys, hashes, items, strict=True)
        ]
        part = prover.prepare(leaves)
        values = [(key, item.value) for key, item in zip(keys, items, strict=True)] if keeps_values else []
        return values, part, item_usage(items)


def _join(prover: SnapshotProver[Part], chunk: _Chunk[Part], root: bytes) -> list[NodeRow]:
    """Joins the chunk to the tree and proves all leaves so far; only then may its rows be written."""
    with located(file=chunk.chunk.blobs):
        nodes = prover.join(chunk.part)
        prover.prove(chunk.right_siblings, root=root)
        return nodes
