"""A result as lines for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from restore.cli.output import Answer, table
from restore.report.figures import show_bytes, show_count, show_seconds

if TYPE_CHECKING:
    from restore.report.result import Result

_WAYPOINTS_SHOWN = 3
_HASH_DIGITS = 8
"""Of a waypoint's hash: enough to know it again; the JSON object has it whole."""


def answer_of(result: Result, headline: str) -> Answer:
    """The answer of a command that ended well; `headline` says what is true now."""
    import msgspec

    return Answer(msgspec.to_builtins(result), f"{headline}\n{result_table(result)}")


def answer_of_restore(result: Result, folder: Path | None, *, headline: str) -> Answer:
    """The answer of a restore into `folder`, or of a dry run."""
    return answer_of(result, "dry run: proven" if folder is None else headline)


def result_table(result: Result) -> str:
    """What the database, or the backup, holds."""
    state = later = None
    if result.state_items is not None and result.state_bytes is not None:
        state = _usage(result.state_items, result.state_bytes)
    if result.usage_at_target is not None and result.target_version != result.snapshot_version:
        later = _usage(result.usage_at_target.items, result.usage_at_target.bytes)
    return table(
        [
            ("version", result.target_version),
            (f"state at {result.snapshot_version}", state),
            ("state root hash", result.state_root_hash),
            (f"state at {result.target_version}", later),
            ("transactions", None if result.transactions is None else f"{result.transactions:,}"),
            ("epoch endings", result.epochs),
            ("proven up to", result.ledger_version),
            ("accumulator root", result.accumulator_root_hash),
            ("trust ends in", _trust(result)),
            ("time taken", show_seconds(result.seconds)),
        ]
    )


def _trust(result: Result) -> str:
    """What the proofs end in, with the waypoints that were trusted."""
    if result.trust == "none":
        return "NOTHING: ledger infos were not checked"
    waypoints = _waypoints(result.waypoints)
    if result.trust == "genesis":
        return f"its own genesis, taken on trust{waypoints and f'; also {waypoints}'}"
    return waypoints or "a trusted waypoint"


def _waypoints(texts: tuple[str, ...]) -> str:
    """Waypoints, shortened, with the networks that publish them: `waypoint 0:6072b68a… (mainnet)`."""
    from restore.ledger.waypoint import PUBLISHED

    networks = {str(waypoint): f" ({network})" for network, waypoint in PUBLISHED.items()}
    shown = []
    for text in texts[:_WAYPOINTS_SHOWN]:
        version, _, value = text.partition(":")
        shown.append(f"{version}:{value[:_HASH_DIGITS]}…{networks.get(text, '')}")
    if len(texts) > len(shown):
        shown.append(f"{len(texts) - len(shown)} more")
    return f"waypoint{'s' if len(texts) > 1 else ''} {', '.join(shown)}" if shown else ""


def _usage(items: int, size: int) -> str:
    return f"{show_count(items, 'items')}, {show_bytes(size)}"
