"""What a part does, as its tests say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

OURS = "ours"
"""The way that others are compared with."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done.

    Attributes:
        part: of the program.
        text: says it in the table.
        unit: of the rate.
        count: of such units in one call.
    """

    part: str
    text: str
    unit: str
    count: float


class Part(Protocol):
    """Measures `function` as one way of a work; `must_ratio` is what was promised of ours over this way."""

    def __call__(
        self, work: Work, function: Callable[[], Any], *, way: str = OURS, must_ratio: float | None = None
    ) -> None: ...
