"""The options that commands share, each also an environment variable, and what they become.

Options that belong together are declared as one bundle, and reach the command as one value. Nothing heavy is
imported before a command really runs.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from restore.errors import UsageError

if TYPE_CHECKING:
    from restore.ledger.waypoint import Waypoint
    from restore.limits import Limits
    from restore.proof.trust import TrustPolicy
    from restore.storage.base import Storage

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
T = TypeVar("T")

ENV_PREFIX = "APTOS_RESTORE_"
MAX_U64 = (1 << 64) - 1
_SIZE = re.compile(r"([0-9]+)(?:([KMGT])(?:i?B)?)?", re.IGNORECASE)


def option(*names: str, **settings: Any) -> Decorator:
    """A click option that may also be given as `APTOS_RESTORE_<FLAG>`."""
    flag = next(name for name in names if name.startswith("--"))
    variable = ENV_PREFIX + flag.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, **settings)


def parse_version(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Option callback: a ledger version, an unsigned 64-bit number."""
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and int(value) <= MAX_U64):
        raise click.BadParameter(f"{value!r} is not a version (a number from 0 to {MAX_U64})")
    return int(value)


def parse_version_or_max(ctx: click.Context, param: click.Parameter, value: str) -> int | None:
    """Option callback: a version, or None for the word `max`."""
    return None if value == "max" else parse_version(ctx, param, value)


def parse_size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Option callback: bytes, with or without a binary unit: `1073741824`, `512M`, `2G`, `2GiB`."""
    if value is None:
        return None
    match = _SIZE.fullmatch(value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not a size such as 512M or 2G")
    return int(match[1]) << 10 * " KMGT".index((match[2] or " ").upper())


@dataclass(frozen=True, slots=True)
class SourceFlags:
    """Where the backup is, and how much of this machine reading it may take."""

    local_fs_dir: Path
    concurrent_downloads: int | None
    memory_budget: int | None

    def open_storage(self) -> Storage:
        """The storage that holds the backup."""
        from restore.storage.opening import open_storage

        return open_storage(local_fs_dir=self.local_fs_dir)

    def limits(self) -> Limits:
        """The bounds of the run."""
        from restore.limits import limits_of_process

        return limits_of_process(concurrency=self.concurrent_downloads, memory_bytes=self.memory_budget)


@dataclass(frozen=True, slots=True)
class TrustFlags:
    """What the user trusts."""

    trust_waypoint: tuple[str, ...]
    network: str | None
    trust_genesis: bool

    def policy(self, *, skip: bool = False) -> TrustPolicy:
        """The policy, checked: something must be trusted, unless checking is skipped by name.

        Raises:
            UsageError: nothing is trusted, or a waypoint that does not parse.
        """
        from restore.ledger.waypoint import PUBLISHED
        from restore.proof.trust import TrustPolicy

        published = () if self.network is None else (PUBLISHED[self.network],)
        waypoints = dict.fromkeys(published + parse_waypoints(self.trust_waypoint))
        policy = TrustPolicy(waypoints=tuple(waypoints), genesis=self.trust_genesis, skip=skip)
        policy.check()
        return policy


@dataclass(frozen=True, slots=True)
class TargetFlags:
    """Where the database goes."""

    target_db_dir: Path | None
    dry_run: bool

    def folder(self) -> Path | None:
        """The database's folder; None for a dry run.

        Raises:
            UsageError: not exactly one of the two was chosen.
        """
        if (self.target_db_dir is None) != self.dry_run:
            raise UsageError(
                "exactly one of --target-db-dir and --dry-run is needed",
                found="both" if self.dry_run else "neither",
                hint="--target-db-dir DIR restores; --dry-run checks the same and keeps nothing",
            )
        return self.target_db_dir


@dataclass(frozen=True, slots=True)
class RestoreFlags:
    """What every restore needs: from where, to where, up to what, and on whose word."""

    source: SourceFlags
    target: TargetFlags
    target_version: int | None
    trust: TrustFlags
    skip_epoch_endings: bool

    def policy(self) -> TrustPolicy:
        """What the user trusts, or that nothing is to be checked."""
        return self.trust.policy(skip=self.skip_epoch_endings)


def parse_waypoints(texts: tuple[str, ...]) -> tuple[Waypoint, ...]:
    """The waypoints of repeated `--trust-waypoint` options."""
    from restore.ledger.waypoint import Waypoint

    return tuple(map(Waypoint.parse, texts))


def bundle(name: str, kind: type[Any], *options: Decorator) -> Decorator:
    """Declares `options`; their values reach the command as one `kind`, under `name`."""
    fields = [field.name for field in dataclasses.fields(kind)]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def gathered(**values: Any) -> Any:
            bundle = kind(**{field: values.pop(field) for field in fields})
            return command(**{name: bundle}, **values)

        declared: Callable[..., Any] = gathered
        for declare in reversed(options):
            declared = declare(declared)
        return declared

    return decorate


source_options = bundle(
    "source",
    SourceFlags,
    option(
        "--local-fs-dir",
        metavar="DIR",
        type=click.Path(path_type=Path),
        required=True,
        help="Folder of the backup.",
    ),
    option(
        "--concurrent-downloads",
        metavar="N",
        type=int,
        help="Chunks in progress at once.  [default: CPUs of this process]",
    ),
    option(
        "--memory-budget",
        metavar="SIZE",
        callback=parse_size,
        help="Bytes over queued, in-flight and decoded chunks, such as 512M or 2G; the oldest chunk may "
        "exceed it.  [default: a quarter of the memory of this process]",
    ),
)

waypoint_option = option(
    "--trust-waypoint",
    metavar="VERSION:HASH",
    multiple=True,
    help="A ledger info you trust, by version and hash; may be repeated (in the variable, with spaces).",
)

trust_options = bundle(
    "trust",
    TrustFlags,
    waypoint_option,
    option(
        "--network",
        type=click.Choice(["mainnet", "testnet"]),
        help="Trust the published genesis waypoint of this network.",
    ),
    option("--trust-genesis", is_flag=True, help="Take the backup's own genesis on trust."),
)

target_options = bundle(
    "target",
    TargetFlags,
    option(
        "--target-db-dir",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Folder of the database to restore; the same command continues what is there.",
    ),
    option("--dry-run", is_flag=True, help="Check everything and keep nothing."),
)

target_version_option = option(
    "--target-version",
    metavar="N",
    callback=parse_version,
    help="Version to restore to.  [default: the newest that a node can open]",
)

history_start_option = option(
    "--ledger-history-start-version",
    metavar="N",
    callback=parse_version,
    help="First version whose state must stay readable.  [default: that of the state snapshot]",
)

skip_epochs_option = option(
    "--skip-epoch-endings",
    is_flag=True,
    help="Check no ledger info: what is read is consistent, but nobody vouches for it.",
)

accept_older_option = option(
    "--accept-older",
    is_flag=True,
    help="Take what the backup can give, where that is less than asked for.",
)

output_option = option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    expose_value=False,  # read before parsing: a usage error is printed in the form asked for too
    help="Form of the result on stdout; json prints one object and nothing else.",
)

restore_options = bundle(
    "restoring",
    RestoreFlags,
    source_options,
    target_options,
    target_version_option,
    trust_options,
    skip_epochs_option,
)
