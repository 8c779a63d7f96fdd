"""Looks at an installation and at what this machine gives it.

It must work where the installation is broken, so a library that does not import is a finding, not a failure.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import restore
from restore import limits
from restore.errors import ResourceError
from restore.kernel.choice import describe_kernel

DISTRIBUTION = "aptos-restore"
IMPORT_NAMES = ("restore", "cache")
LIBRARIES = {
    name: name
    for name in (
        "aiofiles", "aiohappyeyeballs", "aiohttp", "botocore", "click", "deflate", "google-auth", "isal",
        "msgspec", "multidict", "py_arkworks_bls12381", "PyYAML", "rich", "rocksdict", "tenacity", "uvloop",
        "yarl",
    )
} | {"google-auth": "google.auth", "PyYAML": "yaml"}  # fmt: skip
"""Distributions that a restore may need, and what is imported of each."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library: its version, and why it does not import, if it does not."""

    name: str
    version: str | None
    failure: str | None


@dataclass(frozen=True, slots=True)
class ImportName:
    """An import name of ours: where it leads, and which distributions claim it."""

    name: str
    folder: str | None
    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A folder for processes to share, and why it cannot be shared, if it cannot."""

    folder: str
    failure: str | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found; `problems` is empty where all is well."""

    version: str
    python: str
    platform: str
    cpus: int
    kernel: str
    memory_bytes: int
    open_files_limit: int
    limits: limits.Limits | None
    disk: str
    disk_free_bytes: int
    metadata_cache: SharedFolder | None
    libraries: tuple[Library, ...]
    import_names: tuple[ImportName, ...]
    problems: tuple[str, ...]


def diagnose(
    folder: Path,
    *,
    metadata_folder: Path | None = None,
    read_limits: Callable[[], limits.Limits] = limits.limits_of_process,
) -> Diagnosis:
    """Looks at the installation, this process's limits, and the disks of folders.

    Args:
        folder: whose disk is looked at; need not exist.
        metadata_folder: of a metadata cache; need not exist, and is not made.
        read_limits: finds this process's limits.

    Raises:
        UsageError: the limits cannot be what was asked for.
    """
    libraries = tuple(_library(name) for name in LIBRARIES)
    owners = metadata.packages_distributions()
    names = tuple(_import_name(name, owners.get(name, [])) for name in IMPORT_NAMES)
    problems = [f"{library.name}: {library.failure}" for library in libraries if library.failure]
    problems += _name_problems(names)
    bounds = None
    try:
        bounds = read_limits()
    except ResourceError as error:
        problems.append(str(error))
    disk = _existing(folder)
    shared = None if metadata_folder is None else _shared_folder(metadata_folder)
    if shared is not None and shared.failure:
        problems.append(f"metadata cache: {shared.failure}")
    return Diagnosis(
        version=restore.__version__,
        python=f"{platform.python_version()} ({sys.executable})",
        platform=platform.platform(),
        cpus=limits.available_cpus(),
        kernel=describe_kernel(),
        memory_bytes=limits.available_memory(),
        open_files_limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        limits=bounds,
        disk=str(disk),
        disk_free_bytes=shutil.disk_usage(disk).free,
        metadata_cache=shared,
        libraries=libraries,
        import_names=names,
        problems=tuple(problems),
    )


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _shared_folder(folder: Path) -> SharedFolder:
    """Tries locks where the folder lies, or would lie."""
    place, failure = _existing(folder), None
    try:
        from cache.errors import NoLocksError
        from cache.probe import check_locks
    except ImportError as error:
        return SharedFolder(str(folder), f"does not import: {error}")
    try:
        check_locks(place)
    except NoLocksError as error:
        failure = str(error)
    except OSError as error:
        failure = f"{(error.strerror or str(error)).lower()} at {place}"
    return SharedFolder(str(folder), failure)


def _library(name: str) -> Library:
    failure = version = None
    try:
        importlib.import_module(LIBRARIES[name])
    except ImportError as error:
        failure = f"does not import: {error}"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        failure = failure or "imports, but its distribution is not installed"
    return Library(name, version, failure)


def _import_name(name: str, owners: list[str]) -> ImportName:
    spec = importlib.util.find_spec(name)
    folder = None if spec is None or spec.origin is None else str(Path(spec.origin).parent)
    return ImportName(name, folder, tuple(sorted(set(owners))))


def _name_problems(names: tuple[ImportName, ...]) -> Iterator[str]:
    """`restore` and `cache` are generic names: another distribution may own one of them too."""
    home = Path(restore.__file__).parent.parent
    for entry in names:
        for owner in entry.owners:
            if owner != DISTRIBUTION:
                yield f"the distribution {owner} also owns the import name {entry.name}: uninstall it"
        if entry.folder != str(home / entry.name):
            yield f"the import name {entry.name} leads to {entry.folder}, not to {home / entry.name}"
