"""The indices of real genesis blobs agree with the blobs, and with what the networks published."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from restore.ledger.waypoint import PUBLISHED

NETWORKS = ("mainnet", "testnet", "ait3", "devnet")
"""The networks whose blobs are at hand."""


@pytest.fixture
def vectors(shared: Path) -> Path:
    """The folder of vectors."""
    return shared / "data" / "vectors"


def load(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("network", NETWORKS)
def test_each_blob_is_one_of_the_published_pairs(vectors: Path, network: str) -> None:
    blob = gzip.decompress((vectors / "genesis-blobs" / f"{network}.genesis.blob.gz").read_bytes())
    genesis = load(vectors / "genesis" / f"{network}.json")
    assert hashlib.sha256(blob).hexdigest() == genesis["source"]["sha256"]
    pairs = load(vectors / "genesis" / "history-genesis-waypoints.json")["pairs"]
    published = [pair for pair in pairs if pair["waypoint"] == genesis["computed_waypoint"]]
    assert any(pair["blob_bytes"] == len(blob) and pair["result"].startswith("OK") for pair in published)


def test_the_summary_says_what_each_network_s_file_says(vectors: Path) -> None:
    rows = load(vectors / "genesis" / "summary.json")
    for row in rows:
        genesis = load(vectors / "genesis" / f"{row['network']}.json")
        for name in ("published_waypoint", "num_state_items", "state_root", "event_root", "write_set_hash"):
            assert row[name] == genesis[name], (row["network"], name)
    assert {row["network"] for row in rows} >= set(NETWORKS)


def test_the_waypoints_we_know_by_name_are_the_published_ones(vectors: Path) -> None:
    for network, waypoint in PUBLISHED.items():
        assert str(waypoint) == load(vectors / "genesis" / f"{network}.json")["published_waypoint"]
