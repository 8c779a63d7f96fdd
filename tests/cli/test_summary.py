"""A result as lines for people."""

from __future__ import annotations

import pytest

from restore.cli.summary import result_table
from restore.ledger.waypoint import PUBLISHED
from restore.report.result import Result

MAINNET = str(PUBLISHED["mainnet"])
OTHERS = tuple(f"{version}:{'ab' * 32}" for version in range(10, 50, 10))


@pytest.mark.parametrize(
    ("trust", "waypoints", "shown"),
    [
        ("waypoint", (MAINNET,), "waypoint 0:6072b68a… (mainnet)"),
        ("waypoint", (MAINNET, OTHERS[0]), "waypoints 0:6072b68a… (mainnet), 10:abababab…"),
        ("waypoint", OTHERS, "waypoints 10:abababab…, 20:abababab…, 30:abababab…, 1 more"),
        ("waypoint", (), "a trusted waypoint"),
        ("genesis", (), "its own genesis, taken on trust"),
        ("genesis", OTHERS[:1], "its own genesis, taken on trust; also waypoint 10:abababab…"),
        ("none", (), "NOTHING: ledger infos were not checked"),
    ],
)
def test_it_says_what_was_trusted(trust: str, waypoints: tuple[str, ...], shown: str) -> None:
    table = result_table(Result(command="verify", trust=trust, waypoints=waypoints))
    assert table.splitlines()[0] == f"  trust ends in  {shown}"


def test_one_item_is_singular() -> None:
    result = Result(command="verify", trust="none", snapshot_version=7, state_items=1, state_bytes=5)
    assert "state at 7     1 item, 5 B" in result_table(result)
