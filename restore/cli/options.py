"""The options that commands share, each also an environment variable, and what they become.

Options that belong together are declared as one bundle, and reach the command as one value. Nothing heavy is
imported before a command really runs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
from click.core import ParameterSource

from restore.cli.values import (
    GivenPath,
    LimitRate,
    Seconds,
    parse_concurrency,
    parse_limit_rate,
    parse_size,
    parse_version,
)
from restore.errors import UsageError
from restore.report.figures import show_bytes

if TYPE_CHECKING:
    from restore.catalog.mirror import MirrorOptions
    from restore.ledger.waypoint import Waypoint
    from restore.limits import Limits
    from restore.proof.trust import TrustPolicy
    from restore.storage.opening import Source

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
T = TypeVar("T")

ENV_PREFIX = "APTOS_RESTORE_"


def option(*names: str, **settings: Any) -> Decorator:
    """A click option that may also be given as `APTOS_RESTORE_<FLAG>`."""
    flag = next(name for name in names if name.startswith("--"))
    variable = ENV_PREFIX + flag.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, **settings)


@dataclass(frozen=True, slots=True)
class BoundFlags:
    """How much of this machine reading a backup may take."""

    concurrent_downloads: int | Literal["auto"] | None
    workers: int | None
    memory_budget: int | None

    def limits(self) -> Limits:
        """The bounds of the run; says on stderr if the memory cannot be meant."""
        from restore.limits import available_memory, limits_of_process

        limits = limits_of_process(
            concurrency=self.concurrent_downloads,
            workers=self.workers,
            memory_bytes=self.memory_budget,
        )
        memory = available_memory()
        if limits.memory_bytes > memory:
            click.echo(
                f"warning: the memory budget of {show_bytes(limits.memory_bytes)} is more than the memory of "
                f"this process, {show_bytes(memory)}",
                err=True,
            )
        return limits


@dataclass(frozen=True, slots=True)
class SourceFlags:
    """Where the backup is, and how it is read."""

    storage: str | None
    local_fs_dir: Path | None
    command_adapter_config: Path | None
    no_native: bool
    endpoint_url: str | None
    region: str | None
    path_style: bool
    anonymous: bool
    limit_rate: LimitRate | None
    command_idle_timeout: float
    metadata_cache_dir: Path | None
    metadata_lock_timeout: float
    bounds: BoundFlags

    def metadata(self) -> MirrorOptions:
        """Where the backup's metadata is kept."""
        from restore.catalog.mirror import MirrorOptions

        return MirrorOptions(self.metadata_cache_dir, self.metadata_lock_timeout)

    def limits(self) -> Limits:
        """The bounds of the run."""
        return self.bounds.limits()

    def source(self) -> Source:
        """What the storage is opened from.

        Raises:
            UsageError: not exactly one storage is named, or it is named wrongly.
        """
        from restore.storage.opening import Wishes, source_of_config, source_of_folder, source_of_url

        named = (self.storage, self.local_fs_dir, self.command_adapter_config)
        if sum(name is not None for name in named) != 1:
            raise UsageError(
                "exactly one of --storage, --local-fs-dir and --command-adapter-config is needed",
                hint="--storage takes s3://bucket/prefix, gs://bucket/prefix, https://host/path and file:///folder"
                "; a variable such as APTOS_RESTORE_STORAGE counts as its flag",
            )
        wishes = Wishes(self.endpoint_url, self.region, self.path_style or None, self.anonymous or None)
        if self.local_fs_dir is not None:
            return wishes.apply(source_of_folder(self.local_fs_dir))
        if self.command_adapter_config is not None:
            return source_of_config(self.command_adapter_config, wishes, native=not self.no_native)
        return source_of_url(self.storage or "", wishes)


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
        from restore.proof.trust import TrustPolicy

        waypoints = parse_waypoints(self.trust_waypoint, network=self.network)
        policy = TrustPolicy(waypoints=waypoints, genesis=self.trust_genesis, skip=skip)
        policy.check()
        return policy


