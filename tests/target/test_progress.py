"""Progress rows, against the vectors of spec/aptosdb-schema.md 2.4 and the set of 3.2."""

from __future__ import annotations

import pytest

from restore.errors import FormatError
from restore.ledger.state import Usage
from restore.target.base import Outcome
from restore.target.progress import (
    Progress,
    final_rows,
    progress_key,
    read_snapshot_value,
    read_version_value,
    snapshot_value,
    version_value,
)

VERSION = 0x0102030405
SNAPSHOT_VALUE = "01" + "ab" * 32 + "00" + "0700000000000000" + "e703000000000000"


def test_keys_are_a_variant_and_little_endian_fields() -> None:
    assert progress_key(Progress.LEDGER_COMMIT).hex() == "05"
    assert progress_key(Progress.STATE_KV_SHARD_COMMIT, 10).hex() == "080a00000000000000"
    assert progress_key(Progress.STATE_SNAPSHOT_KV_RESTORE, VERSION).hex() == "040504030201000000"


def test_values_hold_a_version_or_how_far_a_snapshot_is() -> None:
    assert version_value(VERSION).hex() == "000504030201000000"
    assert snapshot_value(b"\xab" * 32, Usage(7, 999)).hex() == SNAPSHOT_VALUE


def test_values_are_read_back() -> None:
    assert read_version_value(version_value(VERSION)) == VERSION
    assert read_snapshot_value(bytes.fromhex(SNAPSHOT_VALUE)) == (b"\xab" * 32, Usage(7, 999))


@pytest.mark.parametrize("raw", ["", "00", "010504030201000000", "00050403020100000000"])
def test_a_value_without_a_version_is_refused(raw: str) -> None:
    with pytest.raises(FormatError):
        read_version_value(bytes.fromhex(raw))


@pytest.mark.parametrize(
    "raw",
    ["", SNAPSHOT_VALUE[:-2], SNAPSHOT_VALUE + "00", "00" + SNAPSHOT_VALUE[2:], "01" + "ab" * 32 + "01"],
)
def test_a_value_without_a_tracked_snapshot_is_refused(raw: str) -> None:
    with pytest.raises(FormatError):
        read_snapshot_value(bytes.fromhex(raw))


def test_a_finished_database_has_these_progress_rows_in_this_order() -> None:
    history, tree, target = "000300000000000000", "000500000000000000", "000900000000000000"
    shards = [
        ("state progress", f"state_kv_db/shard_{shard}", [(f"08{shard:02x}00000000000000", target)])
        for shard in range(16)
    ]
    rows = [
        (step, instance, [(key.hex(), value.hex()) for key, value in pairs])
        for step, instance, pairs in final_rows(Outcome(9, 5, 3))
    ]
    assert rows == [
        ("pruner progress", "ledger_db/event_db", [("0b", history)]),
        ("pruner progress", "ledger_db/transaction_accumulator_db", [("0c", history)]),
        ("pruner progress", "ledger_db/transaction_info_db", [("0d", history)]),
        ("pruner progress", "ledger_db/transaction_db", [("0e", history)]),
        ("pruner progress", "ledger_db/write_set_db", [("0f", history)]),
        ("pruner progress", "ledger_db/transaction_auxiliary_data_db", [("14", history)]),
        ("pruner progress", "ledger_db/persisted_auxiliary_info_db", [("15", history)]),
        ("pruner progress", "ledger_db/metadata", [("00", history)]),
        ("pruner progress", "state_kv_db/metadata", [("03", history)]),
        ("pruner progress", "state_merkle_db/metadata", [("01", tree), ("02", tree)]),
        *shards,
        ("state progress", "state_kv_db/metadata", [("06", target)]),
        ("ledger progress", "ledger_db/metadata", [("05", target)]),
        ("overall progress", "ledger_db/metadata", [("07", target)]),
    ]
