"""`doctor`: what this installation and this machine give a restore, and what is wrong with them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from restore.cli.options import BoundFlags, bound_options, option, output_option
from restore.cli.output import Answer, table
from restore.cli.values import GivenPath
from restore.errors import UsageError
from restore.report.figures import show_bytes

if TYPE_CHECKING:
    from restore.cli.diagnosis import Diagnosis


@click.command("doctor")
@option(
    "--target-db-dir",
    metavar="DIR",
    type=GivenPath(),
    default=Path(),
    help="Folder whose disk is reported.  [default: the current folder]",
)
@option(
    "--metadata-cache-dir",
    metavar="DIR",
    type=GivenPath(),
    help="Folder of a metadata cache: whether processes may share it.",
)
@bound_options
@output_option
def doctor(*, target_db_dir: Path, metadata_cache_dir: Path | None, bounds: BoundFlags) -> Answer:
    """Report versions and limits, and what is wrong with them.

    Shows libraries, CPUs, memory, descriptors, disk, and who owns the import names restore and cache; the
    limits that a restore with the same flags would keep; and whether the file system of a metadata cache has
    the locks that sharing it needs. Exits 2 if something is wrong.
    """
    from restore.cli.diagnosis import diagnose

    found = diagnose(
        target_db_dir.absolute(),
        metadata_folder=None if metadata_cache_dir is None else metadata_cache_dir.absolute(),
        read_limits=bounds.limits,
    )
    error = None
    if found.problems:
        error = UsageError(
            "something is wrong with this installation",
            found="; ".join(found.problems),
            hint="mend what was found: with an environment of its own, or with another --metadata-cache-dir",
        )
    return Answer(asdict(found), _text(found), error)


def _text(found: Diagnosis) -> str:
    rows: list[tuple[str, object]] = [
        ("aptos-restore", found.version),
        ("python", found.python),
        ("platform", found.platform),
        ("cpus", found.cpus),
        ("kernel", found.kernel),
        ("memory", show_bytes(found.memory_bytes)),
        ("open files", f"at most {found.open_files_limit}"),
        ("disk", f"{show_bytes(found.disk_free_bytes)} free at {found.disk}"),
    ]
    if (shared := found.metadata_cache) is not None:
        state = "cannot be shared" if shared.failure else "can be shared"
        rows.append(("metadata cache", f"{state}: {shared.folder}"))
    if found.limits is not None:
        rows += [
            ("chunks at once", found.limits.concurrency),
            ("memory budget", show_bytes(found.limits.memory_bytes)),
            ("files at once", found.limits.descriptors),
            ("threads", found.limits.threads),
        ]
    rows += [(library.name, library.version or "missing") for library in found.libraries]
    for entry in found.import_names:
        rows.append(
            (f"import {entry.name}", f"{entry.folder}, of {', '.join(entry.owners) or 'no distribution'}")
        )
    return table(rows)
