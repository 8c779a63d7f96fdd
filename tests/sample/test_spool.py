"""Byte strings in memory or in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore.sample.spool import Spool


@pytest.mark.parametrize("spill_bytes", [0, 10, 1000])
def test_strings_come_back_in_order_wherever_they_are(tmp_path: Path, spill_bytes: int) -> None:
    spool = Spool(tmp_path / "spool", spill_bytes=spill_bytes)
    strings = [bytes([number]) * number for number in range(20)]
    for string in strings:
        spool.append(string)
    assert list(spool) == strings
    assert list(spool) == strings


def test_few_strings_need_no_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(b"few")
    assert not list(tmp_path.iterdir())


def test_a_cleared_spool_starts_anew(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", spill_bytes=3)
    for _ in range(2):
        spool.append(b"four")
        spool.append(b"1")
        assert list(spool) == [b"four", b"1"]
        spool.clear()
        assert list(spool) == []
    assert not list(tmp_path.iterdir())
