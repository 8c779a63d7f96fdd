"""The figures of one phase: how much is done, how fast, and how long it will take."""

from __future__ import annotations

from restore.report.events import Advanced, PhaseStarted
from restore.report.figures import ALL, joined, show_bytes, show_count, show_seconds, unit_of
from restore.report.window import Window


class Meter:
    """The figures of one phase."""

    def __init__(self, start: PhaseStarted, *, now: float) -> None:
        self.phase = start.phase
        self.total = start.total
        self._unit = start.unit
        self._done_before = start.done
        self.started = now
        self._items = Window(start.done, now=now)
        self._bytes = Window(0, now=now)

    @property
    def done(self) -> int:
        """Units that are done, by an earlier run too."""
        return self._items.total

    @property
    def has_moved(self) -> bool:
        """Whether there is anything to tell of it."""
        return self.done > 0 or self._bytes.total > 0

    @property
    def fraction(self) -> float | None:
        """The part that is done, 0 to 1; None where the total is not known."""
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0

    def advance(self, event: Advanced, *, now: float) -> None:
        """Adds what `event` tells."""
        self._items.add(event.items, now=now)
        self._bytes.add(event.size, now=now)

    def rates(self, now: float) -> tuple[float, float]:
        """Units and bytes a second over the window that ends at `now`."""
        return self._items.rate(now), self._bytes.rate(now)

    def seconds_left(self, now: float) -> float | None:
        """Seconds to the end at the present rate; None while that cannot be said."""
        rate, _ = self.rates(now)
        if self.total is None or rate <= 0:
            return None
        return max(0, self.total - self.done) / rate

    def progress(self, now: float, *, detail: int = ALL) -> str:
        """The figures of a phase under way, as many as `detail` allows."""
        rate, byte_rate = self.rates(now)
        left = self.seconds_left(now)
        figures: list[tuple[int, str]] = []
        if self.total is None:
            figures.append((0, show_count(self.done, self._unit)))
        else:
            figures.append((2, f"{self.done:,} of {show_count(self.total, self._unit)}"))
        if self.total:
            figures.append((0, f"{100 * self.done // self.total} %"))
        if self._bytes.total:  # not every phase reads files
            figures.append((3, show_bytes(self._bytes.total)))
        figures.append((1, f"{rate:,.0f} {unit_of(round(rate), self._unit)}/s"))
        if self._bytes.total:
            figures.append((4, f"{show_bytes(byte_rate)}/s"))
        figures.append((0, f"ETA {'unknown' if left is None else show_seconds(left)}"))
        return joined(figures, detail=detail)

    def summary(self, now: float, *, detail: int = ALL) -> str:
        """The figures of a phase that ended, as many as `detail` allows."""
        figures = [(0, show_count(self.done, self._unit))]
        if self._done_before:
            figures.append((2, f"{self._done_before:,} of them from an earlier run"))
        if self._bytes.total:
            figures.append((1, show_bytes(self._bytes.total)))
        figures.append((0, show_seconds(now - self.started)))
        return joined(figures, detail=detail)
