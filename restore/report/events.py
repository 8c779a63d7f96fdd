"""What happens in a run, as values. Work emits them; progress and results are made from them elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal["fetch", "unpack", "decode", "tables", "budget", "turn", "prove", "save"]
"""What a chunk goes through. Only `prove` and `save` are done in the order of the chunks, one at a time;
before them it waits for its `turn`, and while it is read, for the `budget`."""


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


@dataclass(frozen=True, slots=True)
class Received:
    """`size` bytes came from a remote storage, wasted ones included.

    As they were on the wire, packed; or as a command printed them.
    """

    size: int


@dataclass(frozen=True, slots=True)
class Retried:
    """A request or a command is tried again in `wait` seconds; `attempt` is 2 for the first retry."""

    file: str
    reason: str
    attempt: int
    wait: float


@dataclass(frozen=True, slots=True)
class Throttled:
    """The storage asked us to slow down: nothing new is requested for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stalled:
    """A transfer or a command made no progress for `seconds`; it is given up, and tried anew."""

    file: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Hedged:
    """A transfer is slower than its like: `size` bytes of it are requested a second time."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Live:
    """How many `what` ("connections", "children") are open now; told when there are more than ever."""

    what: str
    count: int


@dataclass(frozen=True, slots=True)
class ConcurrencyChanged:
    """From now on so many chunks are in progress at once, and why."""

    downloads: int
    reason: str


@dataclass(frozen=True, slots=True)
class Worked:
    """One chunk of `phase` went through `stage`.

    Attributes:
        phase: which phase is at work.
        stage: what was done, or waited for.
        seconds: wall time of it, up to now; neither waiting for a worker thread nor another stage is in it.
        items: units of the phase that the chunk holds; 0 for a wait.
        size: bytes that the stage read; 0 for a wait.
    """

    phase: str
    stage: Stage
    seconds: float
    items: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Queued:
    """How many chunks of `phase` are held from now on; told when one starts, ends or gets its turn.

    Attributes:
        phase: which phase is at work.
        running: chunks in progress, those that wait for the budget among them.
        waiting: finished chunks that wait for their turn.
    """

    phase: str
    running: int
    waiting: int


Event: TypeAlias = (
    PhaseStarted
    | Advanced
    | PhaseFinished
    | Durable
    | Notice
    | Received
    | Retried
    | Throttled
    | Stalled
    | Hedged
    | Live
    | ConcurrencyChanged
    | Worked
    | Queued
)
Report: TypeAlias = Callable[[Event], None]


def silent(event: Event) -> None:
    """A report that nobody reads."""
