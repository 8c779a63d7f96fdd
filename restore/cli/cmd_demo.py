"""`demo`: makes a small backup, then restores, verifies and re-checks it, as an operator would."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from restore.cli.options import option, output_option
from restore.cli.output import Answer, print_part, run_reported
from restore.cli.summary import result_table
from restore.cli.values import GivenPath
from restore.errors import RestoreError, UsageError
from restore.report.figures import show_count

if TYPE_CHECKING:
    from restore.report.events import Report
    from restore.report.result import Result
    from restore.sample.spec import SampleBackup

    Step = Callable[[SampleBackup, Path, Report], Awaitable[Result]]


@click.command("demo")
@option(
    "--keep",
    metavar="DIR",
    type=GivenPath(),
    help="Make backup and database in this new folder, and keep them.  [default: a temporary one]",
)
@output_option
def demo(*, keep: Path | None) -> Answer:
    """Make a small backup, restore it, and check all of it.

    The backup is of a generated chain: several epochs with real signatures, every kind of transaction and
    state item, and transactions after the newest state snapshot.
    """
    import msgspec

    with _folder(keep) as folder:
        results = _show(folder)
    data = {name: msgspec.to_builtins(result) for name, result in results.items()}
    data["kept"] = None if keep is None else str(keep)
    kept = "Nothing is left of it; --keep DIR keeps it." if keep is None else f"It is kept in {keep}."
    return Answer(data, f"\nAll three found the chain that was made, down to the last hash.\n{kept}")


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with TemporaryDirectory(prefix="aptos-restore-demo-") as name:
            yield Path(name)
        return
    if keep.exists():
        raise UsageError("the folder to keep is there already", file=str(keep), hint="name a new folder")
    try:
        keep.mkdir(parents=True)
    except FileNotFoundError as error:  # some file systems have no new folders, such as /proc
        raise UsageError(
            "the folder to keep cannot be made", file=str(keep), hint="name a folder elsewhere"
        ) from error
    yield keep


def _show(folder: Path) -> dict[str, Result]:
    """Runs three commands on a new sample, each shown as an operator would see it."""
    from restore.sample.backup import write_sample
    from restore.sample.spec import SampleSpec

    sample = run_reported(lambda _: write_sample(SampleSpec(), folder / "backup"))
    endings, snapshots = len(sample.epoch_ends), len(sample.snapshots)
    print_part(
        f"made a backup in {sample.root}: versions 0 to {sample.last_version}, "
        f"{show_count(endings, 'epoch endings')}, {show_count(snapshots, 'state snapshots')}"
    )
    database = folder / "database"
    source, trust = f"--local-fs-dir {sample.root}", f"--trust-waypoint {sample.genesis_waypoint}"
    steps: tuple[tuple[str, str, Step], ...] = (
        ("restored", f"bootstrap-db {source} --target-db-dir {database} {trust}", _restore),
        ("verified", f"verify {source} {trust}", _verify),
        ("checked", f"verify-db {database} {trust}", _check),
    )
    results = {}
    for name, command, step in steps:
        print_part(f"\n$ aptos-restore {command}")
        results[name] = run_reported(partial(step, sample, database))
        _compare(results[name], sample)
        print_part(result_table(results[name]))
    return results


async def _restore(sample: SampleBackup, database: Path, report: Report) -> Result:
    from restore.coordinator import BootstrapRequest, bootstrap
    from restore.limits import limits_of_process
    from restore.proof.trust import TrustPolicy
    from restore.storage.local import LocalFs

    request = BootstrapRequest(
        storage=LocalFs(sample.root),
        target_dir=database,
        target_version=None,
        ledger_history_start_version=None,
        trust=TrustPolicy((sample.genesis_waypoint,)),
        accept_older=False,
        limits=limits_of_process(),
    )
    return await bootstrap(request, report)


async def _verify(sample: SampleBackup, _database: Path, report: Report) -> Result:
    from restore.limits import limits_of_process
    from restore.proof.trust import TrustPolicy
    from restore.storage.local import LocalFs
    from restore.verify import VerifyRequest, verify

    request = VerifyRequest(
        storage=LocalFs(sample.root),
        start_version=0,
        end_version=None,
        state_snapshot_before_version=None,
        trust=TrustPolicy((sample.genesis_waypoint,)),
        limits=limits_of_process(),
    )
    return await verify(request, report)


async def _check(sample: SampleBackup, database: Path, report: Report) -> Result:
    from restore.verify_db import verify_database

    return await verify_database(database, (sample.genesis_waypoint,), report)


def _compare(result: Result, sample: SampleBackup) -> None:
    """Compares with what the generator knows: each command must have found the chain that it made."""
    newest, last = sample.snapshots[-1], sample.last_version
    expected = (last, newest.root_hash.hex(), newest.usage.items, sample.accumulator_roots[last].hex())
    found = (result.target_version, result.state_root_hash, result.state_items, result.accumulator_root_hash)
    if found != expected:
        raise RestoreError(
            f"{result.command} found another state than was made", expected=expected, found=found
        )
