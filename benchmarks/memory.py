"""Memory of decoded chunks over their encoded bytes: what `decoded_bytes` in the controllers must cover.

    python -m benchmarks.memory
    APTOS_RESTORE_KERNEL=hashlib python -m benchmarks.memory

Each row decodes real chunks of a generated backup under `tracemalloc`, as a worker thread does, and compares
the peak, the file included, with its size. The factor charged to the memory budget is beside it. What the C
extension works with while it holds no lock is not seen here: `COLUMN_BYTES` says what that is made of.
"""

from __future__ import annotations

import argparse
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from benchmarks.samples import FOLDER, sample
from restore import epochs, snapshot, transactions
from restore.catalog.manifests import (
    parse_epoch_ending_manifest,
    parse_state_snapshot_manifest,
    parse_transaction_manifest,
)
from restore.ledger.hashes import APTOS
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.proof.batch import prove_transactions
from restore.proof.snapshot import FrontierProver, TreeProver
from restore.sample.spec import SampleSpec
from restore.wire.records import FramedRecords, cut_records


def main() -> None:
    """Measures and prints one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    spec = SampleSpec(
        state_items=100_000,
        transactions=6_000,
        epochs=8,
        validators=100,
        snapshot_chunks=8,
        snapshot_interval_epochs=0,
        transactions_per_backup=3_000,
        transaction_chunk_bytes=2 << 20,
    )
    root, _ = sample(spec, options.folder)
    print(f"{'chunk':<28} {'encoded MB':>10} {'besides MB':>10} {'factor':>7} {'charged':>8}")
    for name, file, decode, charged in _cases(root):
        records = framed(file.read_bytes())
        tracemalloc.start()
        kept = decode(records)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        del kept
        factor, charge = (1 + besides / records.size for besides in (peak, charged(records)))
        print(f"{name:<28} {records.size / 1e6:>10.2f} {peak / 1e6:>10.1f} {factor:>7.1f} {charge:>8.1f}")


def framed(data: bytes) -> FramedRecords:
    """The records of a whole file."""
    return FramedRecords(data, len(cut_records(data)))


def _cases(
    root: Path,
) -> list[tuple[str, Path, Callable[[FramedRecords], object], Callable[[FramedRecords], int]]]:
    state_file = next(root.glob("state_epoch_*/state.manifest"))
    state = parse_state_snapshot_manifest(state_file.read_bytes(), file=state_file.name)
    state_chunk = state.chunks[1]

    def decode_state(records: FramedRecords) -> object:
        return snapshot.decode_chunk(APTOS, state_chunk, records, TreeProver(APTOS, state.version))

    def prove_state(records: FramedRecords) -> object:
        return snapshot.decode_chunk(APTOS, state_chunk, records, FrontierProver(APTOS))

    files = sorted(root.glob("transaction_*/transaction.manifest"), key=lambda path: path.stat().st_size)
    saved = parse_transaction_manifest(files[-1].read_bytes(), file=files[-1].name)
    chunk = saved.chunks[1]

    def decode_transactions(records: FramedRecords) -> object:
        return prove_transactions(APTOS, records, chunk.format, first_version=chunk.first_version)

    ending_file = max(root.glob("epoch_ending_*/*.manifest"), key=lambda path: path.stat().st_size)
    endings = parse_epoch_ending_manifest(ending_file.read_bytes(), file=ending_file.name)

    def decode_endings(records: FramedRecords) -> object:
        return [SignedLedgerInfo.parse(record) for record in records.cut()]

    return [
        ("state, values and tree", root / state_chunk.blobs, decode_state, snapshot.decoded_bytes),
        ("state, proof only", root / state_chunk.blobs, prove_state, snapshot.decoded_bytes),
        ("transactions", root / chunk.transactions, decode_transactions, transactions.decoded_bytes),
        ("epoch endings", root / endings.chunks[0].ledger_infos, decode_endings, epochs.decoded_bytes),
    ]


if __name__ == "__main__":
    main()
