"""Flags of the Rust tool that scripts pass and that have no meaning here: ignored and said once, or refused.

Ignored are those that tune what this tool does not have; refused are those that ask for what it does not do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import click

from restore.cli.options import Decorator, option
from restore.errors import UsageError

_IGNORED = "restore.cli.legacy.ignored"

_DATABASE_VALUES = (
    "--replay-concurrency-level",
    "--ledger-db-max-open-files",
    "--ledger-db-max-total-wal-size",
    "--state-merkle-db-max-open-files",
    "--state-merkle-db-max-total-wal-size",
    "--state-kv-db-max-open-files",
    "--state-kv-db-max-total-wal-size",
    "--index-db-max-open-files",
    "--index-db-max-total-wal-size",
    "--max-background-jobs",
    "--block-cache-size",
)

_NOT_TUNED = "the database here is not tuned by hand, and always sharded"

_DATABASE_FLAGS = ("--enable-storage-sharding", "--enable-state-indices")

NO_MOVE_VM = (
    "this tool has no Move VM: it applies the recorded write sets, each checked against its state_change_hash"
)


def ignored_notices(ctx: click.Context) -> list[str]:
    """One sentence for each reason why flags that were given are ignored."""
    given: dict[str, list[str]] = ctx.meta.get(_IGNORED, {})
    return [f"{', '.join(flags)} ignored: {reason}" for reason, flags in given.items()]


def _ignored(flag: str, reason: str, *, is_flag: bool = False) -> Decorator:
    def remember(ctx: click.Context, _param: click.Parameter, value: object) -> None:
        if value:
            ctx.meta.setdefault(_IGNORED, {}).setdefault(reason, []).append(flag)

    return option(flag, is_flag=is_flag, hidden=True, expose_value=False, callback=remember)


def _all(*options: Decorator) -> Decorator:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for declare in reversed(options):
            command = declare(command)
        return command

    return decorate


ignored_database_options = _all(
    *(_ignored(flag, _NOT_TUNED) for flag in _DATABASE_VALUES),
    *(_ignored(flag, _NOT_TUNED, is_flag=True) for flag in _DATABASE_FLAGS),
)


def refused_option(flag: str) -> Decorator:
    """A flag that asks for a Move VM."""

    def refuse(_ctx: click.Context, _param: click.Parameter, value: object) -> None:
        if value:
            raise UsageError(f"{flag} is not supported", hint=NO_MOVE_VM)

    return option(flag, is_flag=True, hidden=True, expose_value=False, callback=refuse)


@click.command(
    "replay-verify", hidden=True, add_help_option=False, context_settings={"ignore_unknown_options": True}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, expose_value=False)
def replay_verify() -> NoReturn:
    """Refused: needs a Move VM."""
    raise UsageError("replay-verify is not supported", hint=f"{NO_MOVE_VM}; verify checks the backup itself")
