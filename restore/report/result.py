"""The one JSON object that a command ends with: it describes the database, not the run."""

from __future__ import annotations

from typing import Any

import msgspec

from restore.errors import RestoreError

SCHEMA = 1
"""Version of the object's shape; it grows by new fields only."""


class UsageResult(msgspec.Struct, frozen=True):
    """Items and bytes of a state."""

    items: int
    bytes: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a successful command proved, and wrote where it writes.

    Attributes:
        trust: "waypoint", "genesis" or "none": what the proofs end in.
        waypoints: the trusted ones, as text.
        requested_version: what the user asked for; None if nothing.
        target_version: T, the last version of the database.
        snapshot_version: V, the version of the state tree.
        state_root_hash: root of the state tree at V, hex.
        state_items: leaves of the tree at V.
        state_bytes: bytes of keys and values at V.
        usage_at_target: usage at T; None where no state at T was built.
        transactions: T - first saved version + 1.
        epochs: ledger infos at or below T.
        ledger_version: last version proven under a signed ledger info.
        accumulator_root_hash: root over the leaves 0..ledger_version, hex.
        seconds: wall time of the command.
    """

    command: str
    trust: str
    waypoints: tuple[str, ...] = ()
    requested_version: int | None = None
    target_version: int | None = None
    snapshot_version: int | None = None
    state_root_hash: str | None = None
    state_items: int | None = None
    state_bytes: int | None = None
    usage_at_target: UsageResult | None = None
    transactions: int | None = None
    epochs: int | None = None
    ledger_version: int | None = None
    accumulator_root_hash: str | None = None
    seconds: float = 0.0


def failure_object(error: RestoreError, *, command: str, seconds: float) -> dict[str, Any]:
    """The JSON object of a command that ended with `error`, with what is known of place and values."""
    known = {
        name: value
        for name in ("file", "version", "offset", "expected", "found")
        if (value := getattr(error, name)) is not None
    }
    return {
        "schema": SCHEMA,
        "status": "error",
        "exit_code": error.exit_code,
        "command": command,
        "seconds": round(seconds, 3),
        "error": type(error).__name__,
        "message": str(error),
        "hint": error.hint,
    } | known
