"""Joins chunks into a backup: the tree above the buckets, range proofs, the manifest, and the metadata.

Source: spec/backup-format.md sections 3, 4 and 8.1; spec/ledger-hashing.md section 5.4.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from benchmarks.samples import keep
from benchmarks.snapshots.chunks import Chunk, write_chunk
from benchmarks.snapshots.genesis import Genesis
from benchmarks.snapshots.items import Items
from benchmarks.snapshots.runs import Part, Run, write_run
from benchmarks.snapshots.spec import SnapshotSpec
from restore.catalog.entries import IdentityEntry, StateSnapshotEntry
from restore.catalog.manifests import HashValue, StateSnapshotChunk, StateSnapshotManifest, encode_manifest
from restore.catalog.writer import BackupWriter, EpochEnding
from restore.flow.stop import run
from restore.ledger.hashes import APTOS
from restore.ledger.waypoint import Waypoint
from restore.sample.encode import sequence
from restore.sample.tree import NOTHING, Node, join, right_siblings
from restore.storage.base import FileHandle, Storage
from restore.storage.gzipped import Gzipped
from restore.storage.local import LocalFs

T = TypeVar("T")

BACKUP = "state_epoch_0_ver_0.0000"


def snapshot(spec: SnapshotSpec, folder: Path) -> tuple[Path, str]:
    """The backup of `spec` below `folder`, and its genesis waypoint; made if it is not there yet.

    Raises:
        UsageError: the spec is impossible.

    Bounds: for each CPU, the items of one chunk and 120 MB; besides, 40 bytes an item of temporary files.
    """
    spec.check()

    def make(root: Path) -> str:
        state = root / BACKUP
        state.mkdir(parents=True)
        chunks = _write_chunks(spec, state)
        return run(lambda: _write_rest(chunks, root))

    return keep(spec, folder, make)


def _write_chunks(spec: SnapshotSpec, state: Path) -> list[Chunk]:
    """Writes all chunks into the folder `state`, by worker processes."""
    with (
        tempfile.TemporaryDirectory(dir=state.parent) as name,
        ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool,
    ):
        scratch = Path(name)
        runs = _results(
            pool.submit(_write_run, spec, indices, scratch / f"run-{number}")
            for number, indices in enumerate(spec.runs())
        )
        jobs = []
        first = 0
        for buckets in spec.chunks():
            parts = [run.part(buckets) for run in runs]
            jobs.append(pool.submit(_write_chunk, spec, parts, buckets, state / f"{first}-.chunk"))
            first += sum(part.stop - part.start for part in parts)
        return _results(jobs)


def _results(jobs: Iterable[Future[T]]) -> list[T]:
    return [job.result() for job in list(jobs)]


@cache
def _items(seed: int) -> Items:
    """Those of a worker process, made once."""
    return Items(seed)


def _write_run(spec: SnapshotSpec, indices: range, file: Path) -> Run:
    return write_run(_items(spec.seed), indices, file, bucket_bits=spec.bucket_bits)


def _write_chunk(spec: SnapshotSpec, parts: Sequence[Part], buckets: range, file: Path) -> Chunk:
    return write_chunk(_items(spec.seed), parts, buckets, file, bucket_bits=spec.bucket_bits)


def _top(buckets: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes down to the buckets, numbered as in `StateTree.top`."""
    nodes = [*[NOTHING] * len(buckets), *buckets]
    for number in range(len(buckets) - 1, 0, -1):
        nodes[number] = join(APTOS.sparse_internal, nodes[2 * number], nodes[2 * number + 1])
    return tuple(nodes)


async def _write_rest(chunks: Sequence[Chunk], root: Path) -> str:
    """Writes all but the chunk files; returns the genesis waypoint."""
    storage = Gzipped(LocalFs(root), packs=True)
    writer = BackupWriter(storage)
    await writer.save_metadata(IdentityEntry(bytes(32).hex()))
    top = _top([node for chunk in chunks for node in chunk.nodes])
    genesis = Genesis(top[1].hash)
    waypoint = Waypoint.of(genesis.signed.info, APTOS)
    await writer.write_epoch_endings([EpochEnding(genesis.signed.raw, waypoint)], first_epoch=0)
    await writer.write_transactions([genesis.record], first_version=0, prove=genesis.prove)
    listed = []
    first = 0
    for chunk in chunks:
        keys, leaves = chunk.last_pair
        siblings = right_siblings(APTOS.sparse_internal, top, keys, leaves, position=len(keys) - 1)
        last = first + chunk.count - 1
        proof = await _save(storage, f"{first}-{last}.proof", sequence(siblings))
        listed.append(
            StateSnapshotChunk(
                first, last, HashValue(chunk.first_key), HashValue(chunk.last_key),
                f"{BACKUP}/{first}-.chunk", proof,
            )
        )  # fmt: skip
        first = last + 1
    proof = await _save(storage, "state.proof", genesis.state_proof)
    manifest = StateSnapshotManifest(0, 0, HashValue(top[1].hash), tuple(listed), proof)
    handle = await _save(storage, "state.manifest", encode_manifest(manifest))
    await writer.save_metadata(StateSnapshotEntry(0, 0, handle))
    return str(waypoint)


async def _save(storage: Storage, name: str, data: bytes) -> FileHandle:
    async with storage.create_for_write(BACKUP, name) as file:
        await file.write(data)
    return file.handle