@dataclass(frozen=True, slots=True)
class TargetFlags:
    """Where the database goes."""

    target_db_dir: Path | None
    dry_run: bool

    def folder(self) -> Path | None:
        """The database's folder; None for a dry run, which may be added to any command line.

        Raises:
            UsageError: neither of the two was chosen.
        """
        if self.dry_run:
            return None
        if self.target_db_dir is None:
            raise UsageError(
                "--target-db-dir or --dry-run is needed",
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


def parse_waypoints(texts: tuple[str, ...], *, network: str | None) -> tuple[Waypoint, ...]:
    """The waypoints of repeated `--trust-waypoint` options and of `--network`, each once.

    Raises:
        UsageError: a waypoint that does not parse.
    """
    from restore.ledger.waypoint import PUBLISHED, Waypoint

    published = () if network is None else (PUBLISHED[network],)
    return tuple(dict.fromkeys((*published, *map(Waypoint.parse, texts))))


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


bound_options = bundle(
    "bounds",
    BoundFlags,
    option(
        "--concurrent-downloads",
        metavar="N|auto",
        callback=parse_concurrency,
        help="Chunks in progress at once; auto begins with the default, and goes up where that brings more.  "
        "[default: as many as workers]",
    ),
    option(
        "--workers",
        metavar="N",
        type=int,
        help="Chunks that are hashed or written to table files at the same time, each on a CPU of its own; "
        "reading them, and what goes in order, takes some more.  [default: CPUs of this process]",
    ),
    option(
        "--memory-budget",
        metavar="SIZE",
        callback=parse_size,
        help="Bytes over queued, in-flight and decoded chunks, such as 512M or 2G; units are binary (2GB is "
        "2 GiB). The oldest chunk may exceed it, so a small one only means fewer chunks at once.  "
        "[default: a quarter of the memory of this process]",
    ),
)

STORAGES = ("storage", "local_fs_dir", "command_adapter_config")
"""The options that name a storage, of which a run has one."""


def _displaced(ctx: click.Context, param: click.Parameter, value: T) -> T | None:
    """Option callback: a storage in a variable gives way to another one on the command line."""
    # What the command line holds is looked at before what it does not, so its sources are known here.
    given = {ctx.get_parameter_source(name) for name in STORAGES}
    is_variable = ctx.get_parameter_source(param.name or "") is ParameterSource.ENVIRONMENT
    return None if is_variable and ParameterSource.COMMANDLINE in given else value


metadata_dir_option = option(
    "--metadata-cache-dir",
    metavar="DIR",
    type=GivenPath(),
    help="Where metadata is kept between runs; any number of processes, and backups, may share it.  "
    "[default: a temporary folder, removed at the end]",
)

lock_timeout_option = option(
    "--metadata-lock-timeout",
    metavar="SECONDS",
    type=Seconds(min=0),
    default=3600.0,
    show_default=True,
    help="Wait so long for another process that is reading the same metadata into the same folder.",
)

source_options = bundle(
    "source",
    SourceFlags,
    option(
        "--storage",
        metavar="URL",
        callback=_displaced,
        help="Where the backup is: s3://bucket/prefix, gs://bucket/prefix, https://host/path or file:///folder.",
    ),
    option(
        "--local-fs-dir",
        metavar="DIR",
        type=GivenPath(),
        callback=_displaced,
        help="Folder of the backup.",
    ),
    option(
        "--command-adapter-config",
        metavar="FILE",
        type=GivenPath(),
        callback=_displaced,
        help="The backup behind shell commands, in the Rust tool's YAML. Published configurations are known, "
        "and their buckets read without a shell.",
    ),
    option("--no-native", is_flag=True, help="Run the commands of a configuration even where it is known."),
    option(
        "--endpoint-url",
        metavar="URL",
        help="Service of an s3:// or gs:// storage.  [default: what the settings of its own tools say]",
    ),
    option("--region", metavar="NAME", help="Region of an s3:// bucket.  [default: as its own tools]"),
    option(
        "--path-style",
        is_flag=True,
        help="Name an s3:// bucket in the path of URLs, not in the host; always so with --endpoint-url.",
    ),
    option(
        "--anonymous",
        is_flag=True,
        help="Sign no requests to a bucket.  [default: where there are no credentials]",
    ),
    option(
        "--limit-rate",
        metavar="SIZE|off|@FILE",
        callback=parse_limit_rate,
        help="Bytes received a second at most, such as 80M, or off; or a file that holds either, and may be "
        "edited meanwhile.",
    ),
    option(
        "--command-idle-timeout",
        metavar="SECONDS",
        type=Seconds(min=0, min_open=True),
        default=600.0,
        show_default=True,
        help="Give up a command of a configuration that for so long has neither brought nor taken a byte.",
    ),
    metadata_dir_option,
    lock_timeout_option,
    bound_options,
)

waypoint_option = option(
    "--trust-waypoint",
    metavar="VERSION:HASH",
    multiple=True,
    help="A ledger info you trust, by version and hash; may be repeated (in the variable, with spaces).",
)

network_option = option(
    "--network",
    type=click.Choice(["mainnet", "testnet"]),
    help="Trust the published genesis waypoint of this network.",
)

trust_options = bundle(
    "trust",
    TrustFlags,
    waypoint_option,
    network_option,
    option("--trust-genesis", is_flag=True, help="Take the backup's own genesis on trust."),
)

target_options = bundle(
    "target",
    TargetFlags,
    option(
        "--target-db-dir",
        metavar="DIR",
        type=GivenPath(),
        help="Folder of the database to restore; the same command continues what is there.",
    ),
    option(
        "--dry-run",
        is_flag=True,
        help="Check everything and keep nothing; --target-db-dir is then not needed, and not touched.",
    ),
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
