"""What the values of options and arguments may be; anything else is refused before the command runs."""

from __future__ import annotations

import errno
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

MAX_U64 = (1 << 64) - 1

MAX_DIGITS = 20
"""Decimal digits of 2^64 - 1."""

_SIZE = re.compile(r"([0-9]{1,20})(?:([KMGT])(?:i?B)?)?", re.IGNORECASE)

_IMPOSSIBLE = {errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""No file can have such a path. Other failures may pass, and are told by whoever uses the path."""


class GivenPath(click.Path):
    """A path that can name a file, whether there is one or not."""

    def __init__(self) -> None:
        # Whether it may be read is told by whoever reads it, and is no question of usage.
        super().__init__(path_type=Path, readable=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; an empty one is refused: it would mean the current folder."""
        if value == "":
            self.fail("a path must not be empty", param, ctx)
        try:
            Path(value).stat()
        except OSError as error:
            if error.errno in _IMPOSSIBLE:
                self.fail(f"{str(value)!r}: {(error.strerror or '').lower()}", param, ctx)
        return super().convert(value, param, ctx)


class Seconds(click.FloatRange):
    """A span of time, in seconds."""

    name = "number of seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; `nan` is refused: it is in any range, and no clock ever reaches it."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return seconds


def parse_version(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Option callback: a ledger version, an unsigned 64-bit number."""
    if value is None:
        return None
    # Python refuses to convert thousands of digits; so do we, before it.
    if not (value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS and int(value) <= MAX_U64):
        raise click.BadParameter(f"{value[:40]!r} is not a version (a number from 0 to {MAX_U64})")
    return int(value)


def parse_version_or_max(ctx: click.Context, param: click.Parameter, value: str) -> int | None:
    """Option callback: a version, or None for the word `max`."""
    return None if value == "max" else parse_version(ctx, param, value)


def parse_size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Option callback: bytes, with or without a binary unit: `1073741824`, `512M`, `2G`, `2GiB`."""
    return None if value is None else _size(value, click.BadParameter)


def size_of_text(text: str) -> int:
    """As `parse_size`.

    Raises:
        ValueError: it is none.
    """
    return _size(text, ValueError)


def _size(text: str, error: type[Exception]) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise error(f"{text[:40]!r} is not a size such as 512M or 2G")
    return int(match[1]) << 10 * " KMGT".index((match[2] or " ").upper())


@dataclass(frozen=True, slots=True)
class LimitRate:
    """A bandwidth limit: a number of bytes a second, or a file that holds it."""

    bytes_per_second: int | None
    file: Path | None


def parse_limit_rate(_ctx: click.Context, _param: click.Parameter, value: str | None) -> LimitRate | None:
    """Option callback: `80M`, `@FILE`, or the word `off`."""
    if value is None:
        return None
    from restore.flow.rate_file import NO_LIMIT

    if value == NO_LIMIT:
        return None
    if value.startswith("@"):
        return LimitRate(None, Path(value[1:]))
    size = _size(value, click.BadParameter)
    if not size:
        raise click.BadParameter("a limit must be above 0")
    return LimitRate(size, None)


def parse_concurrency(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> int | Literal["auto"] | None:
    """Option callback: a number, or the word `auto`."""
    if value is None:
        return None
    if value == "auto":
        return "auto"
    if not (value.isascii() and value.lstrip("-").isdigit() and len(value) <= MAX_DIGITS):
        raise click.BadParameter(f"{value[:40]!r} is not a number, nor auto")
    return int(value)
