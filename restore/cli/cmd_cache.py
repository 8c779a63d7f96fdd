"""`cache`: looks after a folder that keeps metadata between runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from restore.cli.options import option, output_option
from restore.cli.output import Answer, run_reported, table
from restore.cli.values import GivenPath, Seconds
from restore.errors import DataError, printable
from restore.report.figures import show_bytes, show_count, show_seconds

if TYPE_CHECKING:
    from restore.catalog.mirror_upkeep import Holder, Holders, MirrorState, PruneAttempt
    from restore.report.events import Report

    _Survey: TypeAlias = list[tuple[MirrorState, int]]
    """The mirrors, and how many signatures are remembered beside each."""

_HINT = "nothing needs to be done: the next command that uses the folder fetches again what is damaged"

_folder_option = option(
    "--metadata-cache-dir",
    metavar="DIR",
    type=GivenPath(),
    required=True,
    help="Folder of the metadata cache, in which any number of commands keep what they read of backups' "
    "metadata, so that only what is new is downloaded.",
)


@click.group("cache")
def metadata_cache() -> None:
    """Look after a metadata cache: a folder that keeps what was read of backups' metadata between runs."""


@metadata_cache.command("info")
@_folder_option
@output_option
def info(*, metadata_cache_dir: Path) -> Answer:
    """Show what a metadata cache holds, and who is at work in it."""
    mirrors = _survey(metadata_cache_dir, thorough=False)
    return Answer(_data(mirrors), _text(metadata_cache_dir, mirrors))


@metadata_cache.command("verify")
@_folder_option
@output_option
def verify(*, metadata_cache_dir: Path) -> Answer:
    """Read all of a metadata cache, and check it against its digests.

    Exits 20 if something is damaged, and changes nothing: the next command that uses it fetches that again.
    """
    mirrors = _survey(metadata_cache_dir, thorough=True)
    data, text = _data(mirrors), _text(metadata_cache_dir, mirrors)
    problems = sum(len(mirror.problems) for mirror, _ in mirrors)
    if not problems:
        return Answer(data, f"{text}\nall of it is sound" if mirrors else text)
    error = DataError(
        "metadata cache is damaged",
        file=str(metadata_cache_dir),
        found=show_count(problems, "problems"),
        hint=_HINT,
    )
    return Answer(data, text, error)


@metadata_cache.command("prune")
@_folder_option
@option(
    "--grace",
    metavar="SECONDS",
    type=Seconds(min=0),
    default=3600.0,
    show_default=True,
    help="Keep what is not needed for less than that.",
)
@output_option
def prune(*, metadata_cache_dir: Path, grace: float) -> Answer:
    """Remove from a metadata cache what nobody needs any more.

    It only tries: where another process is at work nothing is removed, and nobody is waited for. What a
    process is reading always stays. Every command that uses the folder does the same at its end.
    """
    from restore.catalog.mirror_upkeep import prune_mirrors

    attempts = run_reported(lambda _: prune_mirrors(metadata_cache_dir, grace_seconds=grace))
    text = "\n".join(map(_attempt_text, attempts))
    return Answer({"mirrors": list(map(_attempt_data, attempts))}, text or _nothing(metadata_cache_dir))


def _survey(folder: Path, *, thorough: bool) -> _Survey:
    from restore.catalog.mirror_remembered import count_digests
    from restore.catalog.mirror_upkeep import survey_mirrors

    async def look(_report: Report) -> _Survey:
        mirrors = await survey_mirrors(folder, thorough=thorough)
        return [(mirror, await count_digests(mirror.path)) for mirror in mirrors]

    return run_reported(look)


def _text(folder: Path, mirrors: _Survey) -> str:
    now = time.time()
    return "\n".join(_mirror_text(*mirror, now=now) for mirror in mirrors) or _nothing(folder)


def _nothing(folder: Path) -> str:
    return f"{folder} holds no metadata" if folder.is_dir() else f"there is no folder {folder} yet"


