"""How much of this machine one run may hold: CPUs, memory, descriptors, threads.

Defaults come from what this *process* may use (affinity, cgroup, rlimit), not from what the machine has.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from restore.errors import ResourceError, UsageError

MEMORY_SHARE = 4
"""A quarter of the usable memory is the default byte budget; RocksDB and the system share the rest."""

DESCRIPTORS_KEPT_BACK = 1024
"""Descriptors for RocksDB (42 instances, few files each), logs and pipes, besides the chunks' files."""

MIN_CHUNK_DESCRIPTORS = 4
"""With fewer descriptors for chunk files a run would crawl, so it says so before it starts."""

MAX_CONCURRENCY = 64
"""Most chunks at once where their number adapts; who wants more for a link of many Gbit/s gives it."""

DESCRIPTORS_PER_CHUNK = 4
"""What one file of the backup needs at most: the pipes of a command."""

BYTES_PER_CHUNK = 32 << 20
"""What a chunk holds while it is read, at least: a part of 16 MiB, and as much of it unpacked."""

NEEDED_DESCRIPTORS, WANTED_DESCRIPTORS = 768, 4096
"""With a database: half are for 42 instances of 10 to 48 files each, the rest for the backup's files."""

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run.

    Attributes:
        concurrency: chunks in progress at once; finished ones waiting for their turn make it twice as many.
        max_concurrency: how far that number may grow; the same where it is fixed.
        memory_bytes: bytes over queued, in flight and decoded chunks; the oldest chunk may exceed it.
        descriptors: files of the backup open at once.
        threads: worker threads: for each CPU that works on chunks one, and one that writes to the database.
    """

    concurrency: int
    max_concurrency: int
    memory_bytes: int
    descriptors: int
    threads: int


def limits_of_process(
    *,
    concurrency: int | Literal["auto"] | None = None,
    workers: int | None = None,
    memory_bytes: int | None = None,
) -> Limits:
    """The limits for this process, with what the user asked for in place of the defaults.

    Args:
        concurrency: chunks in progress at once; "auto" lets them grow, as far as the other bounds allow.
        workers: CPUs that work on chunks; where `concurrency` is not given, as many chunks are in progress.
        memory_bytes: bytes of chunks.

    Raises:
        UsageError: a value below 1.
        ResourceError: too few descriptors to work with.
    """
    for name, value in (
        ("concurrent downloads", concurrency),
        ("workers", workers),
        ("memory budget", memory_bytes),
    ):
        if isinstance(value, int) and value < 1:
            raise UsageError(f"{name} must be at least 1", found=value)
    workers = workers or available_cpus()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = 1 << 20 if soft == resource.RLIM_INFINITY else soft
    spare = descriptors - min(DESCRIPTORS_KEPT_BACK, descriptors // 2)
    if spare < MIN_CHUNK_DESCRIPTORS:
        raise ResourceError("too few file descriptors", found=soft, hint="raise the limit: ulimit -n 4096")
    memory_bytes = memory_bytes or available_memory() // MEMORY_SHARE
    floor = ceiling = concurrency if isinstance(concurrency, int) else workers
    if concurrency == "auto":
        room = min(MAX_CONCURRENCY, spare // DESCRIPTORS_PER_CHUNK, memory_bytes // BYTES_PER_CHUNK)
        ceiling = max(floor, room)
    return Limits(
        concurrency=floor,
        max_concurrency=ceiling,
        memory_bytes=memory_bytes,
        descriptors=spare,
        threads=workers + 1,
    )


def reachable_descriptors() -> int:
    """What the soft limit of open files is, or will be once a database has claimed its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in {soft, hard}:
        return max(soft, WANTED_DESCRIPTORS)
    return max(soft, min(hard, WANTED_DESCRIPTORS))


def claim_descriptors(*, needed: int, wanted: int) -> None:
    """Raises this process's soft limit of open files to `wanted`, or as near as its hard limit allows.

    Raises:
        ResourceError: the hard limit is below `needed`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    reached = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if reached < needed:
        raise ResourceError(
            "too few file descriptors for a database",
            expected=needed,
            found=reached,
            hint=f"raise the limit: ulimit -n {wanted}",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, reached), hard))


def available_cpus() -> int:
    """CPUs this process may use: affinity, then the cgroup's quota, rounded up; at least 1."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_text("cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        cpus = min(cpus, -(-int(quota[0]) // int(quota[1])))
    return max(1, cpus)


def available_memory() -> int:
    """Bytes of memory this process may use: the machine's, or less where a cgroup or rlimit says so."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [total]
    if address_space != resource.RLIM_INFINITY:
        bounds.append(address_space)
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _cgroup_text(name).strip()
        if text.isdigit():
            bounds.append(int(text))
    return min(bounds)


def _cgroup_text(name: str) -> str:
    try:
        return (_CGROUP / name).read_text()
    except OSError:
        return ""
