"""Numbers as people read them."""

from __future__ import annotations

import pytest

from restore.report.figures import show_bytes, show_count, show_seconds


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 << 30, "5.0 GiB"),
        (3 << 60, "3072.0 PiB"),
    ],
)
def test_bytes_have_a_binary_unit(size: int, text: str) -> None:
    assert show_bytes(size) == text


@pytest.mark.parametrize(
    ("count", "units", "text"),
    [
        (0, "epochs", "0 epochs"),
        (1, "epochs", "1 epoch"),
        (2000, "epochs", "2,000 epochs"),
        (1, "retries", "1 retry"),
        (2, "retries", "2 retries"),
    ],
)
def test_one_thing_is_singular(count: int, units: str, text: str) -> None:
    assert show_count(count, units) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (4.24, "4.2 s"), (65, "1:05"), (3599.6, "1:00:00"), (7387, "2:03:07")]
)
def test_seconds_become_a_clock_after_a_minute(seconds: float, text: str) -> None:
    assert show_seconds(seconds) == text