def _mirror_text(mirror: MirrorState, verified: int, *, now: float) -> str:
    rows: list[tuple[str, object]] = [
        ("folder", None if mirror.identity is None else printable(str(mirror.path))),
        ("files", f"{mirror.files:,}, {_packs(mirror.packs, mirror.size)}"),
        ("not needed", _packs(mirror.retired_packs, mirror.retired_size) if mirror.retired_packs else None),
        ("verified", show_count(verified, "signatures") if verified else None),
        ("last synced", "never" if mirror.synced_at is None else _age(mirror.synced_at, now=now)),
        *_holder_rows(mirror.holders),
    ]
    rows += [
        ("read by", f"{lease.holder}, {show_count(len(lease.files), 'packs')}") for lease in mirror.leases
    ]
    rows += [("problem", printable(problem)) for problem in mirror.problems]
    return f"{_name(mirror.path, mirror.identity)}\n{table(rows)}"


def _attempt_text(attempt: PruneAttempt) -> str:
    rows: list[tuple[str, object]] = []
    if (pruned := attempt.pruned) is None:
        rows += [("busy", "nothing is removed"), *_holder_rows(attempt.holders)]
    else:
        rows.append(("removed", _packs(pruned.packs, pruned.size)))
        if pruned.leftovers:
            rows.append(("removed", f"{show_count(pruned.leftovers, 'files')} that killed processes left"))
        if pruned.leased:
            rows.append(("kept", f"{show_count(pruned.leased, 'packs')} that somebody reads"))
    return f"{_name(attempt.path, attempt.identity)}\n{table(rows)}"


def _name(path: Path, identity: str | None) -> str:
    return printable(f"{path}, of which nothing is known" if identity is None else identity)


def _packs(count: int, size: int) -> str:
    return f"{show_bytes(size)} in {show_count(count, 'packs')}"


def _age(moment: float, *, now: float) -> str:
    return f"{_moment(moment):%Y-%m-%d %H:%M:%S} UTC, {show_seconds(max(now - moment, 0))} ago"


def _holder_rows(holders: Holders) -> Iterator[tuple[str, object]]:
    return (("locked", f"{mode.name} by {holder}") for mode, holder in holders)


def _data(mirrors: _Survey) -> dict[str, Any]:
    return {"mirrors": list(starmap(_mirror_data, mirrors))}


def _mirror_data(mirror: MirrorState, verified: int) -> dict[str, Any]:
    return {
        "folder": str(mirror.path),
        "identity": mirror.identity,
        "files": mirror.files,
        "bytes": mirror.size,
        "packs": mirror.packs,
        "retired_packs": mirror.retired_packs,
        "retired_bytes": mirror.retired_size,
        "verified_signatures": verified,
        "synced_at": None if mirror.synced_at is None else _iso(mirror.synced_at),
        "locks": _holders_data(mirror.holders),
        "leases": [_process(lease.holder) | {"packs": len(lease.files)} for lease in mirror.leases],
        "problems": list(mirror.problems),
    }


def _attempt_data(attempt: PruneAttempt) -> dict[str, Any]:
    pruned = attempt.pruned
    removed = None
    if pruned is not None:
        removed = {
            "packs": pruned.packs,
            "bytes": pruned.size,
            "leftovers": pruned.leftovers,
            "leased_packs": pruned.leased,
        }
    return {
        "folder": str(attempt.path),
        "identity": attempt.identity,
        "removed": removed,
        "locks": _holders_data(attempt.holders),
    }


def _holders_data(holders: Holders) -> list[dict[str, Any]]:
    return [{"mode": mode.name} | _process(holder) for mode, holder in holders]


def _process(holder: Holder) -> dict[str, Any]:
    return {
        "pid": holder.pid,
        "host": holder.host,
        "command": holder.command,
        "since": _iso(holder.since),
    }


def _iso(moment: float) -> str:
    return _moment(moment).isoformat(timespec="seconds")


def _moment(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)
