"""Whole commands on many transactions: `verify`, and what writes them into a database on disk.

`oneoff transaction` saves them and nothing else; `bootstrap-db` from genesis's snapshot replays them besides,
so that all values change as they say.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from benchmarks.figures import Row
from benchmarks.processes import Measured, measure
from benchmarks.rounds import in_turn
from benchmarks.samples import packed_sample
from benchmarks.sections.commands import (
    PURE_KERNEL,
    command_rows,
    published_row,
    unpack_rate,
    unpacked_bytes,
    unpacking_row,
)
from benchmarks.sections.state import restore
from benchmarks.settings import Setting
from restore.sample.spec import SampleSpec

VERIFY, SAVE, REPLAY = "verify: transactions", "oneoff transaction", "bootstrap-db: transactions replayed"

PUBLISHED_TRANSACTIONS = 35_000.0
"""Transactions a second of the Rust tool, published in 2023: a full restore."""

MUST_VERIFY, MUST_SAVE = 120e3, 50e3
"""Transactions a second on two cores."""

CHUNK_BYTES = 8 << 20

HOT_STATE_SHARE = 3
"""Transactions for each state item: all of them touch a state that is small beside them."""


def spec_of(transactions: int) -> SampleSpec:
    """A chain of so many transactions, all but genesis in one backup; its only snapshot is genesis's."""
    return SampleSpec(
        state_items=1000 + transactions // HOT_STATE_SHARE,
        epochs=4,
        tail_epochs=4,
        transactions=transactions,
        snapshot_interval_epochs=0,
        snapshot_chunks=1,
        transactions_per_backup=transactions,
        transaction_chunk_bytes=CHUNK_BYTES,
    )


def rows(setting: Setting) -> list[Row]:
    """Measures each command, and each once more by the pure Python path."""
    sizes = setting.sizes
    backup, waypoint = packed_sample(spec_of(sizes.transactions), setting.folder)
    small, small_waypoint = packed_sample(spec_of(sizes.pure_transactions), setting.folder)
    commands = in_turn(
        {
            "verify": partial(_verify, backup, waypoint),
            "pure verify": partial(_verify, small, small_waypoint, kernel=PURE_KERNEL),
            "save": partial(_save, backup, waypoint, setting.scratch),
            "pure save": partial(_save, small, small_waypoint, setting.scratch, kernel=PURE_KERNEL),
            "replay": partial(restore, backup, waypoint, setting.scratch),
            "pure replay": partial(restore, small, small_waypoint, setting.scratch, kernel=PURE_KERNEL),
        },
        sizes.rounds,
    )
    limits = in_turn({"unpack": partial(unpack_rate, backup, setting.scratch)}, sizes.rounds)["unpack"]
    verified, saved, replayed = commands["verify"], commands["save"], commands["replay"]
    return [
        *command_rows(VERIFY, "transactions", verified, commands["pure verify"], must=MUST_VERIFY),
        unpacking_row(VERIFY, verified, unpacked_bytes(backup), limits),
        *command_rows(SAVE, "transactions", saved, commands["pure save"], must=MUST_SAVE),
        published_row(SAVE, "transactions", saved, PUBLISHED_TRANSACTIONS),
        *command_rows(REPLAY, "transactions", replayed, commands["pure replay"]),
    ]


def _verify(backup: Path, waypoint: str, *, kernel: str | None = None) -> Measured:
    source = ["--local-fs-dir", str(backup), "--trust-waypoint", waypoint]
    return measure(["verify", *source, "--state-snapshot-before-version", "0"], kernel=kernel)


def _save(backup: Path, waypoint: str, scratch: Path, *, kernel: str | None = None) -> Measured:
    """Saves the backup that holds all transactions but genesis; nothing is replayed."""
    target = scratch / "database"
    manifest = next(backup.glob("transaction_1-*/transaction.manifest")).relative_to(backup)
    source = ["--local-fs-dir", str(backup), "--trust-waypoint", waypoint, "--target-db-dir", str(target)]
    try:
        return measure(
            ["oneoff", "transaction", *source, "--transaction-manifest", str(manifest)], kernel=kernel
        )
    finally:
        shutil.rmtree(target, ignore_errors=True)
