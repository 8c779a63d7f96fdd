"""Checks what a node reads first: progress rows and epoch endings.

Source: spec/aptosdb-schema.md sections 3.1 and 3.2.
"""

from __future__ import annotations

from itertools import zip_longest

from restore.errors import DamagedTargetError, located
from restore.ledger.ledger_info import SignedLedgerInfo
from restore.proof.trust import TrustedHistory
from restore.target.base import Outcome
from restore.target.check_rows import Steps, at_row, damaged, demand, demand_count
from restore.target.progress import (
    Progress,
    final_rows,
    progress_key,
    progress_table,
    read_snapshot_value,
)
from restore.target.schema import (
    BLOCK_BY_VERSION,
    EPOCH_BY_VERSION,
    INSTANCES,
    KV_METADATA,
    LEDGER_INFO,
    MERKLE_METADATA,
    U64_MAX,
    VERSION_DATA,
    KeyValue,
    Table,
    read_usage,
    u64,
)
from restore.target.store import RocksStore
