"""What one run may hold, out of what this process may use."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from restore import limits
from restore.errors import ResourceError, UsageError
from restore.limits import (
    MAX_CONCURRENCY,
    MEMORY_SHARE,
    available_cpus,
    available_memory,
    claim_descriptors,
    limits_of_process,
)


@contextmanager
def soft_limit(kind: int, value: int) -> Iterator[None]:
    """Lowers a limit of this process for a while."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the one where the kernel shows this process's cgroup; without any bound."""
    monkeypatch.setattr(limits, "_CGROUP", tmp_path)
    return tmp_path


def test_defaults_come_from_what_the_process_may_use(cgroup: Path) -> None:
    found = limits_of_process()
    assert found.concurrency == available_cpus() >= 1
    assert found.threads == available_cpus() + 1
    assert found.memory_bytes == available_memory() // MEMORY_SHARE
    assert found.descriptors >= 4


def test_what_the_user_asks_for_replaces_the_default_and_nothing_else(cgroup: Path) -> None:
    default, asked = limits_of_process(), limits_of_process(concurrency=3, memory_bytes=1 << 20)
    assert (asked.concurrency, asked.memory_bytes) == (3, 1 << 20)
    assert (asked.threads, asked.descriptors) == (default.threads, default.descriptors)


def test_workers_bring_as_many_chunks_unless_their_number_is_given(cgroup: Path) -> None:
    assert limits_of_process(workers=7).concurrency == limits_of_process(workers=7).threads - 1 == 7
    few = limits_of_process(concurrency=3, workers=7)
    assert (few.concurrency, few.threads) == (3, 8)


def test_a_number_of_chunks_is_fixed_unless_it_may_adapt(cgroup: Path) -> None:
    assert limits_of_process().max_concurrency == available_cpus()
    assert limits_of_process(concurrency=100).max_concurrency == 100
    with soft_limit(resource.RLIMIT_NOFILE, 4096):
        found = limits_of_process(concurrency="auto", memory_bytes=64 << 30)
    assert (found.concurrency, found.max_concurrency) == (available_cpus(), MAX_CONCURRENCY)


@pytest.mark.parametrize(
    ("open_files", "memory_bytes", "expected"), [(80, 64 << 30, 10), (4096, 640 << 20, 20)]
)
def test_an_adapting_number_keeps_to_descriptors_and_memory(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch, open_files: int, memory_bytes: int, expected: int
) -> None:
    monkeypatch.setattr(limits, "available_cpus", lambda: 2)
    with soft_limit(resource.RLIMIT_NOFILE, open_files):
        found = limits_of_process(concurrency="auto", memory_bytes=memory_bytes)
    assert (found.concurrency, found.max_concurrency) == (2, expected)


def test_an_adapting_number_is_never_below_the_cpus(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "available_cpus", lambda: 80)
    found = limits_of_process(concurrency="auto", memory_bytes=1 << 20)
    assert (found.concurrency, found.max_concurrency) == (80, 80)


@pytest.mark.parametrize("value", [0, -1])
def test_values_below_one_are_refused_by_name(value: int) -> None:
    with pytest.raises(UsageError, match=f"concurrent downloads must be at least 1: found {value}"):
        limits_of_process(concurrency=value)
    with pytest.raises(UsageError, match=f"memory budget must be at least 1: found {value}"):
        limits_of_process(memory_bytes=value)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_affinity_bounds_the_cpus(cgroup: Path) -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_cpus() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000", None), ("50000 100000", 1), ("100000 100000", 1), ("100001 100000", 2), ("", None)],
)
def test_cpu_quota_of_the_cgroup_is_rounded_up(cgroup: Path, text: str, expected: int | None) -> None:
    unbounded = available_cpus()
    (cgroup / "cpu.max").write_text(f"{text}\n")
    assert available_cpus() == min(unbounded, expected or unbounded)


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_memory_bound_of_the_cgroup_holds_in_both_versions(cgroup: Path, name: str) -> None:
    unbounded = available_memory()
    path = cgroup / name
    path.parent.mkdir(exist_ok=True)
    for text, expected in (("max", unbounded), (str(1 << 62), unbounded), ("1000000", 1000000)):
        path.write_text(f"{text}\n")
        assert available_memory() == expected


def test_address_space_bounds_the_memory(cgroup: Path) -> None:
    bound = available_memory() - 4096
    with soft_limit(resource.RLIMIT_AS, bound):
        assert available_memory() == bound


@pytest.mark.parametrize(("soft", "spare"), [(8, 4), (256, 128), (2048, 1024), (4096, 3072)])
def test_some_descriptors_are_kept_back(cgroup: Path, soft: int, spare: int) -> None:
    with soft_limit(resource.RLIMIT_NOFILE, soft):
        assert limits_of_process().descriptors == spare


def test_too_few_descriptors_are_refused_before_the_start(cgroup: Path) -> None:
    with soft_limit(resource.RLIMIT_NOFILE, 7):
        assert limits_of_process().descriptors == 4
    with soft_limit(resource.RLIMIT_NOFILE, 6), pytest.raises(ResourceError) as caught:
        limits_of_process()
    assert caught.value.found == "6"
    assert caught.value.hint is not None
    assert "ulimit" in caught.value.hint


def test_a_low_soft_limit_is_raised_to_what_is_wanted() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with soft_limit(resource.RLIMIT_NOFILE, 200):
        claim_descriptors(needed=100, wanted=150)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (200, hard)
        claim_descriptors(needed=100, wanted=300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
        claim_descriptors(needed=100, wanted=hard + 1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_a_hard_limit_that_is_too_low_is_said_before_anything_is_opened() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(ResourceError, match="too few file descriptors") as caught:
        claim_descriptors(needed=hard + 1, wanted=hard + 2)
    assert caught.value.hint == f"raise the limit: ulimit -n {hard + 2}"
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
