"""A bandwidth limit that follows a file: whoever edits the file changes the limit of the run.

    echo 80M > limit
    echo off > limit

A file needs no process number, and says later what the limit was; a signal would do neither.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from restore.errors import UsageError, located
from restore.flow.rate import Rate
from restore.flow.timer import Timer
from restore.report.events import Notice, Report
from restore.report.figures import show_bytes

LOOK_SECONDS = 1.0
"""Between two looks: soon for whoever edits the file, and nothing beside the transfers."""

MAX_TEXT = 64
"""Characters; no size has as many, and the file may be another one by mistake."""

NO_LIMIT = "off"


class RateFile:
    """Sets `rate` to what a file says, before its block and during it.

    During the block a file that cannot be read or understood leaves the limit as it is, which is told once.

    Args:
        path: the file; it holds a size, or the word `off`.
        rate: the limit.
        parse: the bytes that a size means; a `ValueError` for what is none.
        report: takes notices.
        interval: seconds between two looks.

    Raises:
        UsageError: the file cannot be read or understood before the block.
    """

    def __init__(
        self,
        path: Path,
        *,
        rate: Rate,
        parse: Callable[[str], float],
        report: Report,
        interval: float = LOOK_SECONDS,
    ) -> None:
        self._path = path
        self._rate = rate
        self._parse = parse
        self._report = report
        self._timer = Timer(interval, self._look)
        self._limit: float | None = None
        self._is_wrong = False

    def __enter__(self) -> Self:
        self._follow()
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.stop()

    def _look(self) -> None:
        before = self._limit
        try:
            self._follow()
        except UsageError as error:
            if not self._is_wrong:
                self._report(Notice(f"{error}; the limit stays at {_shown(before)}", warning=True))
            self._is_wrong = True
            return
        self._is_wrong = False
        if self._limit != before:
            self._report(Notice(f"bandwidth limit is now {_shown(self._limit)}"))

    def _follow(self) -> None:
        with located(file=str(self._path)):
            limit = self._read()
            self._rate.change(limit)
            self._limit = limit

    def _read(self) -> float | None:
        try:
            with self._path.open() as file:
                text = file.read(MAX_TEXT + 1)
            if len(text) > MAX_TEXT:
                raise ValueError("too long for a size")
            return None if text.strip() == NO_LIMIT else self._parse(text.strip())
        except (OSError, ValueError) as error:
            found = error.strerror if isinstance(error, OSError) else error
            raise UsageError("bandwidth limit cannot be read", found=found) from error


def _shown(limit: float | None) -> str:
    return NO_LIMIT if limit is None else f"{show_bytes(limit)}/s"
