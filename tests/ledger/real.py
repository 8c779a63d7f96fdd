"""Loads the known answers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from restore.ledger.ledger_info import EpochState, SignedLedgerInfo

VECTORS = Path(__file__).parents[1] / "vectors"


def vectors(name: str) -> Any:
    """One of the files in tests/vectors."""
    return json.loads((VECTORS / name).read_text())


def shared_vectors(shared: Path, name: str) -> Any:
    """One of the larger files beside the repository; lines become a list."""
    path = shared / "data" / "vectors" / name
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return [json.loads(line) for line in text.splitlines()] if ".jsonl" in name else json.loads(text)


def signed(row: Any) -> SignedLedgerInfo:
    """The ledger info of one row."""
    return SignedLedgerInfo.parse(bytes.fromhex(row.get("ledger_info_with_signatures_bcs") or row["bcs"]))


def signing_epoch(row: Any) -> EpochState:
    """The validators that signed the ledger info of one mainnet row."""
    if "signing_epoch_state_bcs" in row:
        return EpochState.parse(bytes.fromhex(row["signing_epoch_state_bcs"]))
    epoch = row["ledger_info"]["epoch"]
    return EpochState.parse(epoch.to_bytes(8, "little") + bytes.fromhex(row["validators_bcs"]))
