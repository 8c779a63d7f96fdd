"""Checks trusted waypoints against the ledger infos that a database holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from restore.errors import TrustError
from restore.ledger.hashes import Domain
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.ledger.waypoint import Waypoint
from restore.target.schema import EPOCH_BY_VERSION, LEDGER_INFO, u64
from restore.target.store import RocksStore


def check_stored_waypoints(
    root: Path, waypoints: Sequence[Waypoint], *, domain: Domain, target_version: int
) -> None:
    """Checks each waypoint at or below `target_version`; blocks, and writes nothing.

    Raises:
        TrustError: a waypoint is not of the epoch ending stored for its version.
        DamagedTargetError: a part of the database is missing.
    """
    store = RocksStore.open(root, read_only=True)
    try:
        for waypoint in waypoints:
            if waypoint.version <= target_version:
                epoch = store.get(EPOCH_BY_VERSION, u64(waypoint.version))
                raw = None if epoch is None else store.get(LEDGER_INFO, epoch)
                found = None if raw is None else Waypoint.of(SignedLedgerInfo.parse(raw).info, domain)
                if found != waypoint:
                    raise TrustError(
                        "the database is not the one of the trusted waypoint",
                        version=waypoint.version,
                        expected=waypoint,
                        found=found or "no epoch ending",
                        hint="restore into an empty folder, or check --trust-waypoint",
                    )
    finally:
        store.close()
