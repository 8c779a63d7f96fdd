"""Downloads that adapt, over a link with latency: more of them soon, and nothing else differs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import FaultPlan, serve_in_process
from benchmarks.packing import pack
from benchmarks.processes import measure
from restore.flow.stop import run
from restore.limits import available_cpus
from restore.sample.backup import write_sample
from restore.sample.spec import SampleSpec

MANY_CHUNKS = SampleSpec(
    state_items=9000,
    epochs=2,
    tail_epochs=1,
    transactions=60,
    head_transactions=2,
    snapshot_interval_epochs=0,
    snapshot_chunks=80,
    transactions_per_backup=100,
)
"""Of about the same size, as those of published backups are; with their proofs more than 160 requests."""

LATE = FaultPlan(latency=0.05, jitter=0.05)

PROVEN = (
    "target_version",
    "snapshot_version",
    "state_root_hash",
    "state_items",
    "transactions",
    "epochs",
    "accumulator_root_hash",
)


@pytest.fixture(autouse=True)
def nothing_but_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)


def test_a_link_with_latency_gets_more_downloads_and_proves_the_same(tmp_path: Path) -> None:
    sample = run(lambda: write_sample(MANY_CHUNKS, tmp_path / "plain"))
    pack(sample.root, tmp_path / "packed")

    def verified(*source: str) -> dict[str, Any]:
        return measure(["verify", *source, "--trust-waypoint", str(sample.genesis_waypoint)]).result

    local = verified("--local-fs-dir", str(sample.root))
    with serve_in_process(tmp_path / "packed", LATE) as server:
        remote = verified("--storage", server.url, "--concurrent-downloads", "auto")
    assert remote["concurrency"] >= 2 * available_cpus()
    assert {name: remote[name] for name in PROVEN} == {name: local[name] for name in PROVEN}
