"""A result as lines for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from restore.cli.output import Answer, table
from restore.report.figures import show_bytes, show_seconds

if TYPE_CHECKING:
    from restore.report.result import Result

_TRUST = {
    "waypoint": "a trusted waypoint",
    "genesis": "its own genesis, taken on trust",
    "none": "NOTHING: ledger infos were not checked",
}


def answer_of(result: Result, headline: str) -> Answer:
    """The answer of a command that ended well; `headline` says in words what was done."""
    import msgspec

    return Answer(
        msgspec.to_builtins(result), f"{headline} in {show_seconds(result.seconds)}\n{result_table(result)}"
    )


def answer_of_restore(result: Result, folder: Path | None) -> Answer:
    """The answer of a restore into `folder`, or of a dry run."""
    return answer_of(result, "dry run: proven" if folder is None else f"restored into {folder}")


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
            ("trust ends in", _TRUST[result.trust]),
        ]
    )


def _usage(items: int, size: int) -> str:
    return f"{items:,} items, {show_bytes(size)}"
