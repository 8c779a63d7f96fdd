"""`demo`: makes a small backup, then restores, verifies and re-checks it, as an operator would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from restore.cli.options import option, output_option
from restore.cli.output import Answer, run_reported
from restore.cli.summary import result_table
from restore.errors import RestoreError, UsageError
from restore.report.figures import show_seconds

if TYPE_CHECKING:
    from restore.limits import Limits
    from restore.report.events import Report
    from restore.report.result import Result
    from restore.sample.spec import SampleBackup


@click.command("demo")
@option(
    "--keep",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Make backup and database in this new folder, and keep them.  [default: a temporary one]",
)
@output_option
def demo(*, keep: Path | None) -> Answer:
    """Make a small backup, restore it, and check all of it.

    The backup is of a generated chain: several epochs with real signatures, every kind of transaction and
    state item, and transactions after the newest state snapshot.
    """
    from restore.limits import limits_of_process

    limits = limits_of_process()
    with _folder(keep) as folder:
        show = run_reported(lambda report: _show(folder, limits, report))
    return _answer(show, keep)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with TemporaryDirectory(prefix="aptos-restore-demo-") as name:
            yield Path(name)
        return
    if keep.exists():
        raise UsageError("the folder to keep is there already", file=str(keep), hint="name a new folder")
    keep.mkdir(parents=True)
    yield keep


@dataclass(frozen=True, slots=True)
class Show:
    """The sample, and what three commands said of it."""

    sample: SampleBackup
    database: Path
    restored: Result
    verified: Result
    checked: Result

    def commands(self) -> tuple[tuple[str, Result], ...]:
        """The command lines that do the same in the demo's folder, with their results."""
        backup, database = f"--local-fs-dir {self.sample.root.name}", self.database.name
        trust = f"--trust-waypoint {self.sample.genesis_waypoint}"
        return (
            (f"aptos-restore bootstrap-db {backup} --target-db-dir {database} {trust}", self.restored),
            (f"aptos-restore verify {backup} {trust}", self.verified),
            (f"aptos-restore verify-db {database} {trust}", self.checked),
        )


async def _show(folder: Path, limits: Limits, report: Report) -> Show:
    from restore.coordinator import BootstrapRequest, bootstrap
    from restore.proof.trust import TrustPolicy
    from restore.sample.backup import write_sample
    from restore.sample.spec import SampleSpec
    from restore.storage.opening import open_storage
    from restore.verify import VerifyRequest, verify
    from restore.verify_db import verify_database

    sample = await write_sample(SampleSpec(), folder / "backup")
    storage = open_storage(local_fs_dir=sample.root)
    trust = TrustPolicy(waypoints=(sample.genesis_waypoint,))
    database = folder / "database"
    restored = await bootstrap(
        BootstrapRequest(
            storage=storage,
            target_dir=database,
            target_version=None,
            ledger_history_start_version=None,
            trust=trust,
            accept_older=False,
            limits=limits,
        ),
        report,
    )
    verified = await verify(
        VerifyRequest(
            storage=storage,
            start_version=0,
            end_version=None,
            state_snapshot_before_version=None,
            trust=trust,
            limits=limits,
        ),
        report,
    )
    checked = await verify_database(database, trust.waypoints, report)
    show = Show(sample, database, restored, verified, checked)
    _compare(show)
    return show


def _compare(show: Show) -> None:
    """Compares with what the generator knows: all three must have found the chain that it made."""
    sample, newest = show.sample, show.sample.snapshots[-1]
    root, last = newest.root_hash.hex(), sample.last_version
    expected = (last, root, newest.usage.items, sample.accumulator_roots[last].hex())
    for _, result in show.commands():
        found = (
            result.target_version,
            result.state_root_hash,
            result.state_items,
            result.accumulator_root_hash,
        )
        if found != expected:
            raise RestoreError(
                f"{result.command} found another state than was made", expected=expected, found=found
            )


def _answer(show: Show, keep: Path | None) -> Answer:
    import msgspec

    sample = show.sample
    results = {"restored": show.restored, "verified": show.verified, "checked": show.checked}
    data = {name: msgspec.to_builtins(result) for name, result in results.items()}
    data["kept"] = None if keep is None else str(keep)
    made = f"versions 0 to {sample.last_version}, {len(sample.epoch_ends)} epoch endings"
    lines = [f"made a backup in {sample.root}: {made}, {len(sample.snapshots)} state snapshots"]
    for command, result in show.commands():
        lines += ["", f"$ {command}", result_table(result), f"  done in {show_seconds(result.seconds)}"]
    lines += ["", "All three found the chain that was made, down to the last hash."]
    lines.append("Nothing is left of it; --keep DIR keeps it." if keep is None else f"It is kept in {keep}.")
    return Answer(data, "\n".join(lines))
