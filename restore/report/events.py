"""What happens in a run, as values. Work emits them; progress and results are made from them elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase begins. `total` counts `unit`s of the phase; `done` of them are there from an earlier run."""

    phase: str
    unit: str
    total: int | None = None
    done: int = 0


@dataclass(frozen=True, slots=True)
class Advanced:
    """`items` more units of `phase`, read from `size` bytes, are proven and, where data is kept, durable."""

    phase: str
    items: int
    size: int


@dataclass(frozen=True, slots=True)
class PhaseFinished:
    """A phase ended well."""

    phase: str


@dataclass(frozen=True, slots=True)
class Durable:
    """A named step of the target is on disk: what a crash after this point may rely on."""

    step: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence the operator should read. `warning` marks the ones about safety."""

    text: str
    warning: bool = False


Event: TypeAlias = PhaseStarted | Advanced | PhaseFinished | Durable | Notice
Report: TypeAlias = Callable[[Event], None]


def silent(event: Event) -> None:
    """A report that nobody reads."""
