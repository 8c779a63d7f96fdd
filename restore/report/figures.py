"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable

ALL = 4
"""Detail of every figure; each one less leaves a figure out, the least important first."""

_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def show_bytes(size: float) -> str:
    """Bytes with a binary unit and about three digits: `3.3 MiB`."""
    for unit in _BINARY_UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_BINARY_UNITS[-1]}"


def show_count(count: int, units: str) -> str:
    """A number of things, whose name is given in the plural: `1 epoch`, `2,000 epochs`."""
    return f"{count:,} {unit_of(count, units)}"


def unit_of(count: float, units: str) -> str:
    """The name of `count` things, given in the plural."""
    if count != 1:
        return units
    return f"{units[:-3]}y" if units.endswith("ies") else units.removesuffix("s")


def show_seconds(seconds: float) -> str:
    """A duration: `4.2 s` below a minute, then `1:05` and `2:03:07`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def joined(figures: Iterable[tuple[int, str]], *, detail: int = ALL) -> str:
    """One line of the texts whose number, how little they matter, is within `detail`."""
    return ", ".join(text for importance, text in figures if importance <= detail)
