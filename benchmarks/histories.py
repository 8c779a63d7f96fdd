"""A backup of epoch endings alone, with as many validators as a real network: for measuring signatures.

    python -m benchmarks.histories          makes it, and says where it is and what to trust

About 100 of the 150 validators sign, in a random choice that just reaches the quorum, and one of them is
replaced every epoch. There is no state and there are no transactions, so
`verify --start-version max --state-snapshot-before-version 0` checks all that is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.samples import FOLDER, keep
from restore.catalog.writer import BackupWriter, EpochEnding
from restore.flow.stop import run
from restore.ledger.hashes import APTOS
from restore.ledger.waypoint import Waypoint
from restore.sample.chain import FIRST_TIMESTAMP_USECS
from restore.sample.seed import Source
from restore.sample.validators import GENESIS, BlockEnd, Validators
from restore.storage.local import LocalFs

EPOCH_VERSIONS = 1000
"""Versions of an epoch; nothing depends on them but that they grow."""

EPOCH_USECS = 7_200_000_000
"""Two hours, as on mainnet."""

EPOCHS_PER_BACKUP = 100
"""Few files, so that signatures are what is measured."""


@dataclass(frozen=True, slots=True)
class HistorySpec:
    """How long the history is. The same spec makes the same bytes.

    Attributes:
        epochs: that end, after genesis.
        validators: of each epoch.
        seed: of everything in it.
    """

    epochs: int = 2000
    validators: int = 150
    seed: int = 1


def history(spec: HistorySpec, folder: Path) -> tuple[Path, str]:
    """The backup of `spec` below `folder`, and its genesis waypoint; made if it is not there yet.

    Bounds: some 5 ms for each epoch, and 90 bytes on disk for each of its validators.
    """

    def make(root: Path) -> str:
        root.mkdir()
        return run(lambda: _write(spec, root))

    return keep(spec, folder, make)


async def _write(spec: HistorySpec, root: Path) -> str:
    """Writes the backup; returns its genesis waypoint."""
    writer = BackupWriter(LocalFs(root))
    endings = _endings(spec)
    first = 0
    genesis = None
    while group := list(islice(endings, EPOCHS_PER_BACKUP)):
        genesis = genesis or group[0].waypoint
        await writer.write_epoch_endings(group, first_epoch=first)
        first += len(group)
    return str(genesis)


def _endings(spec: HistorySpec) -> Iterator[EpochEnding]:
    """The ledger info that ends each epoch, genesis first."""
    validators = Validators(spec.seed, spec.validators, APTOS)
    source = Source(spec.seed, "history")
    for epoch in range(spec.epochs + 1):
        end = GENESIS
        if epoch:
            timestamp_usecs = FIRST_TIMESTAMP_USECS + epoch * EPOCH_USECS
            end = BlockEnd(
                epoch,
                round=1,
                id=source.take(32),
                version=epoch * EPOCH_VERSIONS,
                timestamp_usecs=timestamp_usecs,
            )
        signed = validators.sign(end, source.take(32), ends_epoch=True)
        yield EpochEnding(signed.raw, Waypoint.of(signed.info, APTOS))


def main() -> None:
    """Makes a history and says where it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = HistorySpec()
    parser.add_argument("--epochs", type=int, default=usual.epochs)
    parser.add_argument("--validators", type=int, default=usual.validators)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    backup, waypoint = history(
        HistorySpec(epochs=options.epochs, validators=options.validators), options.folder
    )
    print(f"{backup}\n{waypoint}")


if __name__ == "__main__":
    main()
