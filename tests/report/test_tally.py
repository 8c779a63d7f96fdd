"""The figures of transfers, from the events of a run."""

from __future__ import annotations

import msgspec

from restore.report.events import (
    Advanced,
    ConcurrencyChanged,
    Durable,
    Event,
    Hedged,
    Live,
    Notice,
    PhaseFinished,
    PhaseStarted,
    Received,
    Retried,
    Stalled,
    Throttled,
    Worked,
)
from restore.report.tally import StageFigures, Tally, TransferFigures


def tally_of(*events: Event) -> Tally:
    tally = Tally()
    for event in events:
        tally(event)
    return tally


def test_nothing_happened() -> None:
    assert Tally().figures() == TransferFigures()


def test_each_event_counts_once() -> None:
    tally = tally_of(
        Received(100),
        Received(23),
        *[Retried("a", "reset", attempt=2, wait=0.1)] * 2,
        *[Stalled("a", 10.0)] * 3,
        *[Hedged("a", 7)] * 4,
        *[Throttled(1.0)] * 5,
    )
    assert tally.figures() == TransferFigures(
        bytes_downloaded=123, retries=2, stalls=3, hedges=4, throttles=5
    )


def test_what_is_live_counts_by_its_peak() -> None:
    tally = tally_of(*(Live("connections", count) for count in (1, 2, 3, 2, 0)), Live("children", 1))
    assert tally.figures() == TransferFigures(peak_connections=3, peak_children=1)


def test_the_concurrency_that_was_set_last_stands() -> None:
    tally = tally_of(ConcurrencyChanged(8, "goodput grows"), ConcurrencyChanged(4, "throttled"))
    assert tally.figures().concurrency == 4


def test_the_kernel_saw_more_children_or_we_did() -> None:
    tally = tally_of(Live("children", 3))
    assert tally.figures(peak_children=2).peak_children == 3
    assert tally.figures(peak_children=5).peak_children == 5


def test_what_only_the_kernel_knows_is_taken_as_it_is() -> None:
    figures = tally_of().figures(peak_descriptors=70, peak_memory_bytes=1 << 30)
    assert figures == TransferFigures(peak_descriptors=70, peak_memory_bytes=1 << 30)


def test_phases_and_notices_are_no_transfers() -> None:
    tally = tally_of(
        PhaseStarted("a", "items"), Advanced("a", 1, 2), Durable("b"), Notice("c"), PhaseFinished("a")
    )
    assert tally.figures() == TransferFigures()


def test_stages_add_up_by_phase() -> None:
    tally = tally_of(
        Worked("a", "decode", 0.25, 10, 100),
        Worked("a", "decode", 0.5, 20, 200),
        Worked("a", "turn", 1.00049),
        Worked("b", "decode", 2.0, 1, 2),
    )
    assert tally.figures().stages == {
        "a": {
            "decode": StageFigures(seconds=0.75, items=30, bytes=300),
            "turn": StageFigures(seconds=1.0),
        },
        "b": {"decode": StageFigures(seconds=2.0, items=1, bytes=2)},
    }


def test_stages_are_rounded_once_and_not_by_chunk() -> None:
    tally = tally_of(*[Worked("a", "save", 0.0004)] * 10)
    assert tally.figures().stages["a"]["save"].seconds == 0.004


def test_stages_come_back_from_json() -> None:
    figures = tally_of(Worked("a", "decode", 0.25, 10, 100)).figures()
    assert msgspec.json.decode(msgspec.json.encode(figures), type=TransferFigures) == figures
    assert msgspec.to_builtins(figures)["stages"] == {
        "a": {"decode": {"seconds": 0.25, "items": 10, "bytes": 100}}
    }
