from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.errors import UsageError
from restore.ledger.hashes import APTOS, Domain
from restore.ledger.ledger_info import LedgerInfo, SignedLedgerInfo
from restore.ledger.waypoint import PUBLISHED, Waypoint
from restore.wire.bcs import Reader
from tests.ledger.real import shared_vectors, signed
from tests.ledger.test_ledger_info import epoch_state, ledger_info

DIEM = Domain("DIEM::")
HASH = "6072b68a942aace147e0655c5704beaa255c84a7829baa4e72a500f1516584c4"


@given(st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32))
def test_a_waypoint_reads_back_as_it_was_written(version: int, value: bytes) -> None:
    waypoint = Waypoint(version, value)
    assert Waypoint.parse(str(waypoint)) == waypoint
    assert Waypoint.parse(f" {str(waypoint).upper()}\n") == waypoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        HASH,
        f":{HASH}",
        f"0:{HASH[:-1]}",
        f"0:{HASH}0",
        f"0:0x{HASH}",
        f"-1:{HASH}",
        f"+1:{HASH}",
        f"1_0:{HASH}",
        f"٣:{HASH}",
        f"0: {HASH}",
        f"0:{HASH}:0",
        f"{2**64}:{HASH}",
        f"{'9' * 5000}:{HASH}",
        f"0:{HASH[:-1]}g",
    ],
)
def test_another_text_is_no_waypoint(text: str) -> None:
    with pytest.raises(UsageError, match="not a waypoint") as caught:
        Waypoint.parse(text)
    assert caught.value.found == text


def test_the_published_waypoints_are_of_genesis() -> None:
    assert str(PUBLISHED["mainnet"]) == f"0:{HASH}"
    assert [waypoint.version for waypoint in PUBLISHED.values()] == [0, 0]


def test_mainnet_genesis_has_its_published_waypoint(shared: Path) -> None:
    chunk = (shared / "data" / "mainnet-genesis-backup" / "epoch_ending_0-.7891" / "0-.chunk").read_bytes()
    genesis = SignedLedgerInfo.parse(chunk[4:])
    assert Waypoint.of(genesis.info, APTOS) == PUBLISHED["mainnet"]
    assert Waypoint.of(genesis.info, DIEM) != PUBLISHED["mainnet"]


@pytest.mark.parametrize("epoch", [7248, 7495])
def test_mainnet_epoch_ends_have_their_waypoints(epoch: int, shared: Path) -> None:
    row = shared_vectors(shared, f"real-ledger-infos/aptos-mainnet-epoch-{epoch}-ending.json")
    assert str(Waypoint.of(signed(row).info, APTOS)) == row["waypoint_of_this_ledger_info"]


def test_every_epoch_of_open_libra_has_the_waypoint_of_its_manifest(shared: Path) -> None:
    rows = [
        row
        for row in shared_vectors(shared, "real-ledger-infos/openlibra-v7-epochs-0-193.jsonl.gz")
        if "bcs" in row
    ]
    assert len(rows) == 194
    for row in rows:
        assert str(Waypoint.of(signed(row).info, DIEM)) == row["manifest_waypoint"]


def test_every_epoch_of_movement_has_its_waypoint(shared: Path) -> None:
    for row in shared_vectors(shared, "real-ledger-infos/movement-single-validator-epochs-11-102.json.gz")[
        "rows"
    ]:
        assert str(Waypoint.of(signed(row).info, APTOS)) == row["waypoint"]


def test_round_block_and_consensus_data_are_not_covered_and_all_else_is() -> None:
    raw = ledger_info(epoch_state(6, 10, 20))
    expected = Waypoint.of(LedgerInfo.read(Reader(raw)), APTOS)
    covered = {*range(8), *range(48, len(raw) - 32)}
    info = LedgerInfo.read(Reader(raw))
    for place in range(len(raw)):
        changed = replace(info, raw=raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        assert (Waypoint.of(changed, APTOS) != expected) == (place in covered)
